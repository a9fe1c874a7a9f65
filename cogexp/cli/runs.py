"""The default command: one run, or with -m a sweep, in which a failure does not stop the others."""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cogexp import record as records
from cogexp.build import Request, Settings, build
from cogexp.cli import compose, sizes, tables
from cogexp.cli.compose import Words
from cogexp.plan.preflight import check
from cogexp.provenance import redact
from cogexp.record import Record
from cogexp.spec import SpecError
from cogexp.terminal import Progress, for_stderr

if TYPE_CHECKING:
    from cogexp.tracking import Tracker


def command(words: Words) -> int:
    """Check every job first (SpecError: nothing was run), then run; 0 when all are done, else 1."""
    requests = [build(job) for job in compose.compose_jobs(words)]
    show_log_lines(requests[0].settings.debug)
    preflight(requests, for_stderr())
    second_interrupt_leaves()
    if not words.multirun:
        return _single(requests[0])
    return _sweep(words, requests)


def preflight(requests: list[Request], progress: Progress) -> None:
    """Refuse what cannot fit the GPU, and say what is near its limit, before anything is loaded.

    Raises:
        SpecError: a run that is not done yet cannot fit, and preflight=refuse.
    """
    for request in {r.spec.run_id: r for r in requests}.values():
        settings = request.settings
        done = records.is_done(run_folder(request)) and not settings.force
        if done or settings.preflight == "off" or not (found := check(request.spec, settings.device)):
            continue
        if found.impossible and settings.preflight == "refuse":
            raise SpecError(f"{found.text}; preflight=warn runs it all the same")
        progress.say(found.text)


def _single(request: Request) -> int:
    folder = run_folder(request)
    found = records.is_done(folder) and not request.settings.force
    record = execute(request, for_stderr())
    tables.show_run(record, folder, found=found)
    return 0 if record.status == "ok" else 1


def _sweep(words: Words, requests: list[Request]) -> int:
    """Hydra's launcher runs the jobs; what came of them is read back from their records."""
    done_before = {r.spec.run_id for r in requests if records.is_done(run_folder(r)) and not r.settings.force}
    distinct = {r.spec.run_id for r in requests}
    progress = for_stderr()
    progress.say(f"{len(requests)} jobs, {len(distinct)} distinct, {len(done_before)} already done")
    started = time.time()
    try:
        _launch(words, len(requests), progress)
    finally:
        rows = []
        for request in {r.spec.run_id: r for r in requests}.values():
            record = _read(run_folder(request), 0.0 if request.spec.run_id in done_before else started)
            rows.append((request.spec.run_id, record, request.spec.run_id in done_before))
        tables.show_sweep(rows)
    return 0 if all(record is not None and record.status == "ok" for _, record, _ in rows) else 1


def _read(folder: Path, newer_than: float) -> Record | None:
    """The record of a job of this sweep; one that an earlier sweep left does not count."""
    file = folder / records.RECORD_FILE
    try:
        # A second of slack: file systems round times.
        return records.read(folder, per_frame=False) if file.stat().st_mtime >= newer_than - 1 else None
    except (records.RecordError, OSError):
        return None


def _launch(words: Words, jobs: int, progress: Progress) -> None:
    import hydra
    from omegaconf import DictConfig

    started = 0

    def task(config: DictConfig) -> str:
        nonlocal started
        started += 1
        request = build(compose.to_plain(config))
        progress.say(f"[{started}/{jobs}] {request.spec.run_id}")
        return execute(request, progress).status

    sys.argv = [sys.argv[0], "--multirun", *words.overrides]
    sizes.register()
    hydra.main(config_path=str(words.config_dir), config_name=words.config_name, version_base="1.3")(task)()


def execute(request: Request, progress: Progress) -> Record:
    """One job with its tracker; the automatic choices are said first."""
    from cogexp.run import run

    settings, folder = request.settings, run_folder(request)
    if records.is_done(folder) and not settings.force:
        progress.say(f"done before: {folder}")
        return records.read(folder)
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
        tracker=_tracker(settings, progress),
        progress=progress,
    )


# Automatic choices that were said: the jobs of a sweep share most of them.
_SAID: set[str] = set()

# One tracker serves all runs of a process: it looks for the server and says what it found once.
_TRACKERS: dict[tuple[str, str, str | None, Path], Tracker] = {}


def _tracker(settings: Settings, progress: Progress) -> Tracker:
    from cogexp.tracking import make_tracker

    key = (settings.tracking, settings.project, settings.entity, settings.outputs)
    if key not in _TRACKERS:
        mode, project, entity, folder = key
        _TRACKERS[key] = make_tracker(mode, project=project, entity=entity, folder=folder, say=progress.say)
    return _TRACKERS[key]


def run_folder(request: Request) -> Path:
    """outputs/runs/<run_id>."""
    return request.settings.outputs / "runs" / request.spec.run_id


class _Plain(logging.Handler):
    """Log lines on stderr as plain sentences; the details are in log.txt."""

    def emit(self, record: logging.LogRecord) -> None:
        text = redact(record.getMessage())
        if record.exc_info:
            text += "\n" + redact(logging.Formatter().formatException(record.exc_info))
        print(text, file=sys.stderr, flush=True)


def show_log_lines(debug: bool) -> None:
    """Warnings and errors of cogexp go to stderr; with debug everything, tracebacks too."""
    logger = logging.getLogger("cogexp")
    logger.setLevel(logging.DEBUG)  # tracebacks always reach log.txt
    logger.propagate = False
    handler = _Plain(logging.DEBUG if debug else logging.WARNING)
    logger.handlers = [h for h in logger.handlers if not isinstance(h, _Plain)] + [handler]
    logging.raiseExceptions = False  # a full disk is told once, not by every handler
    logging.captureWarnings(True)  # libraries' warnings go into log.txt, not between the bars
    logging.getLogger("py.warnings").propagate = False
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "0")


def second_interrupt_leaves() -> None:
    """The first Ctrl-C stops and records; a second one leaves at once."""

    def interrupted(number: int, frame: Any) -> None:
        signal.signal(signal.SIGINT, lambda *_: os._exit(130))
        print("interrupted: writing the record (Ctrl-C again leaves at once)", file=sys.stderr, flush=True)
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupted)
