"""A job whose process died left no record: one is written for it, so that the study knows."""

from __future__ import annotations

import logging
from pathlib import Path

from cogexp import provenance
from cogexp import record as records
from cogexp.build import Request
from cogexp.launch.execute import run_folder
from cogexp.record import Record

log = logging.getLogger("cogexp")


def record_lost(
    request: Request, reason: str, *, status: str = "failed", started: str | None = None
) -> Record:
    """The record of a run that could write none itself. One that had finished first stays as it is.

    `status` is 'failed', 'oom' or 'interrupted'.
    """
    folder = run_folder(request)
    if records.is_done(folder):
        return records.read(folder, per_frame=False)
    record = Record(
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
    try:
        records.write(record, folder)
    except OSError as error:  # the other jobs go on
        log.error("the record of %s could not be written: %s", request.spec.run_id, error)
    return record
