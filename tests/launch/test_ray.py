"""Ray with two local workers: models stay, a killed worker costs one job, a second start does the rest."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("ray")

from cogexp.build import Request
from cogexp.launch.ray_pool import Options, launch
from cogexp.spec import SpecError
from cogexp.terminal import Progress
from tests.launch.jobs import Said, by_seed, finish, requests

DEADLY = 2


def work(request: Request, progress: Progress) -> None:
    """Half a second of nothing; the deadly seed kills its process the first time."""
    time.sleep(0.5)
    (request.settings.outputs / f"pid{request.spec.seed}").write_text(str(os.getpid()), "utf-8")
    told = request.settings.outputs / "killed"
    if request.spec.seed == DEADLY and not told.exists():
        told.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if request.spec.seed == 4:
        raise ValueError("a job that raises is no death of its worker")
    progress.say("said once by each, shown once")
    finish(request)


@pytest.fixture(autouse=True)
def _own_home_and_memory(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray keeps a token in the home, and kills workers where a machine's memory is used up, by whomever.

    And it gives itself 30 s to start, by a clock that is slow here: a busy machine takes longer.
    """
    slow = SimpleNamespace(**{**vars(time), "monotonic": lambda: time.monotonic() / 20})
    monkeypatch.setattr("ray._private.node.time", slow, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
    monkeypatch.setenv("RAY_memory_monitor_refresh_ms", "0")


def start(jobs: list[Request]) -> list[str]:
    said = Said()
    launch(jobs, said, [None] * len(jobs), Options(workers=2), work=work)
    return said.lines


def test_a_killed_worker_costs_its_job_and_no_other(tmp_path: Path) -> None:
    jobs = requests(tmp_path, 8)
    said = start(jobs)
    found = by_seed(tmp_path)
    assert {seed: record.status for seed, record in found.items()} == {
        seed: "failed" if seed in (DEADLY, 4) else "ok" for seed in range(8)
    }
    assert found[DEADLY].error is not None
    assert "worker died" in found[DEADLY].error["message"]
    assert found[4].error is not None
    assert "a job that raises" in found[4].error["message"]
    workers = {int((tmp_path / f"pid{seed}").read_text("utf-8")) for seed in range(8)}
    assert len(workers) == 3, "two workers, one of them started again; each kept for its jobs"
    assert os.getpid() not in workers
    assert any("started again" in line for line in said)
    assert sum("said once" in line for line in said) == 1


@pytest.mark.slow
def test_a_second_start_on_ray_does_what_is_left(tmp_path: Path) -> None:
    jobs = requests(tmp_path, 4)
    start(jobs)
    before = by_seed(tmp_path)
    start([job for job in jobs if before[job.spec.seed].status != "ok"])
    again = by_seed(tmp_path)
    assert {seed: record.status for seed, record in again.items()} == dict.fromkeys(range(4), "ok")
    assert all(again[seed].finished == before[seed].finished for seed in range(4) if seed != DEADLY)


def test_a_cluster_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"hydra.launcher.address .*127.0.0.1:1"):
        launch(requests(tmp_path, 1), Said(), [None], Options(address="127.0.0.1:1"), work=work)
