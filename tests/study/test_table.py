"""Records as rows, and what the commands make of them."""

from __future__ import annotations

import dataclasses
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from cogexp.__main__ import main
from cogexp.study import load, study_of
from tests.study.records import make_record, write_all

FOUND = [
    make_record(score, size=size, prompt=prompt, seed=seed, upscaler=upscaler)
    for size, upscaler, score in [
        ("512x288", "none", 25.0),
        ("640x352", "none", 30.0),
        ("512x288", "lanczos", 26.0),
    ]
    for prompt in ("wolves", "water", "night", "crowd")
    for seed in (0, 1)
]
FOUND = [
    dataclasses.replace(r, scores={k: v and v + 0.01 * (hash_ % 5) for k, v in r.scores.items()})
    for hash_, r in enumerate(FOUND)
]


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    return write_all(FOUND, tmp_path / "outputs")


def test_rows_are_flat(outputs: Path) -> None:
    study = load(outputs)
    assert len(study.rows) == 24
    assert study.varying == ("resolution", "upscaler")  # width, height and scale follow from them
    row = next(r for r in study.rows if r.axes["upscaler"] == "lanczos")
    assert row.axes["width"] == 512
    assert row.axes["steps"] == 20
    assert row.axes["vae_tiling"] is False
    assert row.delivered == "upscaled"
    assert row.costs["seconds"] == 10.0
    assert row.costs["seconds.load"] == 100.0
    assert row.costs["peak_allocated_gib"] == 8.0
    assert row.artifact("tear", "level") == "none"
    assert len(study.settings()) == 3


def test_an_axis_that_its_parent_decides_is_dropped_and_one_that_varies_by_itself_is_kept() -> None:
    spec = make_record(upscaler="esrgan").spec
    smaller = {**spec, "upscaler": {**spec["upscaler"], "scale": 2}}
    half = dataclasses.replace(make_record(upscaler="esrgan"), run_id="half", spec=smaller)
    study = study_of([make_record(), make_record(upscaler="esrgan"), half])
    assert study.varying == ("upscaler", "scale")


def test_a_poor_record_is_a_row_all_the_same() -> None:
    poor = dataclasses.replace(
        make_record(), spec={"seed": 3}, stages={}, artifacts={}, resolved={}, device={}
    )
    (row,) = study_of([poor]).rows
    assert row.seed == 3
    assert row.axes == {}
    assert row.costs["seconds"] is None


def test_the_newer_of_two_records_of_one_run_counts() -> None:
    old = make_record(20.0)
    new = dataclasses.replace(make_record(30.0), finished="2026-11-23T00:00:00.000+00:00")
    for pair in ([old, new], [new, old]):
        study = study_of(pair)
        assert [row.number("clip_score") for row in study.rows] == [30.0]
        assert "several records" in study.notes[0]


def test_frame(outputs: Path) -> None:
    frame = load(outputs).frame()
    assert len(frame) == 24
    assert {
        "run_id",
        "resolution",
        "steps",
        "prompt",
        "seed",
        "status",
        "native/clip_score",
        "seconds",
    } <= set(frame)
    assert frame.groupby("upscaler")["seed"].count().to_dict() == {"lanczos": 8, "none": 16}


def test_importing_the_study_loads_nothing_heavy() -> None:
    script = (
        "import sys, cogexp.study\n"
        "print(sorted({'torch', 'numpy', 'scipy', 'pandas', 'rich'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_pick_command(outputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pick", str(outputs), "maximize=clip_score", "max_vram=24GB"]) == 0
    out, err = capsys.readouterr()
    assert "Recommended: resolution=640x352 upscaler=none" in out
    assert "95 % interval" in out
    assert err == ""


def test_pick_json_is_only_json(outputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pick", "maximize=clip_score", str(outputs), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["recommended"] == {"resolution": "640x352", "upscaler": "none"}
    assert answer["decisive"] is True
    assert len(answer["table"]) == 3


def test_pick_markdown(outputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pick", str(outputs), "--markdown"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("**Recommended")
    assert "| best | 640x352 | none |" in out


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["pick", "{tmp}"], ("DIR", "runs/*/record.json")),
        (["pick", "{tmp}/no-such"], ("DIR", "no-such")),
        (["pick", "{out}", "{tmp}"], ("one DIR",)),
        (["pick", "{out}", "maximise=clip_score"], ("maximise", "nearest: maximize")),
        (["pick", "{out}", "maximize=clip_scores"], ("clip_scores", "nearest: clip_score")),
        (["pick", "{out}", "where=tear.levl!=certain"], ("tear.levl", "nearest: tear.level")),
        (["pick", "{out}", "where=tear.level!=sure"], ("tear.level", "none, suspect, certain")),
        (["pick", "{out}", "max_vram=big"], ("max_vram", "24GB")),
        (["pick", "{out}", "--jsn"], ("--jsn",)),
        (["pick", "{out}", "--json", "--markdown"], ("both",)),
        (["export", "{tmp}"], ("DIR",)),
        (["export", "{out}", "--to", "xlsx"], ("--to", "csv, parquet")),
        (["export", "{out}", "--to", "parquet"], ("FILE",)),
        (["export", "{out}", "a=b"], ("a=b",)),
        (["pik"], ("nearest: pick",)),
    ],
)
def test_wrong_requests_leave_with_2_and_one_line(
    words: list[str],
    named: tuple[str, ...],
    outputs: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "empty").mkdir()
    asked = [word.format(out=outputs, tmp=tmp_path / "empty") for word in words]
    assert main(asked) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.strip().splitlines()) == 1, err
    for text in named:
        assert text in err


def test_export_csv(outputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import pandas

    assert main(["export", str(outputs), "--to", "csv"]) == 0
    printed = pandas.read_csv(io.StringIO(capsys.readouterr().out))
    file = tmp_path / "deep" / "runs.csv"
    assert main(["export", str(outputs), "--to", "csv", str(file)]) == 0
    assert len(printed) == len(pandas.read_csv(file)) == 24
    assert [path.name for path in file.parent.iterdir()] == ["runs.csv"]


def test_export_parquet(outputs: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    import pandas

    file = tmp_path / "runs.parquet"
    assert main(["export", str(outputs), str(file)]) == 0
    back = pandas.read_parquet(file)
    assert len(back) == 24
    assert set(back["resolution"]) == {"512x288", "640x352"}


def test_parquet_without_pyarrow_says_what_to_install(
    outputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert main(["export", str(outputs), str(tmp_path / "a.parquet")]) == 2
    assert "pip install 'cogexp[parquet]'" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["pick", "export"])
def test_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    assert f"usage: python -m cogexp {command}" in capsys.readouterr().out
