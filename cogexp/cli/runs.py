"""The default command: one run, or a sweep, in which a failure does not stop the others."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import fields
from typing import Any, TypeVar

from cogexp import record as records
from cogexp.build import Request, Settings
from cogexp.cli import compose, decision, tables
from cogexp.cli.forecast import show
from cogexp.cli.requests import requests_of
from cogexp.cli.words import Words
from cogexp.launch.execute import execute, run_folder
from cogexp.launch.host_room import host_room
from cogexp.launch.logs import show_log_lines
from cogexp.plan import plan
from cogexp.plan.preflight import HostRoom, check
from cogexp.spec import SpecError, check_choice
from cogexp.study import manifest
from cogexp.study.forecast import Forecast, forecast
from cogexp.system import faults, interrupts
from cogexp.terminal import Progress, for_stderr

__all__ = ["command", "preflight", "preflight_problem", "show_log_lines"]

T = TypeVar("T")
Engine = Callable[[list[Request], Forecast, Progress], None]

PLAN_TOLERANCE = 1.1  # a plan may be off by this much before a limit that it breaks stops a run


def command(words: Words) -> int:
    """Check every job first (SpecError: nothing was run), then run; 0 when all are done, else 1."""
    launcher = compose.launcher_of(words)
    requests = requests_of(words, launches=words.multirun)
    settings = requests[0].settings
    engine = _engine(launcher, settings)
    show_log_lines(settings.debug)
    room = host_room(launcher, settings.device, len(requests))
    preflight(requests, for_stderr(), room)
    if words.plan_only:
        show(_forecast(requests), settings.study)
        return 0
    if words.pick:
        decision.check(words.pick)
    interrupts.install()
    if not words.multirun:
        return _single(requests[0])
    return _sweep(words, requests, engine)


def preflight(requests: list[Request], progress: Progress, room: HostRoom | None = None) -> None:
    """Refuse what cannot fit the GPU or main memory (`room`; default: this machine's), and say what is near
    a limit, before anything is loaded.

    Raises:
        SpecError: a run that is not done yet cannot fit, and preflight=refuse.
    """
    for request in {r.spec.run_id: r for r in requests}.values():
        settings = request.settings
        done = records.is_done(run_folder(request)) and not settings.force
        if done or settings.preflight == "off" or not (found := check(request.spec, settings.device, room)):
            continue
        if found.impossible and settings.preflight == "refuse":
            raise SpecError(f"{found.text}; preflight=warn runs it all the same")
        progress.say(found.text)


def preflight_problem(request: Request, max_vram_gib: float | None = None) -> str:
    """Why this run should not be started here, or with no more than `max_vram_gib`; '' when it may."""
    if (found := check(request.spec, request.settings.device)) and found.impossible:
        return found.text
    if not request.settings.device.startswith("cuda"):
        return ""
    peak = plan(request.spec).peak_allocated_gib
    if max_vram_gib is not None and peak > PLAN_TOLERANCE * max_vram_gib:
        return f"planned peak VRAM is {peak:.1f} GiB (max_vram {max_vram_gib:g})"
    return ""


def _single(request: Request) -> int:
    folder = run_folder(request)
    found = records.is_done(folder) and not request.settings.force
    # A sweep of W&B must learn of a run that was finished before, too.
    record = execute(request, for_stderr(), mirror="WANDB_SWEEP_ID" in os.environ)
    tables.show_run(record, folder, found=found)
    if record.status == "interrupted":
        return interrupts.EXIT_CODE
    return 0 if record.status == "ok" else 1


def _forecast(requests: list[Request]) -> Forecast:
    settings = requests[0].settings
    return forecast(
        [request.spec for request in requests],
        settings.outputs,
        device=settings.device,
        store_gb=settings.store_gb,
        force=settings.force,
    )


def _sweep(words: Words, requests: list[Request], engine: Engine) -> int:
    """Say what is to come, let the engine run it, and read from the records what came of it."""
    progress, settings = for_stderr(), requests[0].settings
    by_id = {request.spec.run_id: request for request in requests}
    ahead = _forecast(requests)
    progress.say(f"{len(requests)} jobs, {len(by_id)} distinct, {len(ahead.done)} already done")
    show(ahead, settings.study)
    if settings.study:
        listed = manifest.Manifest(study=settings.study, runs=tuple(by_id), pick=words.pick)
        try:
            manifest.write(settings.outputs, listed)
        except OSError as error:  # each record names its study, too
            progress.say(f"the list of the study's runs could not be written: {faults.described(error)}")
    # Records of an earlier start, known by their stamp: two machines' clocks need not agree.
    before = {run_id: records.stamp(run_folder(request)) for run_id, request in by_id.items()}
    try:
        if ahead.specs:
            engine([by_id[spec.run_id] for spec in ahead.specs], ahead, progress)
    except KeyboardInterrupt:
        _show(by_id, ahead, before)
        raise
    good = _show(by_id, ahead, before)
    if settings.study:
        decision.conclude(settings.outputs, settings.study, progress)
    return 0 if good else 1


def _show(by_id: dict[str, Request], ahead: Forecast, before: dict[str, int | None]) -> bool:
    """The table of what came of the jobs; whether all are done."""
    done_before = {spec.run_id for spec in ahead.done}
    rows = []
    for run_id, request in by_id.items():
        folder = run_folder(request)
        # A record that an earlier sweep left does not count, unless it says that the job is done.
        fresh = run_id in done_before or records.stamp(folder) != before[run_id]
        record = records.read_if_whole(folder) if fresh else None
        rows.append((run_id, record, run_id in done_before))
    tables.show_sweep(rows)
    return all(record is not None and record.status == "ok" for _, record, _ in rows)


def _engine(launcher: dict[str, Any], settings: Settings) -> Engine:
    """The engine that was asked for, its options checked before anything runs.

    Raises:
        SpecError: options that it does not take, or a library that is missing.
    """
    options = {key: value for key, value in launcher.items() if key != "name"}
    if launcher["name"] == "ray":
        from cogexp.launch import ray_pool

        pool = _options(ray_pool.Options, options)
        ray_pool.check(settings.device, pool)
        return lambda requests, ahead, progress: ray_pool.launch(requests, progress, ahead.seconds, pool)
    if launcher["name"] == "workers":
        from cogexp.launch import workers

        crew = _options(workers.Options, options)
        workers.check(settings.device, crew)
        return lambda requests, ahead, progress: workers.launch(requests, progress, ahead.seconds, crew)
    if launcher["name"] == "overlap":
        from cogexp.launch import overlap

        pair = _options(overlap.Options, options)
        overlap.check(settings, pair)
        return lambda requests, ahead, progress: overlap.launch(requests, progress, ahead.seconds, pair)
    if launcher["name"] == "submitit":
        from cogexp.launch import sbatch_options, slurm

        batch = _options(slurm.Options, options)
        slurm.check()
        sbatch_options.check(batch.cluster, batch.slurm)
        return lambda requests, ahead, progress: slurm.launch(requests, progress, batch)
    from cogexp.launch import basic

    return lambda requests, ahead, progress: basic.launch(requests, progress, ahead.seconds)


def _options(kind: Callable[..., T], values: dict[str, Any]) -> T:
    """The launcher's keys as its own type; SpecError for one that it does not have, or of a wrong type."""
    known = tuple(field.name for field in fields(kind))  # type: ignore[arg-type]
    for key in values:
        check_choice("the keys of hydra.launcher", key, known)
    try:
        return kind(**values)
    except TypeError as error:
        raise SpecError(f"hydra.launcher has a value of a wrong type: {error}") from None
