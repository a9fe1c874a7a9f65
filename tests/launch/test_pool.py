"""A pool whose workers die while they are idle: no job is lost, and none is recorded that has not begun."""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path

import pytest

from cogexp.build import Request
from cogexp.launch import lost
from cogexp.launch.pool import MOST_IDLE_DEATHS, Outcome, Pool
from cogexp.launch.workers import _Processes
from cogexp.terminal import Progress
from tests.launch.jobs import Said, by_seed, finish, requests


class Fragile:
    """Workers in this process; each is gone after so many jobs, which is seen when the next one is given."""

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs
        self.left: dict[int, int] = {}
        self.begun: list[tuple[int, Request]] = []

    def start(self, number: int) -> str:
        self.left[number] = self.jobs
        return ""

    def give(self, number: int, request: Request) -> None:
        if not self.left[number]:
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
        self.left[number] -= 1
        self.begun.append((number, request))

    def wait(self) -> tuple[int, Outcome]:
        number, request = self.begun.pop(0)
        finish(request)
        return number, Outcome()

    def stop(self, number: int) -> None:
        self.left.pop(number, None)


@pytest.mark.parametrize("count", [1, 2])
def test_an_idle_death_costs_no_job(tmp_path: Path, count: int) -> None:
    jobs, said = requests(tmp_path, 6), Said()
    Pool(Fragile(1), "worker", jobs, said, [None] * 6).run(count)
    assert {seed: record.status for seed, record in by_seed(tmp_path).items()} == dict.fromkeys(
        range(6), "ok"
    )
    assert any("died while it was idle" in line for line in said.lines)


def test_workers_that_always_die_end_the_pool(tmp_path: Path) -> None:
    jobs, said = requests(tmp_path, 3), Said()
    Pool(Fragile(0), "worker", jobs, said, [None] * 3).run(1)
    assert not by_seed(tmp_path)
    assert sum("while it was idle" in line for line in said.lines) == MOST_IDLE_DEATHS + 1
    assert said.lines[-1] == "no worker is left; 3 jobs were not run"


def nothing(request: Request, progress: Progress) -> None:
    """Never called."""


def test_a_process_that_was_killed_is_seen_before_it_gets_a_job(tmp_path: Path) -> None:
    (job,) = requests(tmp_path, 1)
    crew = _Processes([{}], (nothing, str(tmp_path), False))
    assert crew.start(1) == ""
    process, _ = crew._processes[1]
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    with pytest.raises(OSError, match="SIGKILL"):
        crew.give(1, job)
    crew.stop(1)


def test_a_full_disk_costs_the_record_of_a_lost_job_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (job,) = requests(tmp_path, 1)
    monkeypatch.setattr("cogexp.record.write", full)
    assert lost.record_lost(job, "killed by SIGKILL") is None
    assert "could not be written" in caplog.text


class Ending:
    """One worker whose jobs all end alike."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome

    def start(self, number: int) -> str:
        return ""

    def give(self, number: int, request: Request) -> None:
        pass

    def wait(self) -> tuple[int, Outcome]:
        return 1, self.outcome

    def stop(self, number: int) -> None:
        pass


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (Outcome(problem="killed by SIGKILL", died=True), "failed"),
        (Outcome(problem="killed by SIGTERM", died=True, interrupted=True), "interrupted"),
        (Outcome(problem="killed for its memory", died=True, out_of_memory=True), "oom"),
    ],
)
def test_a_worker_that_was_asked_to_end_is_no_evidence(tmp_path: Path, outcome: Outcome, status: str) -> None:
    jobs = requests(tmp_path, 1)
    Pool(Ending(outcome), "worker", jobs, Said(), [None]).run(1)
    assert by_seed(tmp_path)[0].status == status
