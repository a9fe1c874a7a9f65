"""A job whose process died left no record: one is written for it, so that the study knows."""

from __future__ import annotations

import logging
from contextlib import closing
from pathlib import Path

from cogexp import provenance
from cogexp import record as records
from cogexp.build import Request
from cogexp.launch.execute import run_folder
from cogexp.record import Record
from cogexp.storage.lock import LOCK_FILE, Lock
from cogexp.storage.run_files import own_folder

log = logging.getLogger("cogexp")


def record_lost(
    request: Request, reason: str, *, status: str = "failed", started: str | None = None, wait: float = 5.0
) -> Record | None:
    """The record of a run that could write none itself. One that had finished first stays as it is, and so
    does what the run said of its own interruption after `started`.

    `status` is 'failed', 'oom' or 'interrupted'. None, and no record, when the disk takes none, which is
    logged, or when another process works on the run for longer than `wait` seconds: a process that died on
    another machine still holds it for the lease.
    """
    folder = run_folder(request)
    try:
        own_folder(folder)
        lock = Lock(folder / LOCK_FILE)
        if not lock.acquire(wait):
            return None
        with closing(lock):
            found = records.read_if_whole(folder)
            if found is not None and (records.is_done(folder) or _own(found, started)):
                return found
            records.retire(folder)
            record = _record(request, reason, status, started)
            records.write(record, folder)
            return record
    except OSError as error:  # the other jobs go on
        log.error("the record of %s could not be written: %s", request.spec.run_id, error)
        return None


def _own(found: Record, started: str | None) -> bool:
    return found.status == "interrupted" and started is not None and found.finished >= started


def _record(request: Request, reason: str, status: str, started: str | None) -> Record:
    return Record(
        run_id=request.spec.run_id,
        status=status,
        error={"type": "WorkerDied", "message": reason, "stage": None},
        spec=request.spec.to_dict(),
        resolved=dict(request.resolved),
        device={"type": request.settings.device},
        versions=provenance.versions(),
        git=provenance.git_state(Path(__file__).parent),
        started=started or records.now(),
        finished=records.now(),
        study=request.settings.study,
    )
