"""Waiting for what another process or a page does: bounded so that a hang ends, never to judge a speed."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE = 600.0  # seconds; a machine that does much else at once is slow, not broken


def until(condition: Callable[[], object], what: str = "the condition") -> None:
    """Return as soon as `condition()` is true; fail where it never becomes so."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come true in {PATIENCE:.0f} s"
        time.sleep(0.05)
