"""The second process of an overlapped sweep: it leaves the latents of jobs to come in the store.

Where both processes denoise, each takes the next clip that nobody makes, so that none waits for the other.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace

from cogexp.build import Request
from cogexp.launch.process import usable_cores
from cogexp.launch.second import CONTEXT, Made, Make, Paced, Second, Stage, failed, half
from cogexp.run import FirstHalf, make_latents
from cogexp.store import Keys, Store
from cogexp.terminal import Progress

END_SECONDS = 5.0  # for an idle second process to leave by itself


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
        settings = requests[0].settings
        self._debug, self._cpu = settings.debug, settings.device == "cpu"
        self._threads = CONTEXT.Value("i", half())
        self._second: Second | None = None
        self._busy = False  # the second process
        self._claimed: set[str] = set()
        self._made: dict[str, Made] = {}
        self._at = 0  # the job that the first process is at
        self._stage = Stage()
        self._stopped = False
        self._changed = threading.Condition()
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
        return Paced(progress, self._cores_here) if self._here_too is not None else progress

    def _cores_here(self) -> int:
        return max(usable_cores() - half(), 1) if self._busy else usable_cores()

    def _make_here(self, key: str, progress: Progress) -> None:
        assert self._here_too is not None
        try:
            made = Made(half=self._here_too(self._jobs[key], self.paced(progress)))
        except Exception as error:  # noqa: BLE001 - that job's own run tries again and records what fails
            made = failed(error)
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
        if busy and self._second is not None:
            self._second.kill()
        self._thread.join()

    def _feed(self) -> None:
        try:
            while (key := self._next()) is not None:
                self._busy = True
                made = self._job(self._jobs[key])
                with self._changed:
                    self._made[key], self._stage, self._busy = made, Stage(), False
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
            if self._second is None:
                self._second = Second(self._make, self._threads if self._cpu else None, debug=self._debug)
                if self._stopped:
                    self._second.kill()
            second = self._second
            second.give(request)
            while True:
                found = second.hear()
                if isinstance(found, Made):
                    return found
                with self._changed:
                    self._stage = found
        except (EOFError, OSError) as error:
            how = self._second.how_it_ended() if self._second is not None else f"it did not start: {error}"
            return Made(problem=f"the second process died: {how}")

    def _end(self) -> None:
        if self._second is not None:
            self._second.end(0 if self._stopped else END_SECONDS)
        self._second = None
