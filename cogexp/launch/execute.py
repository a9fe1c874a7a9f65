"""One job of any engine: its tracker, its automatic choices said once, its record."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cogexp import record as records
from cogexp.build import Request, Settings
from cogexp.catalog import VARIANTS
from cogexp.record import Record
from cogexp.store import Keys, Store
from cogexp.terminal import Progress

if TYPE_CHECKING:
    from cogexp.run import FirstHalf
    from cogexp.tracking import Tracker


def execute(
    request: Request,
    progress: Progress,
    *,
    mirror: bool = False,
    first_half: FirstHalf | None = None,
) -> Record:
    """Run one job, or return its finished record; `mirror` shows a finished one to the tracker again.

    first_half: what a process that denoised for this job says of it.

    Raises:
        KeyboardInterrupt: after the interrupted run was recorded.
    """
    from cogexp.run import run

    settings, folder = request.settings, run_folder(request)
    if records.is_done(folder) and not settings.force:
        progress.say(f"done before: {folder}")
        record = records.read(folder)
        if mirror:
            _show_again(request, record, progress)
        return record
    for key, text in request.resolved.items():
        if (line := f"{key}: {text}") not in _SAID:
            _SAID.add(line)
            progress.say(line)
    return run(
        request.spec,
        settings.outputs,
        device=settings.device,
        force=settings.force,
        store_gb=settings.store_gb,
        study=settings.study,
        resolved=request.resolved,
        first_half=first_half,
        tracker=tracker_of(settings, progress) if _has_model(request) else None,
        progress=progress,
    )


def _has_model(request: Request) -> bool:
    """Whether the run's checkpoint is here, or could be fetched now; one that cannot load opens no tracker.

    The run itself then fails with the reason, which is recorded.
    """
    spec, settings = request.spec, request.settings
    if spec.model.weights != "pretrained" or VARIANTS[spec.model.name].embedded:
        return True
    if Store(settings.outputs / "store", 0).has("decode", Keys.of(spec).decode):
        return True  # its frames are there: no model is needed
    from cogexp.engine import checkpoints

    try:
        checkpoints.locate(spec.model)
    except checkpoints.MissingCheckpoint:
        return False
    return True


def run_folder(request: Request) -> Path:
    """outputs/runs/<run_id>."""
    return request.settings.outputs / "runs" / request.spec.run_id


# Automatic choices that were said: the jobs of a sweep share most of them.
_SAID: set[str] = set()

# One tracker serves all runs of a process: it looks for the server and says what it found once.
_TRACKERS: dict[tuple[str, str, str | None, Path], Tracker] = {}


def tracker_of(settings: Settings, progress: Progress) -> Tracker:
    """The tracker of this process for these settings."""
    from cogexp.tracking import make_tracker

    key = (settings.tracking, settings.project, settings.entity, settings.outputs)
    if key not in _TRACKERS:
        mode, project, entity, folder = key
        _TRACKERS[key] = make_tracker(mode, project=project, entity=entity, folder=folder, say=progress.say)
    return _TRACKERS[key]


def _show_again(request: Request, record: Record, progress: Progress) -> None:
    tracker, spec = tracker_of(request.settings, progress), request.spec
    tracker.start(
        spec.run_id,
        spec.to_dict(),
        study=request.settings.study,
        name=spec.run_id,
        tags=[spec.model.name, spec.resolution.name, spec.upscaler.name],
    )
    tracker.finish(record, run_folder(request))
