"""The engine of one process: job after job, the model kept, a failed one recorded and passed over."""

from __future__ import annotations

import time
from collections.abc import Sequence

from cogexp.build import Request
from cogexp.launch.execute import execute
from cogexp.terminal import Progress


def launch(requests: Sequence[Request], progress: Progress, seconds: Sequence[float | None]) -> None:
    """Run `requests` one after the other; `seconds` is how long each is expected to take.

    Raises:
        KeyboardInterrupt: after the interrupted run was recorded.
    """
    clock = Clock(seconds)
    for index, request in enumerate(requests):
        progress.say(f"[{index + 1}/{len(requests)}] {request.spec.run_id}{clock.left(index)}")
        execute(request, progress)


class Clock:
    """Time left in words: what the jobs so far took, against what they were expected to."""

    def __init__(self, seconds: Sequence[float | None]) -> None:
        known = all(value for value in seconds)
        self._weights = [value if known and value else 1.0 for value in seconds]
        self._known = known and bool(seconds)
        self._started = time.monotonic()

    def left(self, done: int) -> str:
        """', about 3 min left' before job number `done` starts; '' when nothing is known yet."""
        rest, past = sum(self._weights[done:]), sum(self._weights[:done])
        if not past:
            return f", about {duration(rest)} left" if self._known else ""
        return f", about {duration((time.monotonic() - self._started) * rest / past)} left"


def duration(seconds: float) -> str:
    """'under 1 s', '40 s', '12 min', '3.5 h', '2.1 days': as exact as a forecast can be."""
    if seconds < 100:
        return f"{seconds:.0f} s" if seconds >= 0.5 else "under 1 s"
    if seconds < 100 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 100 * 3600 else f"{seconds / 86400:.1f} days"
