"""Worker processes: a killed one costs one job, Ctrl-C is recorded, none outlives a sweep that was killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from cogexp.build import Request
from cogexp.launch import workers
from cogexp.launch.workers import Options, environments, launch
from cogexp.spec import SpecError
from cogexp.system import host_memory
from cogexp.terminal import Progress
from tests.launch.jobs import Said, by_seed, finish, requests
from tests.system.machines import make_machine
from tests.waiting import PATIENCE, until

DEADLY, RAISING = 2, 4


def work(request: Request, progress: Progress) -> None:
    """A moment of nothing; the deadly seed kills its process the first time."""
    time.sleep(0.2)
    _sign(request)
    told = request.settings.outputs / "killed"
    if request.spec.seed == DEADLY and not told.exists():
        told.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if request.spec.seed == RAISING:
        raise ValueError("a job that raises is no death of its worker")
    progress.say("said once by each, shown once")
    progress.say(f"threads {os.environ['OMP_NUM_THREADS']}")
    finish(request)


def wait_for_ever(request: Request, progress: Progress) -> None:
    """A job that is under way when the sweep is interrupted or killed."""
    _sign(request)
    time.sleep(2 * PATIENCE)


def _sign(request: Request) -> None:
    """Which process has this job, or had it when it died."""
    (request.settings.outputs / f"pid{request.spec.seed}").write_text(str(os.getpid()), "utf-8")


def test_a_killed_worker_costs_its_job_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "usable_cores", lambda: 6)
    jobs, said = requests(tmp_path, 8), Said()
    launch(jobs, said, [None] * len(jobs), Options(workers=2), work=work)
    found = by_seed(tmp_path)
    assert {seed: record.status for seed, record in found.items()} == {
        seed: "failed" if seed in (DEADLY, RAISING) else "ok" for seed in range(8)
    }
    assert found[DEADLY].error is not None
    assert found[RAISING].error is not None
    assert "the worker died: killed by SIGKILL" in found[DEADLY].error["message"]
    assert "a job that raises" in found[RAISING].error["message"]
    pids = {int((tmp_path / f"pid{seed}").read_text("utf-8")) for seed in range(8)}
    assert len(pids) == 3, "two workers, one of them started again; each kept for its jobs"
    assert os.getpid() not in pids
    assert not any(psutil.pid_exists(pid) for pid in pids)
    assert any("started again" in line for line in said.lines)
    assert sum("said once" in line for line in said.lines) == 1
    assert "threads 3" in said.lines, "half of six cores"
    again = [job for job in jobs if found[job.spec.seed].status != "ok"]
    launch(again, said, [None] * len(again), Options(workers=2), work=work)
    assert by_seed(tmp_path)[DEADLY].status == "ok"


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_no_worker_outlives_its_sweep(tmp_path: Path, how: signal.Signals) -> None:
    script = f"""
import signal
from pathlib import Path
from cogexp.launch.workers import Options, launch
from tests.launch.jobs import Said, requests
from tests.launch.test_workers import wait_for_ever
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    jobs = requests(Path({str(tmp_path)!r}), 4)
    launch(jobs, Said(), [None] * 4, Options(workers=2), work=wait_for_ever)
"""
    (tmp_path / "sweep.py").write_text(script, "utf-8")
    root = str(Path(__file__).parents[2])
    sweep = subprocess.Popen(
        [sys.executable, tmp_path / "sweep.py"],
        env={**os.environ, "PYTHONPATH": root},
        stderr=subprocess.DEVNULL,
    )
    files = [tmp_path / "pid0", tmp_path / "pid1"]
    until(lambda: all(file.is_file() and file.read_text("utf-8") for file in files))
    pids = [int(file.read_text("utf-8")) for file in files]
    sweep.send_signal(how)
    sweep.wait(timeout=PATIENCE)
    until(lambda: not any(_lives(pid) for pid in pids))
    statuses = {seed: record.status for seed, record in by_seed(tmp_path).items()}
    assert statuses == ({0: "interrupted", 1: "interrupted"} if how == signal.SIGINT else {})


def test_a_worker_that_cannot_start_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs, said = requests(tmp_path, 2), Said()
    monkeypatch.setattr(workers, "_serve", _leave)
    launch(jobs, said, [None] * 2, Options(workers=1), work=work)
    assert said.lines == [
        "worker 1 did not start: exit status 3",
        "no worker process is left; 2 jobs were not run",
    ]
    assert not by_seed(tmp_path)


def _leave(*_: object) -> None:
    os._exit(3)


def test_the_cores_are_shared_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(12)), raising=False)
    wide = make_machine(tmp_path / "wide", total_gib=128, available_gib=100)
    monkeypatch.setattr(host_memory, "ROOT", wide)
    assert [e["OMP_NUM_THREADS"] for e in environments("cpu", Options(), 24)] == ["3"] * 4
    assert len(environments("cpu", Options(), 2)) == 2
    assert [e["OMP_NUM_THREADS"] for e in environments("cpu", Options(workers=6), 24)] == ["2"] * 6
    assert len(environments("cpu", Options(), 24, gib_a_worker=40)) == 2
    # Of a container: its limit counts, whatever the machine has.
    short = make_machine(tmp_path / "short", total_gib=128, available_gib=100, limit_gib=9)
    monkeypatch.setattr(host_memory, "ROOT", short)
    assert len(environments("cpu", Options(), 24)) == 2


def test_every_worker_gets_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    assert environments("cuda", Options(), 24) == [
        {"CUDA_VISIBLE_DEVICES": "3"},
        {"CUDA_VISIBLE_DEVICES": "5"},
    ]
    assert len(environments("cuda", Options(workers=4), 24)) == 4
    assert len(environments("cuda", Options(), 1)) == 1


@pytest.mark.parametrize(
    ("device", "count", "words"), [("cuda:1", "auto", "nearest: cuda"), ("cpu", 0, "at least 1, got 0")]
)
def test_wrong_options_are_refused(tmp_path: Path, device: str, count: int | str, words: str) -> None:
    with pytest.raises(SpecError, match=words):
        workers.check(device, Options(workers=count))


def _lives(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
