"""The engine of many workers: long-lived Ray actors, one a GPU, each keeping its model between jobs.

A worker that dies costs the job it had, which is recorded as failed; another worker takes its place. Ray's
own restarts and retries stay off: a job that kills its worker would kill the next one too.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from cogexp import record as records
from cogexp.build import Request
from cogexp.launch.basic import Clock
from cogexp.launch.execute import execute, run_folder
from cogexp.launch.logs import show_log_lines
from cogexp.launch.lost import record_lost
from cogexp.launch.schedule import Schedule
from cogexp.spec import SpecError
from cogexp.terminal import Progress, Silent

Work = Callable[[Request, Progress], object]

START_SECONDS = 120.0  # a worker imports torch before it answers
PROBE_SECONDS = 5.0
OBJECT_STORE_BYTES = 80 * 2**20  # only requests and a few words travel through Ray: clips go through the disk


@dataclass(frozen=True, kw_only=True)
class Options:
    """The keys of hydra/launcher=ray.

    `address`: of a running cluster; None: the one that is running here, else one for this sweep. `workers`:
    a number, or auto: one a GPU, without GPUs one. `gpus_per_worker`: less than 1 lets workers share a GPU.
    """

    address: str | None = None
    workers: int | str = "auto"
    gpus_per_worker: float = 1.0


class _Said(Silent):
    """Keeps what a job said, for the terminal that started the sweep."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


class Worker:
    """The actor: a process with its model. It works in the folder that the sweep was started in."""

    def __init__(self, work: Work, folder: str, debug: bool) -> None:
        os.chdir(folder)
        show_log_lines(debug)
        self._work = work

    def ready(self) -> int:
        """Its process id: it can work."""
        return os.getpid()

    def run(self, request: Request) -> list[str]:
        """Do one job; what it said."""
        said = _Said()
        self._work(request, said)
        return said.lines


def launch(
    requests: Sequence[Request],
    progress: Progress,
    seconds: Sequence[float | None],
    options: Options,
    work: Work = execute,
) -> None:
    """Run `requests` on a Ray cluster; `work` does one of them in a worker.

    Raises:
        SpecError: Ray is missing, there is no such cluster, or it has not what the workers need.
        KeyboardInterrupt: after the jobs under way were recorded as interrupted.
    """
    check(requests[0].settings.device, options)
    with _cluster(options) as ray:
        count, resources = _sizes(ray, options, len(requests), requests[0].settings.device)
        _Pool(ray, requests, progress, Clock(seconds), resources, work).run(count)


def check(device: str, options: Options) -> None:
    """Raise SpecError for options that no cluster can meet, or when Ray is missing."""
    if find_spec("ray") is None:
        raise SpecError("hydra/launcher=ray needs Ray, which is not installed; pip install 'cogexp[ray]'")
    workers = options.workers
    if workers != "auto" and not (isinstance(workers, int) and workers >= 1):
        raise SpecError(f"hydra.launcher.workers must be auto or at least 1, got {workers!r}; nearest: 1")
    if not 0 < options.gpus_per_worker <= 64:
        raise SpecError(
            f"hydra.launcher.gpus_per_worker must be above 0, got {options.gpus_per_worker}; nearest: 1"
        )
    if ":" in device:
        raise SpecError(f"device must be cuda or cpu with hydra/launcher=ray, got {device!r}; nearest: cuda")


