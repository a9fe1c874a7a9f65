"""`python -m cogexp plan`: the words it takes, the tables and the JSON it prints."""

from __future__ import annotations

import json

import pytest

from cogexp.__main__ import main

WORDS = ["plan", "model=cogvideox-5b", "resolution=512x288"]


def test_tables(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*WORDS, "gpu=24GB"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    for text in (
        "25.94",
        "does not fit",
        "7,714",
        "13 x 16 x 36 x 64",
        "optimization.offload=",
        "fastest first",
    ):
        assert text in out


def test_json_is_alone_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*WORDS, "model.dtype=float32", "upscaler=esrgan", "gpu=80GB", "--json"]) == 0
    planned = json.loads(capsys.readouterr().out)
    assert planned["peak_allocated_gib"] == pytest.approx(51.9, rel=0.05)
    assert planned["dtype"] == "float32"
    assert "upscale" in planned["stages"]


def test_a_first_frame_is_not_needed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "model=cogvideox-5b-i2v", "resolution=native", "gpu=none", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["fits"] is None


def test_on_a_cpu_there_is_no_card(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "model=nano", "device=cpu", "gpu=24GB", "--json"]) == 0
    planned = json.loads(capsys.readouterr().out)
    assert planned["fits"] is None
    assert planned["suggestions"] == []


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["gpu=H1O0"], ("gpu must be", "'H1O0'", "nearest: H100")),
        (["gpu="], ("gpu must be", "nearest: auto")),
        (["exact=yes"], ("exact must be true or false", "'yes'", "nearest: true")),
        (["-m"], ("plan takes one setting",)),
        (["resolution=500x288"], ("resolution.width", "496 or 512")),
        (["gpi=24GB"], ("gpi",)),
    ],
    ids=lambda words: " ".join(words) if isinstance(words, list) else "",
)
def test_a_wrong_request(
    words: list[str], named: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", "model=cogvideox-5b", *words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    for text in named:
        assert text in err


def test_help_names_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--help"]) == 0
    assert "gpu=24GB" in capsys.readouterr().out
