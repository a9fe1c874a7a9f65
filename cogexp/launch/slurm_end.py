"""Why a job of a batch system ended, by what submitit knows of it."""

from __future__ import annotations

from typing import Any


def how_it_ended(job: Any, cluster: str) -> tuple[str, str]:
    """The status of the run that an ended job had under way, and the reason."""
    from cogexp.launch.slurm_queue import ENDS

    state = str(job.state)  # the accounting says "CANCELLED by 0" and cuts words short: "OUT_OF_ME+"
    known = (end for name, end in ENDS.items() if state.startswith((name, f"{name[:9]}+")))
    end = next(known, None) if cluster == "slurm" else None
    return (end.status, end.text) if end is not None else ("failed", _reason(job))


def _reason(job: Any) -> str:
    """The exception that ended a job, or the state that the batch system gives one that was ended."""
    error = job.exception()
    if error is not None and type(error).__name__ == "UncompletedJobError":
        # Its message has the last lines of the job's log: what it was at, not why it ended.
        return f"state {job.state}, without an exception of its own; its log is {job.paths.stderr}"
    # A failed job's message is a trace between two rules of dashes, then where the logs are.
    text = str(error).split("\nYou can check full logs")[0] if error else ""
    lines = [line.strip() for line in text.splitlines() if line.strip().strip("-")]
    return (lines[-1] if lines else str(job.state))[:300]
