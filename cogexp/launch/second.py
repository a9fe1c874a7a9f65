"""The second process of an overlapped sweep: it makes what it is asked for, one job after the other."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

from cogexp.allocator import freed_pages_stay
from cogexp.build import Request
from cogexp.launch.process import how_it_ended, settle_in, threads, usable_cores
from cogexp.run import FirstHalf
from cogexp.system.redact import redact
from cogexp.terminal import Progress, Silent

CONTEXT = multiprocessing.get_context("spawn")  # a fork beside libraries with threads may hang

# Makes one job's latents. What fails is raised.
Make = Callable[[Request, Progress], FirstHalf]


@dataclass(frozen=True, kw_only=True)
class Made:
    """How the first half of a job ended, or why there are no latents."""

    half: FirstHalf = field(default_factory=FirstHalf)
    problem: str = ""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """What the second process is at."""

    name: str = ""
    done: int = 0


class Second:
    """The process, seen from the first one. It dies with the first one.

    `make`: what it does with each job. `shared`: how many threads it computes with, a number that both can
    see; None on a GPU.
    """

    def __init__(self, make: Make, shared: Any, *, debug: bool) -> None:
        self._here, there = CONTEXT.Pipe()
        arguments = (there, make, os.getcwd(), debug, shared)
        self._process = CONTEXT.Process(target=_serve, args=arguments, daemon=True)
        self._process.start()
        there.close()

    def give(self, request: Request) -> None:
        """Let it begin a job. Raises OSError when it is gone."""
        self._here.send(request)

    def hear(self) -> Made | Stage:
        """What it says next. Raises EOFError or OSError when it is gone."""
        said: Made | Stage = self._here.recv()
        return said

    def how_it_ended(self) -> str:
        return how_it_ended(self._process)

    def kill(self) -> None:
        self._process.kill()

    def end(self, seconds: float) -> None:
        """Let it leave, for so long; then kill it."""
        self._here.close()
        self._process.join(seconds)
        self._process.kill()
        self._process.join()


def half() -> int:
    """Threads of the second process while the first one is busy, too."""
    return max(usable_cores() // 2, 1)


def failed(error: Exception) -> Made:
    return Made(problem=redact(str(error) or type(error).__name__))


class Paced:
    """A progress that sets, at each step, how many threads compute on."""

    def __init__(self, progress: Progress, cores: Callable[[], int]) -> None:
        self._progress, self._cores = progress, cores

    def say(self, text: str) -> None:
        self._progress.say(text)

    @contextmanager
    def stage(self, name: str, total: int | None) -> Iterator[Any]:
        import torch  # here already: whoever computes a stage has loaded it

        before = torch.get_num_threads()
        with self._progress.stage(name, total) as advance:

            def step(done: int) -> None:
                advance(done)
                torch.set_num_threads(self._cores())

            torch.set_num_threads(self._cores())
            try:
                yield step
            finally:
                torch.set_num_threads(before)


class _Told(Silent):
    """Tells the first process how far a job is."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @contextmanager
    def stage(self, name: str, total: int | None) -> Iterator[Any]:
        self._connection.send(Stage(name=name))
        yield lambda done: self._connection.send(Stage(name=name, done=done))


def _serve(connection: Connection, make: Make, folder: str, debug: bool, shared: Any) -> None:
    """The second process's life: job after job, until nobody is there any more."""
    if shared is not None:
        os.environ.update(threads(shared.value))  # before torch is loaded, which reads it once
    settle_in(folder, debug)
    told: Progress = _Told(connection)
    if shared is not None:
        told = Paced(told, lambda: shared.value)
    with freed_pages_stay(shared is not None):
        while True:
            try:
                request: Request = connection.recv()
            except EOFError:
                return
            connection.send(_one(make, request, told))


def _one(make: Make, request: Request, told: Progress) -> Made:
    try:
        return Made(half=make(request, told))
    except Exception as error:  # noqa: BLE001 - the first process tries the job again and records what fails
        return failed(error)
