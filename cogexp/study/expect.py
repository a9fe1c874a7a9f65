"""How long a study will take and what it will keep: from finished runs, else from a roofline, else unknown.

Seconds of a stage are those of finished runs of the same model on the same device: of the same setting where
there are some, else scaled by the operations (or pixels) that the stage has to do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from cogexp.catalog import VARIANTS
from cogexp.plan import compute, roofline
from cogexp.plan.cards import Card
from cogexp.record import Record
from cogexp.spec import RunSpec, SpecError
from cogexp.storage.run_files import inside

PARTS = {"encode": "the prompt", "denoise": "the latents", "decode": "the frames"}
LATENT_BYTES, FRAME_CHANNELS = 4, 3


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What finished runs took: seconds by setting, and seconds a unit of work, by model, stage and device."""

    exact: Mapping[tuple[Any, ...], float]
    rate: Mapping[tuple[Any, ...], float]
    load: Mapping[str, float]
    bytes_a_pixel: float | None
    runs: int


def seen(records: Iterable[Record], outputs: Path, gpu: str | None) -> Seen:
    """Medians of the finished runs below `outputs` that a device like this one computed (`gpu`: its name)."""
    exact: dict[tuple[Any, ...], list[float]] = {}
    rate: dict[tuple[Any, ...], list[float]] = {}
    load: dict[str, list[float]] = {}
    sizes, runs = [], 0
    for record in records:
        if record.status != "ok" or record.device.get("gpu") != gpu:
            continue
        try:
            spec = RunSpec.from_dict(record.spec)
        except SpecError:
            continue  # of another version: its costs may be another's too
        runs += 1
        for stage, cost in record.stages.items():
            seconds = cost.get("seconds")
            if cost.get("cached") or seconds is None:
                continue
            if stage == "load":
                load.setdefault(spec.model.name, []).append(seconds)
            elif (work := work_of(spec, stage)) > 0:
                exact.setdefault(_setting(spec, stage), []).append(seconds)
                rate.setdefault((spec.model.name, _kind(spec, stage)), []).append(seconds / work)
                if stage in PARTS:
                    rate.setdefault((spec.model.name, (stage, "any")), []).append(seconds / work)
        if size := sum(_size(outputs / "runs" / record.run_id, name) for name in record.files.values()):
            sizes.append(size / _pixels(spec))
    return Seen(
        exact={key: median(values) for key, values in exact.items()},
        rate={key: median(values) for key, values in rate.items()},
        load={name: max(values) for name, values in load.items()},
        bytes_a_pixel=median(sizes) if sizes else None,
        runs=runs,
    )


def seconds_of(spec: RunSpec, stage: str, known: Seen, card: Card | None = None) -> float | None:
    """Expected seconds of one stage of `spec`; None when nothing is known."""
    if (found := known.exact.get(_setting(spec, stage))) is not None:
        return found
    # Other flags are a rough guide; another upscaler would be none.
    for kind in (_kind(spec, stage), (stage, "any")):
        if (rate := known.rate.get((spec.model.name, kind))) is not None:
            return rate * work_of(spec, stage)
    if card is not None and stage in PARTS:
        return roofline.seconds(spec, VARIANTS[spec.model.name], card)[stage]
    return None


def work_of(spec: RunSpec, stage: str) -> float:
    """Units of work that seconds of a stage are proportional to: TFLOP, pixels or clips."""
    variant = VARIANTS[spec.model.name]
    if stage in ("denoise", "decode"):
        return compute.tflop(spec, variant)[stage]
    if stage == "upscale":
        return float(_native(spec) * spec.upscaler.scale**2) if spec.upscaler.name != "none" else 0.0
    if stage == "measure":
        clips = 1 if spec.upscaler.name == "none" else 2
        return float(clips * spec.resolution.frames) if spec.metrics.names else 0.0
    return float(_pixels(spec)) if stage == "write" else 1.0


def disk_bytes(specs: Sequence[RunSpec], known: Seen) -> float | None:
    """What the files of these runs will take; None when no run is finished yet."""
    return None if known.bytes_a_pixel is None else known.bytes_a_pixel * sum(map(_pixels, specs))


def store_bytes(spec: RunSpec, stages: Sequence[str]) -> int:
    """What the store keeps of a run that computes these stages: float latents and 8-bit frames."""
    size = spec.resolution
    shape = compute.latent_shape(VARIANTS[spec.model.name], size.width, size.height, size.frames)
    latents = LATENT_BYTES * shape[0] * shape[1] * shape[2] * shape[3]
    return latents * ("denoise" in stages) + FRAME_CHANNELS * _native(spec) * ("decode" in stages)


def _setting(spec: RunSpec, stage: str) -> tuple[Any, ...]:
    """What decides the seconds of a stage: everything but prompt and seed, as far as the stage sees it."""
    seen_by = {
        "encode": (spec.model, spec.optimization),
        "denoise": (spec.model, spec.optimization, replace(spec.resolution, fps=1), spec.sampler),
        "decode": (spec.model, spec.optimization, replace(spec.resolution, fps=1)),
    }
    rest = (replace(spec.resolution, fps=1), spec.upscaler, spec.metrics if stage == "measure" else None)
    return (stage, *seen_by.get(stage, rest))


def _kind(spec: RunSpec, stage: str) -> tuple[Any, ...]:
    """What a rate may be carried over: the same flags, the same upscaler, the same metrics."""
    if stage in PARTS:
        return (stage, spec.optimization)
    if stage == "upscale":
        return (stage, spec.upscaler.name)
    return (stage, spec.metrics.names if stage == "measure" else None)


def _native(spec: RunSpec) -> int:
    return spec.resolution.frames * spec.resolution.width * spec.resolution.height


def _pixels(spec: RunSpec) -> int:
    """Pixels that are written: the native clip's and the upscaled one's."""
    return _native(spec) * (1 + (spec.upscaler.scale**2 if spec.upscaler.name != "none" else 0))


def _size(folder: Path, name: str) -> int:
    file = inside(folder, name)
    return file.stat().st_size if file else 0
