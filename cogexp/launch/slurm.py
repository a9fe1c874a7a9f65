"""The engine of batch systems: Slurm jobs through submitit, each with its share of the runs and its model.

The shares are dealt so that what has the same latents stays in one job. A Slurm job that ends before its
share is done (killed, out of memory, cancelled) costs the run that it had under way, which is recorded; the
rest of its share is submitted again. What the batch system takes away (time limit, preemption, a node that
fails) is queued again and goes on; such a run is recorded as interrupted, which is no failure of its setting.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cogexp import record as records
from cogexp.build import Request
from cogexp.launch.execute import execute, run_folder
from cogexp.launch.logs import show_log_lines
from cogexp.launch.lost import record_lost
from cogexp.launch.slurm_end import how_it_ended
from cogexp.spec import SpecError, check_choice, check_range
from cogexp.storage.lock import LEASE_SECONDS
from cogexp.store import Keys
from cogexp.system import interrupts, streams
from cogexp.terminal import Lines, Progress

if TYPE_CHECKING:
    from cogexp.launch.slurm_queue import Queue

Work = Callable[[Request, Progress], object]
CLUSTERS = ("slurm", "local", "debug")
POLL_SECONDS = 2.0
MOST_IN_VAIN = 3
REQUEUES = 1000  # a share longer than a job's time limit goes on in as many jobs as it takes


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
    """What one Slurm job does: its runs one after the other, in the folder that the sweep was started in.

    `minutes` is the job's time limit.
    """

    def __init__(self, requests: Sequence[Request], work: Work, minutes: float) -> None:
        self.requests, self._work, self._minutes = list(requests), work, minutes
        self._folder = os.getcwd()
        # Records of an earlier start, known by their stamp: two machines' clocks need not agree.
        self._before = [records.stamp(run_folder(request)) for request in self.requests]
        self._in_vain = 0  # jobs in a row that ended without a finished run
        self._started, self._done = 0.0, 0

    def __call__(self) -> int:
        """How many runs it did. Those with a record of this sweep are not done again."""
        streams.guard()
        os.chdir(self._folder)
        interrupts.install()  # submitit lets a SIGTERM pass, and the SIGKILL after it leaves no record
        show_log_lines(self.requests[0].settings.debug)
        self._started, self._done = time.monotonic(), 0
        left = self.left()
        if self._in_vain >= MOST_IN_VAIN and left:
            reason = f"no job had time for it; hydra.launcher.timeout_min is {self._minutes:g}, more may do"
            record_lost(left.pop(0), reason, status="interrupted")
            self._in_vain = 0
        for request in left:
            print(request.spec.run_id, flush=True)
            try:
                self._work(request, Lines())
            except SystemExit:  # submitit leaves: the job was queued again
                record_lost(request, "the job was queued again", status="interrupted")
                raise
            self._done += 1
        return len(left)

    def checkpoint(self, *_: Any) -> Any:
        """Slurm takes the node away or the time is up: the same share is queued again, and goes on.

        A run that had most of a job's time, or parts of several, and did not end is not tried for ever.
        """
        from submitit.helpers import DelayedSubmission

        most = time.monotonic() - self._started > self._minutes * 60 / 2
        self._in_vain = 0 if self._done else self._in_vain + (MOST_IN_VAIN if most else 1)
        return DelayedSubmission(self)

    def left(self) -> list[Request]:
        """Runs that no record of this sweep tells of, or only that they were interrupted."""
        pairs = zip(self.requests, self._before, strict=True)
        return [request for request, before in pairs if not _written(request, before)]


def launch(requests: Sequence[Request], progress: Progress, options: Options, work: Work = execute) -> None:
    """Deal `requests` to Slurm jobs, wait for them, and submit again what a lost job left.

    Raises:
        SpecError: submitit or the cluster is missing.
        KeyboardInterrupt: after the jobs were cancelled and what was under way was recorded.
    """
    check()
    from cogexp.launch import slurm_queue

    logs = requests[0].settings.outputs / "slurm"
    executor = _executor(options, logs)
    queue = slurm_queue.watch(executor)
    shares = [Share(part, work, options.timeout_min) for part in deal(requests, options.tasks)]
    while shares:
        jobs = [executor.submit(share) for share in shares]
        progress.say(
            f"{len(jobs)} {executor.cluster} jobs for {sum(len(s.requests) for s in shares)} runs: {logs}"
        )
        try:
            _wait(jobs, shares, progress, queue)
        except KeyboardInterrupt:
            for job, share in zip(jobs, shares, strict=True):
                job.cancel(check=False)  # one that has just ended cannot be cancelled
                _lose(share, "the sweep was interrupted", "interrupted")
            raise
        parts = [
            _rest(job, share, executor.cluster, progress) for job, share in zip(jobs, shares, strict=True)
        ]
        shares = [Share(part, work, options.timeout_min) for part in parts if part]


def _rest(job: Any, share: Share, cluster: str, progress: Progress) -> list[Request]:
    """What is to be submitted again of an ended job's share; the run that it had under way is recorded."""
    if not (left := share.left()):
        return []
    started = (job.stdout() or "").split()
    status, reason = how_it_ended(job, cluster)
    if left[0].spec.run_id in started:
        progress.say(f"job {job.job_id} ended, {reason}: {left[0].spec.run_id} is to be done again")
        wait = 2 * LEASE_SECONDS  # a node that died still holds its run's lock for the lease
        record_lost(left[0], f"the {cluster} job {job.job_id} ended: {reason}", status=status, wait=wait)
        return left[1:]
    if any(request.spec.run_id in started for request in share.requests):
        return left  # it ended between two runs
    progress.say(f"job {job.job_id} could not start: {reason}")
    return []


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
        executor = submitit.AutoExecutor(
            folder=logs / "%j", cluster=options.cluster, slurm_max_num_timeout=REQUEUES
        )
    except RuntimeError as error:
        raise SpecError(
            f"hydra.launcher.cluster must be one of {', '.join(CLUSTERS)} that is here: {error}"
        ) from None
    # A short job has no 90 s, submitit's default, to be asked to stop before its time is up.
    slurm = {"signal_delay_s": min(90, 10 * options.timeout_min)} | options.slurm
    executor.update_parameters(
        name="cogexp",
        timeout_min=options.timeout_min,
        gpus_per_node=options.gpus_per_node,
        cpus_per_task=options.cpus_per_task,
        mem_gb=options.mem_gb,
        **{f"slurm_{key}": value for key, value in slurm.items()},
    )
    return executor


def _wait(jobs: Sequence[Any], shares: Sequence[Share], progress: Progress, queue: Queue | None) -> None:
    total, last = sum(len(share.requests) for share in shares), -1
    reasons: set[tuple[str, str]] = set()
    while True:
        over = all(job.done() for job in jobs)
        done = total - sum(len(share.left()) for share in shares)
        if done != last:
            progress.say(f"{done}/{total} runs have a record")
            last = done
        if over:
            return
        for job in jobs if queue is not None else ():
            assert queue is not None
            if (why := queue.waits_for(job.job_id)) and (job.job_id, why) not in reasons:
                reasons.add((job.job_id, why))
                progress.say(f"job {job.job_id} waits: {why}")
        time.sleep(POLL_SECONDS)


def _lose(share: Share, reason: str, status: str) -> None:
    if left := share.left():
        record_lost(left[0], reason, status=status)


def _written(request: Request, before: int | None) -> bool:
    """Whether the run has a readable record that is not the one from `before`, and was not interrupted."""
    folder = run_folder(request)
    if records.stamp(folder) in (None, before):
        return False
    record = records.read_if_whole(folder)
    return record is not None and record.status != "interrupted"
