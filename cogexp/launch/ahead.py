"""The second process of an overlapped sweep: it leaves the latents of jobs to come in the store.

Where both processes denoise, each takes the next clip that nobody makes, so that none waits for the other.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from cogexp.build import Request
from cogexp.engine.allocator import freed_pages_stay
from cogexp.launch.process import how_it_ended, settle_in, threads, usable_cores
from cogexp.provenance import redact
from cogexp.run import FirstHalf, make_latents
from cogexp.store import Keys, Store
from cogexp.terminal import Progress, Silent

END_SECONDS = 5.0  # for an idle process to leave by itself

# Makes one job's latents. What fails is raised.
Make = Callable[[Request, Progress], FirstHalf]


@dataclass(frozen=True, kw_only=True)
class Made:
    """How the first half of a job ended, or why there are no latents."""

    half: FirstHalf = field(default_factory=FirstHalf)
    problem: str = ""


@dataclass(frozen=True, kw_only=True)
class _Stage:
    """What the second process is at."""

    name: str = ""
    done: int = 0


def latents_of(request: Request, progress: Progress, *, frames: bool = False) -> FirstHalf:
    """Encode and denoise one job into the store; with `frames` decode it as well."""
    settings = request.settings
    return make_latents(
        request.spec,
        settings.outputs,
        device=settings.device,
        store_gb=settings.store_gb,
        progress=progress,
        frames=frames,
    )


def frames_of(request: Request, progress: Progress) -> FirstHalf:
    """Encode, denoise and decode one job into the store."""
    return latents_of(request, progress, frames=True)


def firsts(requests: Sequence[Request]) -> dict[str, Request]:
    """Content key -> the first job that needs those latents; what the store has is left out."""
    found: dict[str, Request] = {}
    for request in requests:
        keys, store = Keys.of(request.spec), Store(request.settings.outputs / "store", 0)
        if not (store.has("denoise", keys.denoise) or store.has("decode", keys.decode)):
            found.setdefault(keys.denoise, request)
    return found


class Ahead:
    """The second process and what it made; a thread of this process feeds it and listens.

    It works at most `lead` clips ahead. After a failure it ends, so that the first process has all memory to
    try that job by itself, and comes back for the next one. With `here`, the first process makes latents,
    too, instead of waiting. On a CPU each process denoises with its half of the cores, and with all of them
    while the other one has nothing to do.
    """

    def __init__(
        self, requests: Sequence[Request], lead: int, make: Make = latents_of, *, here: Make | None = None
    ) -> None:
        self._jobs = firsts(requests)
        self._order = {key: number for number, key in enumerate(self._jobs)}
        self._lead, self._make, self._here_too = lead, make, here
        self._context = multiprocessing.get_context("spawn")  # a fork beside libraries with threads may hang
        self._threads = self._context.Value("i", half())
        self._busy = False  # the second process
        self._claimed: set[str] = set()
        self._made: dict[str, Made] = {}
        self._at = 0  # the job that the first process is at
        self._stage = _Stage()
        self._stopped = False
        self._changed = threading.Condition()
        self._process: BaseProcess | None = None
        self._here: Connection | None = None
        self._thread = threading.Thread(target=self._feed, daemon=True)
        self._thread.start()

    def take(self, request: Request, progress: Progress) -> Made | None:
        """Wait for the latents of the job that is next; None for one that needs none made."""
        key = Keys.of(request.spec).denoise
        if key not in self._jobs:
            return None
        with self._changed:
            self._at = max(self._at, self._order[key])
            self._changed.notify_all()
        while True:
            with self._changed:
                if (made := self._hand_out(key)) is not None:
                    return made
                free = self._claim() if self._here_too is not None else None
            if free is None:
                return self._wait(key, request, progress)
            self._make_here(free, progress)

    def paced(self, progress: Progress) -> Progress:
        """A progress under which this process computes with the cores that the second one leaves."""
        return _Paced(progress, self._cores_here) if self._here_too is not None else progress

    def _cores_here(self) -> int:
        return max(usable_cores() - half(), 1) if self._busy else usable_cores()

    def _make_here(self, key: str, progress: Progress) -> None:
        assert self._here_too is not None
        try:
            made = Made(half=self._here_too(self._jobs[key], self.paced(progress)))
        except Exception as error:  # noqa: BLE001 - that job's own run tries again and records what fails
            made = _failed(error)
        with self._changed:
            self._made[key] = made

    def _wait(self, key: str, request: Request, progress: Progress) -> Made:
        """Until the second process has made `key`; it has all cores for it."""
        self._threads.value = usable_cores()
        try:
            return self._made_there(key, request, progress)
        finally:
            self._threads.value = half()

    def _made_there(self, key: str, request: Request, progress: Progress) -> Made:
        steps = request.spec.sampler.steps
        with progress.stage("denoise ahead", steps) as advance:
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: key in self._made, timeout=0.25)
                    made, stage = self._hand_out(key), self._stage
                if made is not None:
                    advance(0 if made.problem else steps)
                    return made
                if stage.name == "denoise":
                    advance(stage.done)

    def _claim(self) -> str | None:
        """The next clip that nobody makes, now the caller's; None: too far ahead, or there is none."""
        for key, number in self._order.items():
            if key not in self._claimed:
                if number > self._at + self._lead:
                    return None
                self._claimed.add(key)
                return key
        return None

    def _hand_out(self, key: str) -> Made | None:
        """What was made for `key`; its cost is borne by the first job that takes it."""
        made = self._made.get(key)
        if made is not None:
            self._made[key] = replace(made, half=replace(made.half, stages=()))
        return made

    def stop(self) -> None:
        """End the second process, whatever it does."""
        with self._changed:
            self._stopped = True
            busy = len(self._made) < len(self._jobs)
            self._changed.notify_all()
        if busy and self._process is not None:
            self._process.kill()
        self._thread.join()

    def _feed(self) -> None:
        try:
            while (key := self._next()) is not None:
                self._busy = True
                made = self._job(self._jobs[key])
                with self._changed:
                    self._made[key], self._stage, self._busy = made, _Stage(), False
                    self._changed.notify_all()
                if made.problem:
                    self._end()
                    if not self._until(self._order[key] + 1):
                        return
        finally:
            self._end()

    def _next(self) -> str | None:
        """Wait for a clip to make, and claim it; None when there will be none."""
        key: str | None = None

        def found() -> bool:
            nonlocal key
            key = None if self._stopped else self._claim()
            return key is not None or self._stopped or len(self._claimed) == len(self._jobs)

        with self._changed:
            self._changed.wait_for(found)
            return key

    def _until(self, number: int) -> bool:
        """Wait until the first process has come to job `number`; False when it needs no more."""
        with self._changed:
            last = len(self._jobs) - 1
            self._changed.wait_for(lambda: self._stopped or (self._at >= number and number <= last))
            return not self._stopped

    def _job(self, request: Request) -> Made:
        try:
            if self._process is None:
                self._start(request)
            assert self._here is not None
            self._here.send(request)
            while True:
                found = self._here.recv()
                if isinstance(found, Made):
                    return found
                with self._changed:
                    self._stage = found
        except (EOFError, OSError):
            assert self._process is not None
            return Made(problem=f"the second process died: {how_it_ended(self._process)}")

    def _start(self, request: Request) -> None:
        self._here, there = self._context.Pipe()
        settings = request.settings
        shared = self._threads if settings.device == "cpu" else None
        arguments = (there, self._make, os.getcwd(), settings.debug, shared)
        self._process = self._context.Process(target=_serve, args=arguments, daemon=True)
        self._process.start()
        there.close()
        if self._stopped:
            self._process.kill()

    def _end(self) -> None:
        if self._process is not None and self._here is not None:
            self._here.close()
            self._process.join(0 if self._stopped else END_SECONDS)
            self._process.kill()
            self._process.join()
        self._process = self._here = None


class _Told(Silent):
    """Tells the first process how far a job is."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @contextmanager
    def stage(self, name: str, total: int | None) -> Iterator[Any]:
        self._connection.send(_Stage(name=name))
        yield lambda done: self._connection.send(_Stage(name=name, done=done))


class _Paced:
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


def half() -> int:
    """Threads of the second process while the first one is busy, too."""
    return max(usable_cores() // 2, 1)


def _serve(connection: Connection, make: Make, folder: str, debug: bool, shared: Any) -> None:
    """The second process's life: job after job, until nobody is there any more; `shared`: its threads."""
    if shared is not None:
        os.environ.update(threads(shared.value))  # before torch is loaded, which reads it once
    settle_in(folder, debug)
    told: Progress = _Told(connection)
    if shared is not None:
        told = _Paced(told, lambda: shared.value)
    with freed_pages_stay(shared is not None):
        while True:
            try:
                request: Request = connection.recv()
            except EOFError:
                return
            try:
                made = Made(half=make(request, told))
            except Exception as error:  # noqa: BLE001 - the first process tries again and records what fails
                made = _failed(error)
            connection.send(made)


def _failed(error: Exception) -> Made:
    return Made(problem=redact(str(error) or type(error).__name__))
