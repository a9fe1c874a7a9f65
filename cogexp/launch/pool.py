"""Several workers on one study: who gets which job, and what becomes of a job whose worker died.

A worker keeps its model between jobs. One that dies costs the job it had, which is recorded as failed;
another takes its place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from cogexp import record as records
from cogexp.build import Request
from cogexp.launch.basic import Clock
from cogexp.launch.execute import run_folder
from cogexp.launch.lost import record_lost
from cogexp.launch.schedule import Schedule
from cogexp.storage.lock import LEASE_SECONDS
from cogexp.system import interrupts
from cogexp.system.faults import reason_of
from cogexp.terminal import Progress, Silent

Work = Callable[[Request, Progress], object]
MOST_IDLE_DEATHS = 8


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a job ended: what it said, and why it left no record of its own ('' when it did).

    died: its worker is gone. out_of_memory: and was killed for its memory. interrupted: and was asked to end,
    or its machine was taken away, which says nothing of the job.
    """

    lines: tuple[str, ...] = ()
    problem: str = ""
    died: bool = False
    out_of_memory: bool = False
    interrupted: bool = False

    @property
    def status(self) -> str:
        """Of the record of a job that left none."""
        return "oom" if self.out_of_memory else "interrupted" if self.interrupted else "failed"


class Crew(Protocol):
    """The workers, known by number; each does one job at a time."""

    def start(self, number: int) -> str:
        """A new worker that can work; else why there is none, '' when there is."""

    def give(self, number: int, request: Request) -> None:
        """Let an idle worker begin a job. Raises OSError when it is gone: the job has not begun."""

    def wait(self) -> tuple[int, Outcome]:
        """The next job that ends: its worker and how."""

    def stop(self, number: int) -> None:
        """End a worker at once, whatever it does."""


class Said(Silent):
    """Keeps what a job said, for the terminal that started the sweep."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


class Pool:
    """A crew and its jobs, until none is left."""

    def __init__(
        self,
        crew: Crew,
        name: str,
        requests: Sequence[Request],
        progress: Progress,
        seconds: Sequence[float | None],
    ) -> None:
        """`name` of its workers in messages; `seconds`: how long each job is expected to take."""
        self._crew, self._name, self._progress = crew, name, progress
        self._clock, self._schedule = Clock(seconds), Schedule(requests)
        self._total, self._done = len(requests), 0
        self._workers: set[int] = set()
        self._busy: dict[int, str] = {}  # worker -> when its job started
        self._said: set[str] = set()
        self._deaths = 0  # of idle workers

    def run(self, count: int) -> None:
        """Start `count` workers and hand out the jobs.

        Raises:
            KeyboardInterrupt: after the jobs under way were recorded as interrupted.
        """
        try:
            for number in range(1, count + 1):
                self._start(number)
            while self._busy or (len(self._schedule) and self._workers):
                self._hand_out()
                if self._busy:
                    self._settle(*self._crew.wait())
            if len(self._schedule):
                self._progress.say(f"no {self._name} is left; {len(self._schedule)} jobs were not run")
        except KeyboardInterrupt:
            interrupts.ignore()  # a second signal must not cut the records short
            for number, started in self._busy.items():
                self._crew.stop(number)
                request = self._schedule.lost(number)
                record_lost(request, "the sweep was interrupted", status="interrupted", started=started)
            raise
        finally:
            for number in self._workers:
                self._crew.stop(number)

    def _start(self, number: int) -> None:
        """A new worker; where it does not come there is one worker less."""
        self._workers.discard(number)
        if problem := self._crew.start(number):
            self._progress.say(f"worker {number} did not start: {problem}")
        else:
            self._workers.add(number)

    def _hand_out(self) -> None:
        for number in sorted(self._workers - set(self._busy)):
            if (request := self._schedule.next(number)) is None:
                continue
            try:
                self._crew.give(number, request)
            except OSError as error:
                self._replace(number, error)
            else:
                self._busy[number] = records.now()

    def _replace(self, number: int, error: OSError) -> None:
        """A worker died without a job: the one that it was to get has not begun, and waits for another."""
        self._schedule.put_back(number)
        self._crew.stop(number)
        self._deaths += 1
        self._progress.say(f"worker {number} died while it was idle ({reason_of(error)})")
        if self._deaths > MOST_IDLE_DEATHS:  # something ends them: a fresh one would go the same way
            self._workers.discard(number)
        else:
            self._start(number)

    def _settle(self, number: int, outcome: Outcome) -> None:
        """One job is over: its record is there, or one is written for it."""
        started = self._busy.pop(number)
        self._done += 1
        for line in outcome.lines:
            if line not in self._said:
                self._said.add(line)
                self._progress.say(line)
        request = self._schedule.lost(number) if outcome.died else self._schedule.finished(number)
        if outcome.problem:
            wait = 2 * LEASE_SECONDS  # its machine may be another one
            record_lost(request, outcome.problem, status=outcome.status, started=started, wait=wait)
        self._tell(number, request)
        if outcome.died:
            if len(self._schedule):
                self._progress.say(f"worker {number} died and is started again")
                self._start(number)
            else:
                self._workers.discard(number)

    def _tell(self, number: int, request: Request) -> None:
        found = records.read_if_whole(run_folder(request))
        status = found.status if found is not None else "left no record"
        left = self._clock.left(self._done) if self._done < self._total else ""
        self._progress.say(
            f"[{self._done}/{self._total}] {request.spec.run_id} {status} (worker {number}){left}"
        )
