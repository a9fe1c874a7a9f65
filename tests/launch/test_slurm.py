"""Batch jobs through submitit on this machine: shares keep latents together, a killed job costs one run."""

from __future__ import annotations

import os
import signal
import sys
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
        print("a line of its log", file=sys.stderr, flush=True)
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
    assert "a line of its log" not in found[DEADLY].error["message"], "what it was at is no reason"
    assert "state " in found[DEADLY].error["message"]
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


@pytest.mark.parametrize(
    ("state", "status"), [("OUT_OF_MEMORY", "oom"), ("OUT_OF_ME+", "oom"), ("NODE_FAIL", "failed")]
)
def test_the_batch_systems_state_is_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str, status: str
) -> None:
    """A job that was killed has no exception; submitit's message for it ends with the lines of its log."""
    from submitit.core.utils import UncompletedJobError

    class Job:
        job_id, paths = "7", type("Paths", (), {"stderr": "7_log.err"})

        def __init__(self) -> None:
            self.state = state

        def done(self) -> bool:
            return True

        def stdout(self) -> str:
            return jobs[0].spec.run_id

        def exception(self) -> Exception:
            return UncompletedJobError(f"has not produced any output (state: {state})\n---\ndenoise 1/2")

    class Executor:
        cluster = "slurm"

        def submit(self, share: slurm.Share) -> Job:
            return Job()

    jobs = requests(tmp_path, 1)
    monkeypatch.setattr(slurm, "_executor", lambda *_: Executor())
    launch(jobs, Said(), Options(), work=work)
    record = by_seed(tmp_path)[0]
    assert record.status == status
    assert record.error is not None
    assert record.error["message"].startswith(f"the slurm job 7 ended: state {state}")
    assert "denoise" not in record.error["message"]