@contextmanager
def _cluster(options: Options) -> Iterator[Any]:
    """Connected to the cluster; one that was started for this sweep ends with it."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray

    joined = ray.is_initialized()
    try:
        if not joined:
            _connect(ray, options.address)
        yield ray
    finally:
        if not joined and ray.is_initialized():
            ray.shutdown()


def _connect(ray: Any, address: str | None) -> None:
    quiet = {"log_to_driver": False, "logging_level": "ERROR", "configure_logging": True}
    running = address or os.environ.get("RAY_ADDRESS")
    try:
        _probe(running)
        if running:
            ray.init(address=running, **quiet)
        else:
            ray.init(include_dashboard=False, object_store_memory=OBJECT_STORE_BYTES, **quiet)
    except (OSError, RuntimeError, ValueError) as error:
        first = str(error).strip().partition("\n")[0]
        raise SpecError(
            f"hydra.launcher.address must be a running Ray cluster, got {running!r}: {first}"
        ) from error


def _probe(address: str | None) -> None:
    """ConnectionError unless something listens at HOST:PORT: Ray itself would try for minutes."""
    host, _, port = (address or "").rpartition("://")[2].rpartition(":")
    if host and port.isdigit():
        with socket.create_connection((host.strip("[]"), int(port)), timeout=PROBE_SECONDS):
            pass


def _sizes(ray: Any, options: Options, jobs: int, device: str) -> tuple[int, dict[str, float]]:
    """(workers, the resources of each)."""
    have = ray.cluster_resources()
    cpus, gpus = have.get("CPU", 1.0), have.get("GPU", 0.0)
    share = options.gpus_per_worker if device == "cuda" else 0.0
    fit = int(gpus / share + 1e-6) if share else 1
    count = fit if options.workers == "auto" else int(options.workers)
    if share and (count > fit or fit == 0):
        raise SpecError(
            f"hydra.launcher.workers needs {share:g} GPUs a worker, got {max(count, 1)} workers on a cluster "
            f"with {gpus:g} GPUs; nearest: {max(fit, 0)} workers, or device=cpu"
        )
    count = min(count, jobs)
    # CPUs only tell Ray how many workers fit a node, and torch how many threads to take.
    return count, {
        "num_gpus": share,
        "num_cpus": max(int(cpus) // count, 1) if cpus >= count else cpus / count,
    }


class _Pool:
    """Workers and their jobs, until none is left."""

    def __init__(
        self,
        ray: Any,
        requests: Sequence[Request],
        progress: Progress,
        clock: Clock,
        resources: dict[str, float],
        work: Work,
    ) -> None:
        self._ray, self._progress, self._clock = ray, progress, clock
        self._schedule, self._total, self._done = Schedule(requests), len(requests), 0
        self._new = ray.remote(Worker).options(max_restarts=0, max_task_retries=0, **resources).remote
        self._arguments = (work, os.getcwd(), requests[0].settings.debug)
        self._workers: dict[int, Any] = {}
        self._busy: dict[Any, tuple[int, str]] = {}  # reference -> (worker, when its job started)
        self._said: set[str] = set()

    def run(self, count: int) -> None:
        """Start `count` workers and hand out the jobs."""
        try:
            for number in range(1, count + 1):
                self._start(number)
            while self._busy or (len(self._schedule) and self._workers):
                self._hand_out()
                done, _ = self._ray.wait(list(self._busy), num_returns=1)
                self._settle(done[0])
            if len(self._schedule):
                raise SpecError(f"no Ray worker could be started; {len(self._schedule)} jobs were not run")
        except KeyboardInterrupt:
            # A second Ctrl-C must not cut the records short.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            for reference, (number, started) in list(self._busy.items()):
                self._ray.kill(self._workers[number])
                del self._busy[reference]
                request = self._schedule.lost(number)
                record_lost(request, "the sweep was interrupted", status="interrupted", started=started)
            raise
        finally:
            for worker in self._workers.values():
                self._ray.kill(worker)

    def _start(self, number: int) -> None:
        """A new worker, once it answers; without an answer there is one worker less."""
        worker = self._new(*self._arguments)
        try:
            self._ray.get(worker.ready.remote(), timeout=START_SECONDS)
        except self._ray.exceptions.RayError as error:
            self._ray.kill(worker)
            self._workers.pop(number, None)
            self._progress.say(f"worker {number} did not start: {_reason(error)}")
            return
        self._workers[number] = worker

    def _hand_out(self) -> None:
        working = {number for number, _ in self._busy.values()}
        for number in sorted(set(self._workers) - working):
            if (request := self._schedule.next(number)) is None:
                continue
            reference = self._workers[number].run.remote(request)
            self._busy[reference] = (number, records.now())

    def _settle(self, reference: Any) -> None:
        """One job is over: its record is there, or its worker is gone and one is written."""
        number, started = self._busy.pop(reference)
        errors = self._ray.exceptions
        self._done += 1
        try:
            for line in self._ray.get(reference):
                if line not in self._said:
                    self._said.add(line)
                    self._progress.say(line)
            request = self._schedule.finished(number)
        except errors.RayTaskError as error:  # the worker lives; its job raised what no run raises
            request = self._schedule.finished(number)
            record_lost(request, _reason(error), started=started)
        except errors.RayError as error:
            request = self._schedule.lost(number)
            # Ray says so when it kills a worker for memory; the kernel gives no reason for its own kills.
            out = isinstance(error, errors.OutOfMemoryError) or "running low on memory" in str(error)
            reason = f"the worker died: {_reason(error)}"
            record_lost(request, reason, status="oom" if out else "failed", started=started)
            del self._workers[number]
            self._tell(number, request)
            if len(self._schedule):
                self._progress.say(f"worker {number} died and is started again")
                self._start(number)
            return
        self._tell(number, request)

    def _tell(self, number: int, request: Request) -> None:
        status = _status(run_folder(request))
        left = self._clock.left(self._done) if self._done < self._total else ""
        self._progress.say(
            f"[{self._done}/{self._total}] {request.spec.run_id} {status} (worker {number}){left}"
        )


def _status(folder: Path) -> str:
    try:
        return records.read(folder, per_frame=False).status
    except records.RecordError:
        return "left no record"


def _reason(error: BaseException) -> str:
    """Of Ray's message the line that says what happened, without the advice that follows."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    detail = next((line for line in lines if "exit detail:" in line), lines[-1])
    return (
        detail.partition("exit detail:")[2].partition(" Some common causes")[0].strip()[:300] or detail[:300]
    )
