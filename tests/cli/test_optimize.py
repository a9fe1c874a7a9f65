"""The words of a search: axes in Hydra's grammar, what is averaged over, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("optuna")

from cogexp.__main__ import main
from cogexp.cli.optimize import read
from cogexp.study.search import Dimension
from tests.e2e.conftest import SMALL


def test_axes_are_searched_and_prompts_and_seeds_are_averaged_over() -> None:
    asked = read(
        [
            "maximize=tear", "max_vram=16GB", "trials=7", "model=nano", "prompt=wolves,water", "seed=0,1",
            "resolution=64x64,80x64", "sampler.steps=range(10,51,10)", "sampler.guidance=interval(1.0,12.0)",
            "upscaler.blend=tag(log, interval(0.01,1.0))",
        ]
    )  # fmt: skip
    assert asked.dimensions == (
        Dimension(name="resolution", choices=("64x64", "80x64")),
        Dimension(name="sampler.steps", low=10, high=50, step=10, whole=True),
        Dimension(name="sampler.guidance", low=1.0, high=12.0),
        Dimension(name="upscaler.blend", low=0.01, high=1.0, log=True),
    )
    assert (asked.trials, asked.query.max_vram_gib, asked.objective) == (7, 16.0, "tear")
    jobs = asked.jobs({"resolution": "80x64", "sampler.steps": 20, "sampler.guidance": 3.5})
    assert len({job.spec.run_id for job in jobs}) == 4
    assert {(job.spec.resolution.name, job.spec.sampler.steps) for job in jobs} == {("80x64", 20)}


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["seed=0,1"], ("axis with several values", "interval")),
        (["resolution=64x64,80x64", "trials=many"], ("trials", "'many'")),
        (["resolution=64x64,80x64", "maximize=beauty"], ("maximize", "beauty", "clip_score")),
        (["resolution=64x64,80x64", "metrics=fast"], ("clip_score", "metrics=default")),
        (["resolution=64x64,80x64", "minimize=tear", "where=seed==1"], ("where", "seed==1", "nearest")),
        (["sampler.guidance=interval(5.0,1.0)", "minimize=tear"], ("sampler.guidance", "interval")),
        (["resolution=64x64,90x64", "minimize=tear", "sampler.step=1,2"], ("sampler.step",)),
    ],
)
def test_a_wrong_search_is_refused(
    words: list[str], names: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["optimize", "model=nano", "device=cpu", f"outputs={tmp_path / 'out'}", *words]) == 2
    said = capsys.readouterr().err.strip()
    assert all(name in said for name in names), said
    assert len(said.splitlines()) <= 2


def test_a_search_ends_with_the_best_a_decision_and_a_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    small = [word for word in SMALL if not word.startswith("resolution")]
    words = [*small, f"outputs={tmp_path}", "minimize=tear", "where=motion_px<1000", "study=tears"]
    search = ["optimize", *words, "resolution=64x64,80x64", "prompt=wolves,water", "trials=2"]
    assert main(search) == 0
    shown = capsys.readouterr()
    assert "best of 2 trials: resolution=" in shown.out
    assert (tmp_path / "reports" / "tears.html").is_file()
    assert (tmp_path / "studies" / "tears.optuna").is_file()
    assert len(list(tmp_path.glob("runs/*/record.json"))) == 4
    assert main(search) == 0
    assert "2 of 2 trials were done before" in capsys.readouterr().err
    assert main([*search[:-1], "where=motion_px<0", "study=none"]) == 2, "where is given twice"
    impossible = [word for word in search if not word.startswith(("where", "study"))]
    assert main([*impossible, "where=motion_px<0", "study=none"]) == 1
    assert "no setting of 2 meets every constraint" in capsys.readouterr().out
