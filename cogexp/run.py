"""One run: encode, denoise, decode, upscale, measure, write. The library's face: `run(spec, out)`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from cogexp import record as records
from cogexp.machine import device_of, importing
from cogexp.record import Record
from cogexp.spec import RunSpec
from cogexp.terminal import Progress, Silent

if TYPE_CHECKING:
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

    first_half: what `make_latents` returned in another process, when it was called for this very run.

    Raises:
        KeyboardInterrupt: after the interrupted run was recorded.
    """
    out = Path(out)
    folder = out / "runs" / spec.run_id
    if not force and records.is_done(folder):
        return records.read(folder)
    # Imported here: whoever only asks for a finished record waits for no torch.
    with importing():
        from cogexp import pictures, scores, stages
        from cogexp.attempt import Attempt
        from cogexp.store import Store

    device = device_of(device)
    half = first_half or FirstHalf()
    attempt = Attempt(
        spec=spec,
        folder=folder,
        device=device,
        study=study,
        resolved={**(resolved or {}), **half.notes},
        made=half.stages,
    )
    if tracker is not None:
        attempt.tracker = tracker
    store, progress = Store(out / "store", store_gb), progress or Silent()
    with attempt:
        attempt.begin()
        frames = stages.native_frames(attempt, store, progress)  # encode -> denoise -> decode
        clips = stages.stream(attempt, frames, progress)  # -> upscale -> write
        attempt.tell()
        detected = scores.measure_clips(attempt, clips, store, progress)
        pictures.draw(attempt, clips, detected)
    assert attempt.record is not None
    return attempt.record


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
