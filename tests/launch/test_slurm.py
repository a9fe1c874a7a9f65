"""Batch jobs through submitit on this machine: shares keep latents together, a killed job costs one run."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("submitit")

from cogexp.build import Request
from cogexp.launch import slurm
from cogexp.launch.slurm import Options, deal, launch
from cogexp.spec import UpscalerSpec
from cogexp.store import Keys
from cogexp.terminal import Progress
from tests.launch.jobs import Said, by_seed, finish, requests

LOCAL = Options(cluster="local", tasks=2, gpus_per_node=0, cpus_per_task=1, mem_gb=1)
DEADLY = 1


def work(request: Request, progress: Progress) -> None:
    """Nothing; the deadly seed kills its process the first time."""
    told = request.settings.outputs / "killed"
    if request.spec.seed == DEADLY and not told.exists():
        told.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    finish(request)


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slurm, "POLL_SECONDS", 0.2)


def test_a_killed_job_costs_one_run_and_the_rest_of_its_share_is_done(tmp_path: Path) -> None:
    said = Said()
    launch(requests(tmp_path, 6), said, LOCAL, work=work)
    found = by_seed(tmp_path)
    assert {seed: record.status for seed, record in found.items()} == {
        seed: "failed" if seed == DEADLY else "ok" for seed in range(6)
    }
    assert found[DEADLY].error is not None
    assert "local job" in found[DEADLY].error["message"]
    first = {found[seed].device["pid"] for seed in (3, 4, 5)}
    assert len(first) == 1, "a share is one process, which keeps its model"
    assert said.lines[0].startswith("2 local jobs for 6 runs")
    launch(requests(tmp_path, 6)[DEADLY : DEADLY + 1], said, LOCAL, work=work)
    assert by_seed(tmp_path)[DEADLY].status == "ok"


class Breaks:
    """Work that no other process can load."""

    def __call__(self, request: Request, progress: Progress) -> None:
        raise AssertionError("it was loaded after all")

    def __reduce__(self) -> tuple[Any, ...]:
        return (_refuse, ())


def _refuse() -> None:
    raise RuntimeError("no such node")


def test_a_job_that_cannot_start_is_told_and_records_nothing(tmp_path: Path) -> None:
    said = Said()
    launch(requests(tmp_path, 2), said, LOCAL, work=Breaks())
    assert by_seed(tmp_path) == {}
    assert any("could not start" in line and "no such node" in line for line in said.lines)


@pytest.mark.parametrize("tasks", [1, 2, 3, 5, 100])
def test_shares_are_even_and_keep_latents_together(tmp_path: Path, tasks: int) -> None:
    jobs = [
        replace(job, spec=replace(job.spec, upscaler=upscaler))
        for job in requests(tmp_path, 6)
        for upscaler in (UpscalerSpec(name="none", scale=1), UpscalerSpec(name="lanczos"))
    ]
    parts = deal(jobs, tasks)
    assert [job for part in parts for job in part] == jobs
    assert len(parts) == min(tasks, 6)
    assert max(map(len, parts)) - min(map(len, parts)) <= 2
    owners = [{Keys.of(job.spec).denoise for job in part} for part in parts]
    assert sum(map(len, owners)) == len(set().union(*owners)) == 6


def test_what_slurm_takes_away_is_queued_again_and_goes_on(tmp_path: Path) -> None:
    jobs = requests(tmp_path, 2)
    share = slurm.Share(jobs, work)
    finish(jobs[0])
    assert share.left() == jobs[1:]
    assert share.checkpoint().function is share


class Job:
    """A job that is over, as submitit shows it."""

    def __init__(self, state: str, stdout: str = "") -> None:
        self.state, self.job_id, self._stdout = state, "7", stdout

    def exception(self) -> None:
        return None

    def stdout(self) -> str:
        return self._stdout


@pytest.mark.parametrize(
    ("state", "status", "again"),
    [
        ("PREEMPTED", "interrupted", 2),
        ("NODE_FAIL", "interrupted", 2),
        ("CANCELLED by 0", "interrupted", 0),
        ("FAILED", "failed", 1),
        ("OUT_OF_MEMORY", "oom", 1),
        ("TIMEOUT", "interrupted", 2),
    ],
)
def test_what_slurm_takes_away_is_no_fault_of_the_run(
    tmp_path: Path, state: str, status: str, again: int
) -> None:
    jobs = requests(tmp_path, 3)
    share = slurm.Share(jobs, work)
    finish(jobs[0])
    rest = slurm._rest(Job(state, jobs[1].spec.run_id), share, "slurm", Said())
    assert by_seed(tmp_path)[1].status == status
    assert len(rest.requests if rest else ()) == again
    if again:
        assert rest is not None
        assert rest.left() == rest.requests, "an interrupted run is still to do"


def test_a_share_that_is_taken_away_again_and_again_is_given_up_and_said(tmp_path: Path) -> None:
    said = Said()
    share: slurm.Share | None = slurm.Share(requests(tmp_path, 2), work)
    for _ in range(slurm.MOST_TAKEN):
        assert share is not None
        share = slurm._rest(Job("PREEMPTED"), share, "slurm", said)
    assert share is not None
    assert slurm._rest(Job("PREEMPTED"), share, "slurm", said) is None
    assert "2 runs are still to do" in said.lines[-1]


def test_a_run_that_needs_more_than_all_of_the_time_failed(tmp_path: Path) -> None:
    jobs = requests(tmp_path, 2)
    slurm._rest(Job("TIMEOUT", jobs[0].spec.run_id), slurm.Share(jobs, work), "slurm", Said())
    assert by_seed(tmp_path)[0].status == "failed"
