"""Batch jobs through submitit on this machine: shares keep latents together, a killed job costs one run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("submitit")

from cogexp.build import Request
from cogexp.launch import slurm, slurm_end, slurm_queue
from cogexp.launch.lost import record_lost
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
    share = slurm.Share(jobs, work, 60)
    finish(jobs[0])
    assert share.left() == jobs[1:]
    assert share.checkpoint().function is share
    record_lost(jobs[1], "the node was drained", status="interrupted")
    assert share.left() == jobs[1:], "an interrupted run is still to do"


def leave(request: Request, progress: Progress) -> None:
    """As submitit leaves a run when its job is queued again."""
    record_lost(request, "failed for want of a better word")
    raise SystemExit(-1)


def cut_short(share: slurm.Share) -> None:
    """A job that begins a run and is queued again."""
    with pytest.raises(SystemExit):
        share()
    share.checkpoint()


def test_a_run_that_the_time_limit_ended_is_interrupted_and_tried_in_the_next_job(tmp_path: Path) -> None:
    share = slurm.Share(requests(tmp_path, 2), leave, 60)
    cut_short(share)
    assert by_seed(tmp_path)[0].status == "interrupted"
    cut_short(share)
    assert sorted(by_seed(tmp_path)) == [0], "the same run, again"


@pytest.mark.parametrize(("minutes", "jobs"), [(0, 1), (60, slurm.MOST_IN_VAIN)])
def test_a_run_that_no_job_has_time_for_is_not_tried_for_ever(
    tmp_path: Path, minutes: float, jobs: int
) -> None:
    """With no minutes at all, every job had most of its time."""
    share = slurm.Share(requests(tmp_path, 2), leave, minutes)
    for _ in range(jobs):
        cut_short(share)
    assert sorted(by_seed(tmp_path)) == [0]
    cut_short(share)
    found = by_seed(tmp_path)
    assert {seed: record.status for seed, record in found.items()} == {0: "interrupted", 1: "interrupted"}
    assert "timeout_min" in str(found[0].error)


ANSWER = """\
11|RUNNING|n1|None
12|PENDING||Nodes required for job are DOWN, DRAINED or reserved
13|TIMEOUT|n1|TimeLimit
14|SUSPENDED|n1|None
15|NODE_FAIL|n1|NodeDown
16|PENDING||Priority
"""


def test_the_queue_says_which_jobs_have_ended_and_why_one_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[str | None] = [ANSWER, ANSWER.replace("11|RUNNING|n1|None\n", "")]
    asked: list[list[str]] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        asked.append(command)
        if (answer := answers.pop(0)) is None:
            raise subprocess.CalledProcessError(1, command, stderr="no controller")
        return subprocess.CompletedProcess(command, 0, answer, "")

    monkeypatch.setattr(slurm_queue.subprocess, "run", run)
    monkeypatch.setattr(slurm_queue, "NEW_SECONDS", 1e9)
    queue = slurm_queue.Queue()
    names = [str(number) for number in range(11, 18)]
    for name in names:
        queue.register_job(name)
    queue.update()
    ended = [name for name in names if queue.is_done(name, "cache")]
    assert ended == ["13"], "17 is too new to be missed, 14 and 15 may go on"
    assert [name for name in names if queue.waits_for(name)] == ["12"]
    queue.update()
    ended = [name for name in names if queue.is_done(name, "cache")]
    assert ended == ["11", "13", "15"], "11 has left the queue, 15 was not queued again"
    assert {command[0] for command in asked} == {"squeue"}, "the accounting is not asked"


def test_a_controller_that_does_not_answer_is_said_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def run(command: list[str], **_: object) -> None:
        raise subprocess.CalledProcessError(1, command, stderr="no controller")

    monkeypatch.setattr(slurm_queue.subprocess, "run", run)
    warned: list[object] = []
    monkeypatch.setattr(slurm_queue.log, "warning", lambda *words: warned.append(words))
    queue = slurm_queue.Queue()
    queue.register_job("11")
    for _ in range(3):
        queue.update()
    assert len(warned) == 1
    assert not queue.is_done("11", "cache")


class EndedJob:
    """A job that is over, as submitit shows it."""

    job_id = "7"

    def __init__(self, state: str, stdout: str) -> None:
        self.state, self._stdout = state, stdout

    def exception(self) -> Exception | None:
        return None

    def stdout(self) -> str:
        return self._stdout


@pytest.mark.parametrize(
    ("state", "status"),
    [
        ("PREEMPTED", "interrupted"),
        ("NODE_FAIL", "interrupted"),
        ("CANCELLED by 0", "interrupted"),
        ("TIMEOUT", "interrupted"),
        ("OUT_OF_MEMORY", "oom"),
        ("OUT_OF_ME+", "oom"),
        ("FAILED", "failed"),
    ],
)
def test_what_slurm_takes_away_is_no_fault_of_the_run(tmp_path: Path, state: str, status: str) -> None:
    jobs = requests(tmp_path, 3)
    share = slurm.Share(jobs, work, 60)
    finish(jobs[0])
    rest = slurm._rest(EndedJob(state, jobs[1].spec.run_id), share, "slurm", Said())
    assert by_seed(tmp_path)[1].status == status
    assert rest == jobs[2:]


def test_the_reason_of_a_killed_job_is_its_state_and_not_the_last_line_of_its_log() -> None:
    """A job that was killed has no exception; submitit's message for it ends with the lines of its log."""
    from submitit.core.utils import UncompletedJobError

    class Killed(EndedJob):
        paths = type("Paths", (), {"stderr": "7_log.err"})

        def exception(self) -> Exception:
            return UncompletedJobError("has not produced any output (state: FAILED)\n---\ndenoise 1/2")

    status, reason = slurm_end.how_it_ended(Killed("FAILED", ""), "slurm")
    assert status == "failed"
    assert reason.startswith("state FAILED")
    assert "denoise" not in reason
