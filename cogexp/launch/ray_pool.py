"""The engine of a Ray cluster: long-lived actors, one a GPU, each keeping its model between jobs.

Ray's own restarts and retries stay off: a job that kills its worker would kill the next one too.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from cogexp.build import Request
from cogexp.launch.execute import execute
from cogexp.launch.logs import show_log_lines
from cogexp.launch.pool import Outcome, Pool, Said, Work
from cogexp.launch.ray_cluster import Options, check, connected, sizes
from cogexp.system import streams
from cogexp.terminal import Progress

START_SECONDS = 300.0  # importing from a busy disk or a network share takes its time


class Worker:
    """The actor: a process with its model. It works in the folder that the sweep was started in."""

    def __init__(self, work: Work, folder: str, debug: bool) -> None:
        streams.guard()
        os.chdir(folder)
        show_log_lines(debug)
        self._work = work

    def ready(self) -> int:
        """Its process id: it can work."""
        return os.getpid()

    def run(self, request: Request) -> list[str]:
        """Do one job; what it said."""
        said = Said()
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
        crew = _Actors(ray, (work, os.getcwd(), requests[0].settings.debug), resources)
        Pool(crew, "Ray worker", requests, progress, seconds).run(count)


class _Actors:
    """See pool.Crew."""

    def __init__(self, ray: Any, arguments: tuple[Any, ...], resources: dict[str, float]) -> None:
        self._ray, self._arguments = ray, arguments
        self._new = ray.remote(Worker).options(max_restarts=0, max_task_retries=0, **resources).remote
        self._workers: dict[int, Any] = {}
        self._busy: dict[Any, int] = {}  # reference -> worker

    def start(self, number: int) -> str:
        worker = self._new(*self._arguments)
        try:
            self._ray.get(worker.ready.remote(), timeout=START_SECONDS)
        except self._ray.exceptions.RayError as error:
            self._ray.kill(worker)
            return _reason(error)
        self._workers[number] = worker
        return ""

    def give(self, number: int, request: Request) -> None:
        worker = self._workers[number]
        try:  # one that died since its last job answers neither
            self._ray.get(worker.ready.remote(), timeout=START_SECONDS)
        except self._ray.exceptions.RayError as error:
            raise ConnectionError(_reason(error)) from None
        self._busy[worker.run.remote(request)] = number

    def wait(self) -> tuple[int, Outcome]:
        done, _ = self._ray.wait(list(self._busy), num_returns=1)
        number, errors = self._busy.pop(done[0]), self._ray.exceptions
        try:
            return number, Outcome(lines=tuple(self._ray.get(done[0])))
        except errors.RayTaskError as error:  # the worker lives; its job raised what no run raises
            return number, Outcome(problem=_reason(error))
        except errors.RayError as error:
            del self._workers[number]
            # Ray says so when it kills a worker for memory; the kernel gives no reason for its own kills.
            out = isinstance(error, errors.OutOfMemoryError) or "running low on memory" in str(error)
            asked = getattr(error, "preempted", False) or "SIGTERM" in str(error)
            problem = f"the worker died: {_reason(error)}"
            return number, Outcome(
                problem=problem, died=True, out_of_memory=out, interrupted=not out and asked
            )

    def stop(self, number: int) -> None:
        if worker := self._workers.pop(number, None):
            self._ray.kill(worker)


def _reason(error: BaseException) -> str:
    """Of Ray's message the line that says what happened, without the advice that follows."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    detail = next((line for line in lines if "exit detail:" in line), lines[-1])
    return (
        detail.partition("exit detail:")[2].partition(" Some common causes")[0].strip()[:300] or detail[:300]
    )
