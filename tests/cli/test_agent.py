"""W&B's own agent with a made-up controller: each run of the sweep is done here, and the model stays."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import wandb

from cogexp import record as records
from cogexp.__main__ import main
from cogexp.engine import models
from tests.e2e.conftest import SMALL

SWEPT = [word for word in SMALL if not word.startswith(("resolution", "tracking"))]


class Controller:
    """Hands out the runs of a sweep one by one, and then says that it is over."""

    def __init__(self, runs: list[dict[str, Any]]) -> None:
        self.waiting = [
            {"type": "run", "run_id": f"run{i}", "args": {k: {"value": v} for k, v in run.items()}}
            for i, run in enumerate(runs)
        ]
        self.statuses: list[dict[str, bool]] = []

    def heartbeat(self, api: Any, agent: str, metrics: Any, running: dict[str, bool]) -> list[dict[str, Any]]:
        self.statuses.append(dict(running))
        if running:
            return []
        return [self.waiting.pop(0) if self.waiting else {"type": "exit"}]


@pytest.fixture
def run_sweep(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    from wandb.agents import pyagent
    from wandb.apis.public import sweeps

    monkeypatch.setattr(wandb, "Api", lambda *a, **k: object())
    monkeypatch.setattr(sweeps, "_register_agent", lambda *a, **k: {"id": "agent"})
    monkeypatch.setattr(pyagent.Agent, "HEARTBEAT_SLEEP_SECONDS", 0.05)
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)  # of no account; offline nobody looks at it
    monkeypatch.setenv("WANDB_AGENT_DISABLE_FLAPPING", "false")

    def run(runs: list[dict[str, Any]], *words: str) -> int:
        controller = Controller(runs)
        monkeypatch.setattr(sweeps, "_agent_heartbeat", controller.heartbeat)
        return main(["agent", "me/cogexp/sweep1", *SWEPT, f"outputs={tmp_path}", *words])

    yield run
    wandb.teardown()
    models.MODELS.free()


def offline_runs(outputs: Path) -> list[str]:
    """The ids of the runs that W&B keeps on disk."""
    return sorted(path.name.rpartition("-")[2] for path in outputs.glob("wandb/offline-run-*"))


def test_the_runs_of_a_sweep_share_one_model(
    run_sweep: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    loaded: list[str] = []
    original = models.load_part
    monkeypatch.setattr(models, "load_part", lambda name, *a: (loaded.append(name), original(name, *a))[1])
    runs = [{"resolution": "64x64", "seed": 0}, {"resolution": "80x64", "seed": 1}]
    # A setting that was done before is shown again, so that the sweep learns its scores.
    assert run_sweep([*runs, runs[0]], "prompt=water", "seed=9", "resolution=512x288") == 0
    found = {(r.spec["resolution"]["width"], r.spec["seed"]): r for r in records.load_many(tmp_path)}
    assert set(found) == {(64, 0), (80, 1)}
    assert {record.status for record in found.values()} == {"ok"}
    assert {record.spec["prompt"]["name"] for record in found.values()} == {"water"}
    assert len(loaded) == len(set(loaded)), "each part was loaded once"
    assert offline_runs(tmp_path) == ["run0", "run1", "run2"], "under the ids that the sweep gave"
    assert "3 runs, 0 of them not finished" in capsys.readouterr().err


def test_a_run_that_cannot_be_built_fails_alone(
    run_sweep: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_sweep([{"resolution": "500x288"}, {"resolution": "64x64"}]) == 1
    (record,) = records.load_many(tmp_path)
    assert record.status == "ok"
    said = capsys.readouterr().err
    assert "nearest: 496 or 512" in said
    assert "2 runs, 1 of them not finished" in said


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ([], ("agent needs one sweep",)),
        (["a/b/c", "d/e/f"], ("agent needs one sweep", "d/e/f")),
        (["a/b/c", "count=few"], ("count", "'few'")),
        (["a/b/c", "tracking=off"], ("tracking", "nearest: tracking=auto")),
        (["a/b/c", "sweep=quick"], ("axes from the sweep",)),
        (["a/b/c", "upscalr=none"], ("upscalr", "nearest: upscaler")),
    ],
)
def test_a_wrong_request_is_refused(
    words: list[str], names: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["agent", *words]) == 2
    said = capsys.readouterr().err
    assert all(name in said for name in names), said


def test_a_sweep_that_cannot_be_reached_is_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def unreachable(*arguments: Any, **options: Any) -> None:
        raise wandb.errors.CommError("no such sweep")

    monkeypatch.setattr(wandb, "agent", unreachable)
    assert main(["agent", "a/b/c", "model=nano", "device=cpu", f"outputs={tmp_path}"]) == 1
    assert "cannot be worked on: no such sweep" in capsys.readouterr().err
