"""Calls into a service that may fail or hang: bounded in time, their faults returned instead of raised."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from cogexp.system.redact import redact

T = TypeVar("T")
GONE = ("MailboxClosedError", "HandleAbandonedError")


class Hung(Exception):
    """No answer in the time given. The call goes on in its thread, which does not hold the process."""


@dataclass(frozen=True, kw_only=True)
class Outcome(Generic[T]):
    """What a guarded call returned, or its fault."""

    value: T | None = None
    fault: Exception | None = None


def within(seconds: float, work: Callable[[], T]) -> Outcome[T]:
    """Do `work` in a thread and wait for it at most `seconds`. Ctrl-C goes through to the caller.

    A thread, because W&B's calls wait without limit on a service process that may hang or be gone.
    """
    found: list[Outcome[T]] = []

    def guarded() -> None:
        try:
            found.append(Outcome(value=work()))
        # Broad on purpose: W&B raises dozens of types, not all its own, and none of them may end a run.
        except Exception as error:  # noqa: BLE001
            found.append(Outcome(fault=error))

    thread = threading.Thread(target=guarded, name="cogexp-tracking", daemon=True)
    thread.start()
    thread.join(seconds)
    return found[0] if found else Outcome(fault=Hung(f"no answer within {seconds:g} s"))


def broke_service(fault: Exception) -> bool:
    """Whether W&B's service process is gone or hangs: only a new one will answer again."""
    # The last ones are of internal modules, so they are known by their names.
    return isinstance(fault, (Hung, ConnectionError)) or type(fault).__name__ in GONE


def line(error: BaseException) -> str:
    """An error as one short line without secrets: its first line, or its type."""
    first = str(error).strip().partition("\n")[0]
    return redact(" ".join(first.split()))[:200] or type(error).__name__
