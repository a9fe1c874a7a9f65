"""The engine of batch systems: Slurm jobs through submitit, each with its share of the runs and its model.

The shares are dealt so that what has the same latents stays in one job. A Slurm job that ends before its
share is done (killed, out of memory, out of time) costs the run that it had under way, which is recorded as
failed; the rest of its share is submitted again.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from cogexp import record as records
from cogexp.build import Request
from cogexp.launch.execute import execute, run_folder
from cogexp.launch.logs import show_log_lines
from cogexp.launch.lost import record_lost
from cogexp.spec import SpecError, check_choice, check_range
from cogexp.store import Keys
from cogexp.system import streams
from cogexp.terminal import Lines, Progress

Work = Callable[[Request, Progress], object]
CLUSTERS = ("slurm", "local", "debug")
POLL_SECONDS = 2.0


@dataclass(frozen=True, kw_only=True)
class Options:
    """The keys of hydra/launcher=submitit. `slurm` holds further options of sbatch by submitit's names."""

    cluster: str | None = None
    tasks: int = 4
    timeout_min: int = 240
    gpus_per_node: int = 1
    cpus_per_task: int = 8
    mem_gb: float = 64
    slurm: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.cluster is not None:
            check_choice("hydra.launcher.cluster", self.cluster, CLUSTERS)
        check_range("hydra.launcher.tasks", self.tasks, 1, 10_000)


class Share:
    """What one Slurm job does: its runs one after the other, in the folder that the sweep was started in."""

    def __init__(self, requests: Sequence[Request], work: Work) -> None:
        self.requests, self._work = list(requests), work
        self._folder = os.getcwd()
        # Records of an earlier start, known by their stamp: two machines' clocks need not agree.
        self._before = [records.stamp(run_folder(request)) for request in self.requests]

    def __call__(self) -> int:
        """How many runs it did. Those with a record of this sweep are not done again."""
        streams.guard()
        os.chdir(self._folder)
        show_log_lines(self.requests[0].settings.debug)
        left = self.left()
        for request in left:
            print(request.spec.run_id, flush=True)
            self._work(request, Lines())
        return len(left)

    def checkpoint(self, *_: Any) -> Any:
        """Slurm takes the node away or the time is up: the same share is queued again, and goes on."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)

    def left(self) -> list[Request]:
        """Runs that no record of this sweep tells of."""
        pairs = zip(self.requests, self._before, strict=True)
        return [request for request, before in pairs if not _written(request, before)]


def launch(requests: Sequence[Request], progress: Progress, options: Options, work: Work = execute) -> None:
    """Deal `requests` to Slurm jobs, wait for them, and submit again what a lost job left.

    Raises:
        SpecError: submitit or the cluster is missing.
        KeyboardInterrupt: after the jobs were cancelled and what was under way was recorded.
    """
    check()
    logs = requests[0].settings.outputs / "slurm"
    executor = _executor(options, logs)
    shares = [Share(part, work) for part in deal(requests, options.tasks)]
    while shares:
        jobs = [executor.submit(share) for share in shares]
        progress.say(
            f"{len(jobs)} {executor.cluster} jobs for {sum(len(s.requests) for s in shares)} runs: {logs}"
        )
        try:
            _wait(jobs, shares, progress)
        except KeyboardInterrupt:
            for job, share in zip(jobs, shares, strict=True):
                job.cancel()
                _lose(share, "the sweep was interrupted", "interrupted")
            raise
        again = []
        for job, share in zip(jobs, shares, strict=True):
            if not (left := share.left()):
                continue
            if left[0] is share.requests[0] and left[0].spec.run_id not in (job.stdout() or ""):
                progress.say(f"job {job.job_id} could not start: {_reason(job)}")
                continue
            status = "oom" if _state(job).startswith("OUT_OF_ME") else "failed"
            _lose(share, f"the {executor.cluster} job {job.job_id} ended: {_reason(job)}", status)
            if left[1:]:
                again.append(Share(left[1:], work))
        shares = again


def check() -> None:
    """Raise SpecError when submitit is missing."""
    if find_spec("submitit") is None:
        raise SpecError("hydra/launcher=submitit needs submitit; pip install 'cogexp[slurm]'")


def deal(requests: Sequence[Request], tasks: int) -> list[list[Request]]:
    """At most `tasks` parts of about the same size, in order; runs with the same latents stay together."""
    chains: dict[str, list[Request]] = {}
    for request in requests:
        chains.setdefault(Keys.of(request.spec).denoise, []).append(request)
    parts: list[list[Request]] = []
    left, goal = len(requests), 0
    for chain in chains.values():
        # A new part as soon as the last one has its share of what was left when it began.
        if not parts or (len(parts) < tasks and len(parts[-1]) >= goal):
            goal = -(-left // (tasks - len(parts)))
            parts.append([])
        parts[-1] += chain
        left -= len(chain)
    return parts


def _executor(options: Options, logs: Path) -> Any:
    import submitit

    try:
        executor = submitit.AutoExecutor(folder=logs / "%j", cluster=options.cluster)
    except RuntimeError as error:
        raise SpecError(
            f"hydra.launcher.cluster must be one of {', '.join(CLUSTERS)} that is here: {error}"
        ) from None
    executor.update_parameters(
        name="cogexp",
        timeout_min=options.timeout_min,
        gpus_per_node=options.gpus_per_node,
        cpus_per_task=options.cpus_per_task,
        mem_gb=options.mem_gb,
        **{f"slurm_{key}": value for key, value in options.slurm.items()},
    )
    return executor


def _wait(jobs: Sequence[Any], shares: Sequence[Share], progress: Progress) -> None:
    total, told = sum(len(share.requests) for share in shares), -1
    while True:
        over = all(job.done() for job in jobs)
        done = total - sum(len(share.left()) for share in shares)
        if done != told:
            progress.say(f"{done}/{total} runs have a record")
            told = done
        if over:
            return
        time.sleep(POLL_SECONDS)


def _lose(share: Share, reason: str, status: str) -> None:
    if left := share.left():
        record_lost(left[0], reason, status=status)


def _reason(job: Any) -> str:
    """The exception that ended a job, or the state that the batch system gives one that was ended."""
    error = job.exception()
    if error is not None and type(error).__name__ == "UncompletedJobError":
        # Its message has the last lines of the job's log: what it was at, not why it ended.
        return f"state {_state(job)}, without an exception of its own; its log is {job.paths.stderr}"
    # A failed job's message is a trace between two rules of dashes, then where the logs are.
    text = str(error).split("\nYou can check full logs")[0] if error else ""
    lines = [line.strip() for line in text.splitlines() if line.strip().strip("-")]
    return (lines[-1] if lines else str(job.state))[:300]


def _state(job: Any) -> str:
    return str(job.state)


def _written(request: Request, before: int | None) -> bool:
    """Whether the run has a readable record that is not the one from `before`."""
    folder = run_folder(request)
    return records.stamp(folder) not in (None, before) and records.read_if_whole(folder) is not None
