"""The engine of several processes on this machine: one a GPU, or the CPU's cores shared out among them.

On a CPU two processes of one thread denoise about half as much again as one process of two threads, and one
of them writes, measures or waits for W&B while the other denoises.
"""

from __future__ import annotations

import errno
import multiprocessing
import os
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from cogexp.build import Request
from cogexp.launch.execute import execute
from cogexp.launch.pool import Outcome, Pool, Said, Work
from cogexp.launch.process import (
    START_SECONDS,
    environment,
    how_it_ended,
    settle_in,
    threads,
    usable_cores,
    was_asked_to_end,
)
from cogexp.plan import plan
from cogexp.spec import SpecError
from cogexp.system import host_memory
from cogexp.system.redact import redact
from cogexp.terminal import Progress

END_SECONDS = 5.0  # for an idle worker to leave by itself
MOST_ON_CPU = 4  # more would fight for the memory's bandwidth
GIB_A_WORKER = 4.0  # of main memory on a CPU: a run of the embedded model stays below 3

_READY = "ready"
_GPUS = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True, kw_only=True)
class Options:
    """The key of hydra/launcher=workers: a number, or auto.

    auto: one a GPU; on a CPU as many as cores and memory allow, at most MOST_ON_CPU.
    """

    workers: int | str = "auto"


def check(device: str, options: Options) -> None:
    """Raise SpecError for options that make no sense here."""
    workers = options.workers
    if workers != "auto" and not (isinstance(workers, int) and workers >= 1):
        raise SpecError(f"hydra.launcher.workers must be auto or at least 1, got {workers!r}; nearest: 1")
    if ":" in device:
        raise SpecError(
            f"device must be cuda or cpu with hydra/launcher=workers, got {device!r}; nearest: cuda"
        )


def environments(
    device: str, options: Options, jobs: int, gib_a_worker: float = GIB_A_WORKER
) -> list[dict[str, str]]:
    """What each worker's environment says of its share of the machine, one a worker."""
    if device == "cuda":
        gpus = _gpus()
        count = len(gpus) if options.workers == "auto" else int(options.workers)
        return [{_GPUS: gpus[i % len(gpus)]} for i in range(min(count, jobs))]
    cores = usable_cores()
    room = int(host_memory.host_memory().available_gib / gib_a_worker)
    count = min(cores, MOST_ON_CPU, room) if options.workers == "auto" else int(options.workers)
    count = max(min(count, jobs), 1)
    return [threads(cores // count)] * count


def _gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    if named := [name for name in os.environ.get(_GPUS, "").split(",") if name]:
        return named
    import torch

    return [str(index) for index in range(max(torch.cuda.device_count(), 1))]


def launch(
    requests: Sequence[Request],
    progress: Progress,
    seconds: Sequence[float | None],
    options: Options,
    work: Work = execute,
) -> None:
    """Run `requests` in processes of this machine; `work` does one of them.

    Raises:
        SpecError: options that make no sense here.
        KeyboardInterrupt: after the jobs under way were recorded as interrupted.
    """
    settings = requests[0].settings
    check(settings.device, options)
    largest = max(plan(request.spec, device=settings.device).host_gib for request in requests)
    shares = environments(settings.device, options, len(requests), max(GIB_A_WORKER, largest))
    crew = _Processes(shares, (work, os.getcwd(), settings.debug))
    Pool(crew, "worker process", requests, progress, seconds).run(len(shares))


class _Processes:
    """See pool.Crew. Worker i has the i-th environment."""

    def __init__(self, shares: Sequence[dict[str, str]], arguments: tuple[Any, ...]) -> None:
        self._shares, self._arguments = shares, arguments
        # Not forked: a fork of a process whose libraries have threads may hang.
        self._context = multiprocessing.get_context("spawn")
        self._processes: dict[int, tuple[BaseProcess, Connection]] = {}
        self._busy: set[int] = set()

    def start(self, number: int) -> str:
        here, there = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(there, *self._arguments), daemon=True)
        with environment(self._shares[number - 1]):
            process.start()
        there.close()
        self._processes[number] = (process, here)
        try:
            if here.poll(START_SECONDS) and here.recv() == _READY:
                return ""
            problem = f"no answer in {START_SECONDS:.0f} s"
        except (EOFError, OSError):
            problem = how_it_ended(process)
        self.stop(number)
        return problem

    def give(self, number: int, request: Request) -> None:
        process, connection = self._processes[number]
        if not process.is_alive():
            raise BrokenPipeError(errno.EPIPE, how_it_ended(process))
        connection.send(request)
        self._busy.add(number)

    def wait(self) -> tuple[int, Outcome]:
        connections = {self._processes[number][1]: number for number in self._busy}
        connection = wait(list(connections))[0]
        number = connections[connection]  # type: ignore[index]
        self._busy.discard(number)
        process, here = self._processes[number]
        try:
            return number, here.recv()
        except (EOFError, OSError):
            problem = f"the worker died: {how_it_ended(process)}"
            self.stop(number)
            return number, Outcome(problem=problem, died=True, interrupted=was_asked_to_end(process))

    def stop(self, number: int) -> None:
        if found := self._processes.pop(number, None):
            process, here = found
            here.close()
            if number not in self._busy:
                process.join(END_SECONDS)  # it sees that nobody is there any more, and lets its libraries end
            process.kill()
            process.join()
        self._busy.discard(number)


def _serve(connection: Connection, work: Work, folder: str, debug: bool) -> None:
    """A worker's life: job after job, until it is killed or nobody is there any more."""
    settle_in(folder, debug)
    connection.send(_READY)
    while True:
        try:
            request: Request = connection.recv()
        except EOFError:
            return
        said = Said()
        try:
            work(request, said)
            problem = ""
        except Exception as error:  # noqa: BLE001 - what no run raises, but the others must go on
            problem = redact(str(error) or type(error).__name__)
        try:
            connection.send(Outcome(lines=tuple(said.lines), problem=problem))
        except OSError:  # the pipe is closed: the first process is gone
            return
