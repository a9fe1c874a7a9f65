"""The engine of many workers: long-lived Ray actors, one a GPU, each keeping its model between jobs.

A worker that dies costs the job it had, which is recorded as failed; another worker takes its place. Ray's
own restarts and retries stay off: a job that kills its worker would kill the next one too.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from cogexp import record as records
from cogexp.build import Request
from cogexp.launch.basic import Clock
from cogexp.launch.execute import execute, run_folder
from cogexp.launch.logs import show_log_lines
from cogexp.launch.lost import record_lost
from cogexp.launch.ray_cluster import Options, check, connected, sizes
from cogexp.launch.schedule import Schedule
from cogexp.terminal import Progress, Silent

Work = Callable[[Request, Progress], object]

START_SECONDS = 300.0  # importing from a busy disk or a network share takes its time


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
    with connected(options) as ray:
        count, resources = sizes(ray, options, len(requests), requests[0].settings.device)
        _Pool(ray, requests, progress, Clock(seconds), resources, work).run(count)


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
                self._progress.say(f"no Ray worker is left; {len(self._schedule)} jobs were not run")
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
    found = records.read_if_whole(folder)
    return found.status if found is not None else "left no record"


def _reason(error: BaseException) -> str:
    """Of Ray's message the line that says what happened, without the advice that follows."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    detail = next((line for line in lines if "exit detail:" in line), lines[-1])
    return (
        detail.partition("exit detail:")[2].partition(" Some common causes")[0].strip()[:300] or detail[:300]
    )
