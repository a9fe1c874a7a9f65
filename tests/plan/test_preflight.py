"""Before a run: what cannot fit is refused with what would; optimization=auto takes the fastest that fits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cogexp import machine
from cogexp.__main__ import main
from cogexp.build import build
from cogexp.cli import runs
from cogexp.plan.preflight import check
from tests.plan.test_published import spec_of

SMALL = (512, 288, 49)


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Any:
    def insert(name: str, total_gib: float) -> None:
        monkeypatch.setattr(machine, "gpu", lambda: machine.Gpu(name=name, total_gib=total_gib))

    return insert


def request_of(**flags: Any) -> Any:
    return build(
        {
            "model": {"name": "cogvideox-5b"},
            "device": "cuda",
            "resolution": {"width": 512, "height": 288, "frames": 49},
            "prompt": {"text": "two wolves"},
            "optimization": flags,
        }
    )


def test_fits_is_near_the_limit_or_cannot_fit(card: Any) -> None:
    spec = spec_of("cogvideox-5b", SMALL)  # 25.9 GiB
    card("NVIDIA H100 80GB HBM3", 79.6)
    assert check(spec, "cuda") is None
    card("NVIDIA GeForce RTX 5090", 28.0)
    near = check(spec, "cuda")
    assert near is not None
    assert not near.impossible
    assert "near the limit" in near.text
    card("NVIDIA GeForce RTX 4090", 23.6)
    found = check(spec, "cuda")
    assert found is not None
    assert found.impossible
    assert "25.9 GiB" in found.text
    assert "optimization." in found.text


def test_nothing_is_checked_on_a_cpu_or_without_a_card(card: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    card("NVIDIA GeForce RTX 3060", 12)
    assert check(spec_of("cogvideox-5b", SMALL), "cpu") is None
    monkeypatch.setattr(machine, "gpu", lambda: None)
    assert check(spec_of("cogvideox-5b", SMALL), "cuda") is None


WORDS = ["model=cogvideox-5b", "resolution=512x288", "resolution.frames=49", "device=cuda", "tracking=off"]


def test_a_run_that_cannot_fit_is_refused_before_anything_runs(
    card: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    card("NVIDIA GeForce RTX 4090", 23.6)
    assert main([*WORDS, f"outputs={tmp_path / 'outputs'}"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert 1 <= len(err.strip().splitlines()) <= 2
    for text in ("cogvideox-5b at 512x288x49 needs 25.9 GiB", "RTX 4090", "nearest", "preflight=warn"):
        assert text in err
    assert not (tmp_path / "outputs").exists()


def test_one_job_of_a_sweep_that_cannot_fit_stops_all(
    card: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    card("NVIDIA GeForce RTX 4090", 23.6)
    words = ["-m", *WORDS, "optimization=low-vram,none", f"outputs={tmp_path / 'outputs'}"]
    assert main(words) == 2
    assert "25.9 GiB" in capsys.readouterr().err


@pytest.mark.parametrize(("mode", "said"), [("warn", True), ("off", False)])
def test_warn_says_it_and_off_says_nothing(
    mode: str, said: bool, card: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = []
    monkeypatch.setattr(runs, "_single", lambda request: ran.append(request) or 0)
    card("NVIDIA GeForce RTX 4090", 23.6)
    assert main([*WORDS, f"preflight={mode}"]) == 0
    assert len(ran) == 1
    assert ("25.9 GiB" in capsys.readouterr().err) == said


def test_preflight_is_one_of_three(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*WORDS, "preflight=warm"]) == 2
    assert "preflight must be one of refuse, warn, off, got 'warm'; nearest: warn" in capsys.readouterr().err


def test_auto_takes_nothing_where_all_fits_and_less_memory_where_it_does_not(card: Any) -> None:
    auto = {"offload": "auto", "vae_tiling": "auto", "layerwise_cast": "auto"}
    card("NVIDIA H100 80GB HBM3", 79.6)
    plain = request_of(**auto)
    assert plain.spec.optimization.offload == "none"
    assert plain.resolved["optimization"].startswith("none: the fastest that fits")
    assert plain.spec.run_id == request_of().spec.run_id
    for gib, offload, exact in (
        (23.6, "text", True),
        (16.5, "text", True),
        (15.7, "group-block", True),
        (8.0, "group-block", True),
        (5.9, "group-block", True),
        (3.4, "group-block", False),
    ):
        card("NVIDIA card", gib)
        chosen = request_of(**auto)
        assert chosen.spec.optimization != plain.spec.optimization
        assert check(chosen.spec, "cuda") is None, gib
        flags = chosen.spec.optimization
        assert (flags.offload, not (flags.vae_tiling or flags.layerwise_cast == "fp8")) == (offload, exact)
        assert "the fastest that fits" in chosen.resolved["optimization"]


def test_a_flag_that_is_given_stays(card: Any) -> None:
    card("NVIDIA GeForce RTX 4090", 23.6)
    chosen = request_of(offload="auto", vae_tiling=False, layerwise_cast="none").spec.optimization
    assert chosen.offload != "none"
    assert (chosen.vae_tiling, chosen.layerwise_cast) == (False, "none")


def test_auto_where_nothing_fits_takes_the_least_and_says_so(card: Any) -> None:
    card("NVIDIA small", 2.0)
    chosen = request_of(offload="auto", vae_tiling="auto", layerwise_cast="auto")
    assert "still too much" in chosen.resolved["optimization"]
    assert chosen.spec.optimization.vae_tiling


def test_auto_on_a_cpu_is_none() -> None:
    config = {
        "model": {"name": "nano"},
        "device": "cpu",
        "prompt": {"text": "two wolves"},
        "optimization": {"offload": "auto", "vae_tiling": "auto"},
    }
    request = build(config)
    assert request.spec.optimization.offload == "none"
    assert request.resolved["optimization"] == "none: nothing to save on cpu"


def test_every_suggestion_takes_hold_on_the_embedded_model() -> None:
    """The engine probes each flag that it applies and raises when one changed nothing (on a CPU, it says that
    offloading has no effect)."""
    from cogexp.engine import models, optimize
    from cogexp.plan import plan

    spec = spec_of("nano", (512, 288, 9), dtype="float32")
    found = plan(spec).suggestions
    assert len(found) > 2
    for one in found:
        words = dict(word.removeprefix("optimization.").split("=") for word in one.overrides)
        flags: dict[str, Any] = {
            key: value == "true" if value in ("true", "false") else value for key, value in words.items()
        }
        chosen = spec_of("nano", (512, 288, 9), dtype="float32", **flags)
        transformer = models.load_part("transformer", chosen.model, "cpu")
        _, notes = optimize.prepare("transformer", transformer, chosen.optimization, "cpu")
        assert ("optimization.layerwise_cast" in notes) == (flags.get("layerwise_cast") == "fp8")
        said = optimize.optimization_notes(chosen, "cpu")
        assert ("optimization.offload" in said) == ("offload" in flags)
        tiled = said.get("optimization.vae_tiling", "")
        assert (tiled == "2 tiles of 296x288 px at most") == (flags.get("vae_tiling") == "edge")
