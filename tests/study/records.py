"""Records and whole studies made up with known truth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cogexp import record as records
from cogexp.record import Record
from cogexp.spec import (
    MetricsSpec,
    ModelSpec,
    PromptSpec,
    ResolutionSpec,
    RunSpec,
    SamplerSpec,
    UpscalerSpec,
)


def run_spec(
    *, size: str = "512x288", upscaler: str = "none", prompt: str = "wolves", seed: int = 0, steps: int = 20
) -> RunSpec:
    """A small valid spec; what is not named is the same in all."""
    width, height = map(int, size.split("x"))
    return RunSpec(
        model=ModelSpec(name="nano"),
        resolution=ResolutionSpec(width=width, height=height, frames=9, fps=8),
        sampler=SamplerSpec(scheduler="ddim", steps=steps, guidance=6.0),
        upscaler=UpscalerSpec(name=upscaler, scale=1 if upscaler == "none" else 4),
        prompt=PromptSpec(name=prompt, text=f"a clip of {prompt}"),
        metrics=MetricsSpec(names=("clip_score",)),
        seed=seed,
    )


def make_record(
    score: float | None = 27.0,
    *,
    status: str = "ok",
    seconds: float = 10.0,
    peak: float | None = 8.0,
    level: str = "none",
    motion: float | None = 2.0,
    network: str = "net-a",
    device: str = "cuda",
    **axes: Any,
) -> Record:
    """One record; the delivered clip has `score`, the native clip of an upscaling setting half of it."""
    spec = run_spec(**axes)
    sides = ["native"] if spec.upscaler.name == "none" else ["native", "upscaled"]
    values = {side: score if side == sides[-1] or score is None else score / 2 for side in sides}
    ok = status == "ok"
    found = {
        "level": level,
        "kind": None if level == "none" else "shear",
        "score": 2.0 * (level == "certain"),
    }
    skipped = {f"{side}/clip_score": "no weights: python -m cogexp fetch" for side in sides if score is None}
    cost = {"cached": False, "peak_allocated_gib": peak, "peak_reserved_gib": peak, "rss_gib": 1.0}
    return Record(
        run_id=spec.run_id,
        status=status,
        error=None
        if ok
        else {"type": "OutOfMemoryError", "message": "CUDA out of memory", "stage": "denoise"},
        spec=spec.to_dict(),
        resolved={"metrics.clip_score": network},
        scores=({f"{s}/clip_score": v for s, v in values.items()} | {f"{s}/motion_px": motion for s in sides})
        if ok
        else {},
        skipped=skipped if ok else {},
        artifacts={side: {**found, "detectors": {"shear": found}} for side in sides} if ok else {},
        stages={"load": {**cost, "seconds": 100.0}, "denoise": {**cost, "seconds": seconds, "cached": True}},
        device={"type": device},
        started="2026-11-22T00:00:00.000+00:00",
        finished="2026-11-22T00:01:00.000+00:00",
    )


SIZES = ("256x144", "384x224", "512x288", "640x352", "720x480", "848x480")


def simulate(
    rng: np.random.Generator, gains: list[float], *, prompts: int, seeds: int, taste: float, noise: float
) -> NDArray[np.float64]:
    """Scores (settings, prompts, seeds): prompts and seeds that all settings share, a prompt's taste for a
    setting (so seeds of a prompt are not independent), and noise. `gains` are the true means."""
    k = len(gains)
    shared = rng.normal(0, 3, (1, prompts, 1)) + rng.normal(0, 1, (1, prompts, seeds))
    own = rng.normal(0, taste, (k, prompts, 1)) + rng.normal(0, noise, (k, prompts, seeds))
    return 27.0 + np.asarray(gains)[:, None, None] + shared + own


def records_of(values: NDArray[np.float64]) -> list[Record]:
    """A record a cell: one size a setting."""
    return [
        make_record(float(value), size=SIZES[k], prompt=f"p{p:02d}", seed=s)
        for (k, p, s), value in np.ndenumerate(values)
    ]


def write_all(found: list[Record], outputs: Path) -> Path:
    """As runs leave them: outputs/runs/<run_id>/record.json."""
    for record in found:
        records.write(record, outputs / "runs" / record.run_id)
    return outputs


def write_clip(file: Path, *, width: int = 64, height: int = 48, frames: int = 9, hue: int = 0) -> Path:
    """A small H.264 clip of a bar that moves to the right."""
    import av

    file.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(file), "w") as container:
        stream = container.add_stream("libx264", rate=8)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for index in range(frames):
            pixels = np.full((height, width, 3), (40 + hue, 90, 160 - hue), dtype=np.uint8)
            left = index * (width - 8) // max(frames - 1, 1)
            pixels[:, left : left + 8] = 255
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return file
