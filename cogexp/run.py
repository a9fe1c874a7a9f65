"""One run: encode, denoise, decode, upscale, measure, write. The library's face: `run(spec, out)`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from cogexp import record as records
from cogexp.machine import device_of, importing
from cogexp.record import Record
from cogexp.spec import RunSpec
from cogexp.storage.lock import LOCK_FILE, Lock
from cogexp.storage.run_files import own_folder
from cogexp.terminal import Progress, Silent

if TYPE_CHECKING:
    from cogexp.attempt import Attempt
    from cogexp.tracking import Tracker


@dataclass(frozen=True, kw_only=True)
class FirstHalf:
    """What one process did for a run that another finishes.

    notes: for the record's 'resolved', of how the flags took hold. stages: those that it made itself.
    """

    notes: Mapping[str, str] = field(default_factory=dict)
    stages: tuple[str, ...] = ()


def run(
    spec: RunSpec,
    out: Path | str = "outputs",
    *,
    device: str = "auto",
    force: bool = False,
    store_gb: float = 20.0,
    study: str | None = None,
    resolved: dict[str, str] | None = None,
    first_half: FirstHalf | None = None,
    tracker: Tracker | None = None,
    progress: Progress | None = None,
) -> Record:
    """Make, upscale, measure and record one clip; return its record (also when it failed: see `status`).

    A finished record of the same spec below `out` is returned as it is, unless `force`. Latents, embeddings
    and frames that an earlier run left in `out/store` are used again (at most `store_gb` GB are kept).
    One process at a time makes a run: another one that is asked for it waits and takes the result.

    first_half: what `make_latents` returned in another process, when it was called for this very run.

    Raises:
        KeyboardInterrupt: after the interrupted run was recorded.
    """
    out, progress = Path(out), progress or Silent()
    folder = out / "runs" / spec.run_id
    if not force and records.is_done(folder):
        return records.read(folder)
    # Imported here: whoever only asks for a finished record waits for no torch.
    with importing():
        from cogexp.attempt import Attempt

    half = first_half or FirstHalf()
    with _alone(folder, progress) as (lock, problem):
        if not force and records.is_done(folder):  # another process made it while this one waited
            return records.read(folder)
        attempt = Attempt(
            spec=spec,
            folder=folder,
            device=device_of(device),
            lock=lock,
            study=study,
            resolved={**(resolved or {}), **half.notes},
            made=half.stages,
        )
        if tracker is not None:
            attempt.tracker = tracker
        try:
            _make(attempt, out / "store", store_gb, progress, problem)
        except BaseException as error:
            if attempt.record is None:  # it came before or after the block that records
                attempt.conclude(error)
            raise
    assert attempt.record is not None
    return attempt.record


@contextmanager
def _alone(folder: Path, progress: Progress) -> Iterator[tuple[Lock | None, OSError | None]]:
    """The run's lock, held; or why there is none, which the attempt records as its failure if it can."""
    lock = Lock(
        folder / LOCK_FILE, on_wait=lambda who: progress.say(f"waiting for {folder.name}: {who} works on it")
    )
    try:
        own_folder(folder)
        lock.acquire()
    except OSError as error:
        yield None, error
        return
    with closing(lock):
        yield lock, None


def _make(
    attempt: Attempt, store_folder: Path, store_gb: float, progress: Progress, problem: OSError | None
) -> None:
    """The run from its first to its last stage."""
    with importing():
        from cogexp import pictures, scores, stages
        from cogexp.store import Store

    store = Store(store_folder, store_gb)
    with attempt:
        if problem is not None:
            raise problem
        attempt.begin()
        frames = stages.native_frames(attempt, store, progress)  # encode -> denoise -> decode
        clips = stages.stream(attempt, frames, progress)  # -> upscale -> write
        attempt.tell()
        detected = scores.measure_clips(attempt, clips, store, progress)
        pictures.draw(attempt, clips, detected)


def make_latents(
    spec: RunSpec, out: Path, *, device: str, store_gb: float, progress: Progress, frames: bool = False
) -> FirstHalf:
    """Only the first half of a run: leave its latents in `out/store`, where `run` finds them; with `frames`
    the native frames as well.

    Raises what fails.
    """
    with importing():
        from cogexp import stages
        from cogexp.attempt import Attempt
        from cogexp.engine.models import MODELS, check_device
        from cogexp.store import Store

    check_device(device)
    attempt = Attempt(spec=spec, folder=out / "runs" / spec.run_id, device=device)
    store = Store(out / "store", store_gb)
    if frames:
        for _ in stages.native_frames(attempt, store, progress):
            pass
    else:
        stages.latents(attempt, store, progress)
    return FirstHalf(
        notes=attempt.resolved | MODELS.notes(spec, device),
        stages=tuple(name for name, cost in attempt.meter.stages.items() if not cost["cached"]),
    )


def rehearse(spec: RunSpec, *, device: str) -> None:
    """Two denoising steps and a decoding that nobody keeps: what a process pays once for a size (memory,
    kernels, trials) is paid before a run whose seconds are compared.

    Raises what fails.
    """
    from cogexp.engine import generate

    short = replace(spec, sampler=replace(spec.sampler, steps=2))
    latents = generate.denoise(short, generate.encode(short, device), device, lambda done, total: None)
    for _ in generate.decode(short, latents, device):
        pass


def forget_denoiser() -> None:
    """Give back the memory of the parts that encode and denoise."""
    from cogexp.engine.models import MODELS

    MODELS.free("transformer", "text_encoder")
