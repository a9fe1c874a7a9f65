"""What ended a run, as its record says it: a status, a type, a message without secrets, the stage."""

from __future__ import annotations

from typing import Any

from cogexp.system.faults import is_out_of_memory
from cogexp.system.redact import redact

# Known by name: submitit's end of a job that is queued no more, and a run that another process took over.
INTERRUPTIONS = ("UncompletedJobError", "LockLost")


def describe_error(error: BaseException, stage: str | None) -> dict[str, Any]:
    """An exception as `Record.error`: its type, its redacted message (its type if it has none), the stage."""
    name = type(error).__name__
    return {"type": name, "message": redact(str(error) or name), "stage": stage}


def status_of(error: BaseException) -> str:
    """'interrupted', 'oom' or 'failed'."""
    if isinstance(error, (KeyboardInterrupt, SystemExit)) or type(error).__name__ in INTERRUPTIONS:
        return "interrupted"
    return "oom" if is_out_of_memory(error) else "failed"
