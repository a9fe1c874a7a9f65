"""What Slurm says of jobs, asked of its controller (squeue): right on clusters with and without accounting.

submitit asks the accounting (sacct). A cluster without one answers with an error at every question, and
submitit then takes every job for running.
"""

from __future__ import annotations

import logging
import os
import subprocess
import time
from dataclasses import dataclass
from typing import Any

from submitit.slurm.slurm import SlurmInfoWatcher

ASK_SECONDS = 30.0  # at most; the controller remembers an ended job for MinJobAge, 300 s by default
ANSWER_SECONDS = 60.0
NEW_SECONDS = 10.0  # in which a job may not be in the queue yet
GONE = "GONE"  # ended so long ago that the controller has forgotten it
UNKNOWN = "UNKNOWN"
FORMAT = "%i|%T|%N|%r"
LAST = {
    "BOOT_FAIL",
    "CANCELLED",
    "COMPLETED",
    "DEADLINE",
    "FAILED",
    "NODE_FAIL",
    "OUT_OF_MEMORY",
    "PREEMPTED",
    "REVOKED",
    "TIMEOUT",
    GONE,
}

# Slurm may queue such a job again: it has ended when it is found so twice.
PERHAPS = {"BOOT_FAIL", "NODE_FAIL", "PREEMPTED"}

log = logging.getLogger("cogexp")


@dataclass(frozen=True, kw_only=True)
class End:
    """How a job ended: the status of the run that it had under way, and why, in words."""

    status: str
    text: str


# What the batch system or a person took away is no evidence against a setting: the run is still to do.
ENDS = {
    "CANCELLED": End(status="interrupted", text="it was cancelled"),
    "PREEMPTED": End(status="interrupted", text="it was preempted"),
    "NODE_FAIL": End(status="interrupted", text="its node failed"),
    "BOOT_FAIL": End(status="interrupted", text="its node did not boot"),
    "DEADLINE": End(status="interrupted", text="its deadline passed"),
    "REVOKED": End(status="interrupted", text="another cluster took it"),
    "TIMEOUT": End(
        status="interrupted", text="its time was up; hydra.launcher.timeout_min=MINUTES gives it more"
    ),
    "OUT_OF_MEMORY": End(
        status="oom", text="it took more main memory than it had; hydra.launcher.mem_gb=GB gives it more"
    ),
}


class Queue(SlurmInfoWatcher):
    """See submitit's watcher: one question for all jobs, seldom asked. A job out of the queue has ended."""

    def __init__(self) -> None:
        super().__init__(delay_s=ASK_SECONDS)
        self._since: dict[str, float] = {}
        self._silent = False

    def register_job(self, job_id: str) -> None:
        self._since.setdefault(job_id, time.monotonic())
        super().register_job(job_id)

    def is_done(self, job_id: str, mode: str = "standard") -> bool:
        """Only states that a job never leaves: one that is suspended or whose node boots goes on."""
        self.get_info(job_id, mode=mode)
        return job_id in self._finished

    def waits_for(self, job_id: str) -> str:
        """Why a pending job does not start, in Slurm's words; '' for one that only waits for its turn."""
        info = self.get_info(job_id, mode="cache")
        reason = info.get("Reason", "").replace("_", " ")
        ordinary = ("", "None", "Priority", "Resources", "BeginTime", "JobHeldUser")
        return reason if info.get("State") == "PENDING" and reason not in ordinary else ""

    def update(self) -> None:
        """Ask the controller about all jobs that have not ended."""
        open_jobs = self._registered - self._finished
        if not open_jobs:
            return
        self._num_calls += 1
        self._last_status_check = time.time()
        command = ["squeue", "--noheader", "--states=all", f"--user={os.getuid()}", f"--format={FORMAT}"]
        try:
            answer = subprocess.run(
                command, capture_output=True, text=True, timeout=ANSWER_SECONDS, check=True
            ).stdout
        except (OSError, subprocess.SubprocessError) as error:
            self._say_silent(error)
            return
        self._silent = False
        listed = self.read_info(answer)
        for job in open_jobs:
            self._note(job, listed.get(job))

    def read_info(self, string: bytes | str) -> dict[str, dict[str, str]]:
        """squeue's lines -> job -> State, NodeList, Reason."""
        text = string if isinstance(string, str) else string.decode()
        found = {}
        for line in text.splitlines():
            job, state, nodes, reason = (*line.split("|", 3), "", "", "")[:4]
            found[job.strip()] = {"State": state, "NodeList": nodes, "Reason": reason}
        return found

    def _note(self, job: str, info: dict[str, str] | None) -> None:
        if info is None:
            listed = self._info_dict.get(job, {}).get("State", UNKNOWN) != UNKNOWN
            known = listed or time.monotonic() - self._since[job] > NEW_SECONDS
            info = {"State": GONE} if known else {"State": UNKNOWN}
        before, state = self._info_dict.get(job, {}).get("State"), info["State"]
        self._info_dict[job] = info
        if state in LAST and (state not in PERHAPS or state == before):
            self._finished.add(job)

    def _say_silent(self, error: Exception) -> None:
        if not self._silent:
            self._silent = True
            why = " ".join(str(getattr(error, "stderr", "") or error).split())[:200]
            log.warning("Slurm's controller does not answer; the sweep waits for it: squeue: %s", why)


def watch(executor: Any) -> Queue | None:
    """Let the jobs of a Slurm executor be watched in the queue; None for another cluster."""
    if executor.cluster != "slurm":
        return None
    from submitit.slurm.slurm import SlurmJob

    queue = Queue()
    SlurmJob.watcher = queue
    return queue
