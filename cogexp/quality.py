"""What approximations cost in quality: each setting beside its exact twin, from the same prompt and seed.

Step caches, quantization, casts, tiles and fewer steps change the pixels. The twin has none of them and the
most steps; everything else is the same. Frames are uint8 (t, h, w, 3).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from cogexp.record import Record
from cogexp.spec import OptimizationSpec, RunSpec, digest

# Flags that may change the pixels. What only adds in another order (split guidance, kernels) is not here.
APPROXIMATE = (
    "cache", "quantize", "quantize_text", "layerwise_cast", "text_cast", "vae_cast", "vae_tiling",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A setting and its exact twin."""

    approximate: RunSpec
    exact: RunSpec

    @property
    def setting(self) -> str:
        """What is approximate: 'cache=pab, 30 steps' (steps only where the twin has more)."""
        flags, plain = self.approximate.optimization, OptimizationSpec()
        words = [
            f"{flag}={str(getattr(flags, flag)).lower()}"
            for flag in APPROXIMATE
            if getattr(flags, flag) != getattr(plain, flag)
        ]
        steps = self.approximate.sampler.steps
        return ", ".join([*words, f"{steps} steps"] if steps < self.exact.sampler.steps else words)

    @property
    def key(self) -> str:
        """The same for all prompts and seeds of a setting."""
        plain = self.approximate.to_dict()
        return digest({k: v for k, v in plain.items() if k not in ("prompt", "seed", "metrics")})


def pairs(specs: Iterable[RunSpec]) -> list[Pair]:
    """The pairs of these settings, those that are their own twins left out."""
    listed = list(specs)
    most: dict[str, int] = {}
    for spec in listed:
        most[_but_steps(spec)] = max(most.get(_but_steps(spec), 0), spec.sampler.steps)
    made = [Pair(approximate=spec, exact=exact_of(spec, most[_but_steps(spec)])) for spec in listed]
    return [pair for pair in made if pair.approximate != pair.exact]


def exact_of(spec: RunSpec, steps: int) -> RunSpec:
    """`spec` without its approximations, at so many steps."""
    plain = OptimizationSpec()
    flags = replace(spec.optimization, **{flag: getattr(plain, flag) for flag in APPROXIMATE})
    return replace(spec, optimization=flags, sampler=replace(spec.sampler, steps=steps))


def _but_steps(spec: RunSpec) -> str:
    return digest(exact_of(spec, 1).to_dict())


@dataclass(frozen=True, kw_only=True)
class Difference:
    """How far one clip is from its twin's. PSNR in dB (None: identical), SSIM at most 1, LPIPS at least 0."""

    psnr: float | None
    ssim: float
    lpips: float | None
    skipped: dict[str, str] = field(default_factory=dict)


def difference(frames: np.ndarray, exact: np.ndarray, device: str = "cpu", batch: int = 8) -> Difference:
    """PSNR over the whole clip, mean SSIM and LPIPS of the frames; torchmetrics' and lpips' own.

    Raises:
        ValueError: the clips differ in shape.
    """
    import torch
    from torchmetrics.functional.image import (
        peak_signal_noise_ratio,
        structural_similarity_index_measure,
    )

    if frames.shape != exact.shape:
        raise ValueError(f"clips of one shape are compared, got {frames.shape} and {exact.shape}")
    ssim = []
    for start in range(0, len(frames), batch):
        one, other = (
            torch.from_numpy(np.ascontiguousarray(clip[start : start + batch])).permute(0, 3, 1, 2).float()
            for clip in (frames, exact)
        )
        each = structural_similarity_index_measure(one, other, data_range=255.0, reduction="none")
        ssim += each.reshape(-1).tolist()
    clips = [torch.from_numpy(np.ascontiguousarray(clip)).double() for clip in (frames, exact)]
    same = bool(np.array_equal(frames, exact))
    lpips, skipped = _lpips(frames, exact, device, batch)
    return Difference(
        psnr=None if same else float(peak_signal_noise_ratio(*clips, data_range=255.0)),
        ssim=fmean(ssim),
        lpips=lpips,
        skipped=skipped,
    )


def _lpips(
    frames: np.ndarray, exact: np.ndarray, device: str, batch: int
) -> tuple[float | None, dict[str, str]]:
    from cogexp.metrics import networks

    try:
        network = networks.load("lpips", "alex", device)
    except networks.MissingWeights as missing:
        return None, {"lpips": str(missing)}
    parts = [
        network.distance(frames[start : start + batch], exact[start : start + batch])
        for start in range(0, len(frames), batch)
    ]
    return float(np.concatenate(parts).mean()), {}


def frames_of(record: Record, folder: Path, store: Path) -> np.ndarray:
    """The native frames of a finished run: as decoded, or from its clip when the store let them go."""
    from cogexp.store import Keys, Store
    from cogexp.video import read

    spec = RunSpec.from_dict(record.spec)
    kept = Store(store, 0).load("decode", Keys.of(spec).decode, spec)
    if kept is not None:
        frames: np.ndarray = kept[0]["frames"].numpy()
        return frames
    return np.asarray(read(folder / record.files["native"]).frames)


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a setting saves and costs against the exact one, on average over `pairs` prompts and seeds.

    `speedup`: seconds of the exact clip over its own, encoding to decoding, each as when it was computed;
    `memory_gib` its peak and `memory_exact_gib` the exact one's (allocated on a GPU, else resident).
    `identical` counts pairs without a different pixel; PSNR is over the others.
    """

    setting: str
    model: str
    resolution: str
    steps: int
    pairs: int
    identical: int
    speedup: float | None
    memory_gib: float | None
    memory_exact_gib: float | None
    psnr: float | None
    ssim: float | None
    lpips: float | None
    clip_score: float | None
    clip_score_delta: float | None
    skipped: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    took_hold: dict[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """What `quality --json` prints of a setting."""
        return asdict(self)


def cost_of(found: list[tuple[Pair, Record, Record, Difference | None]]) -> Cost:
    """One setting from its pairs: (pair, its record, its twin's, difference or None when one failed)."""
    first = found[0][0].approximate
    good = [(mine, exact, delta) for _, mine, exact, delta in found if delta is not None]
    failed = {
        record.run_id: f"{record.status}: {(record.error or {}).get('message', '')}"
        for _, mine, exact, _ in found
        for record in (mine, exact)
        if record.status != "ok"
    }
    deltas = [delta for _, _, delta in good]
    scores = [tuple(r.scores.get("native/clip_score") for r in (mine, exact)) for mine, exact, _ in good]
    scored = [(a, b) for a, b in scores if a is not None and b is not None]
    skipped = {name: why for delta in deltas for name, why in delta.skipped.items()}
    if good and not scored:
        reason = good[0][0].skipped.get("native/clip_score", "not among the metrics")
        skipped["clip_score"] = str(reason)
    notes = good[0][0].resolved if good else {}
    return Cost(
        setting=found[0][0].setting,
        model=first.model.name,
        resolution=f"{first.resolution.name}x{first.resolution.frames}",
        steps=first.sampler.steps,
        pairs=len(good),
        identical=sum(delta.psnr is None for delta in deltas),
        speedup=_mean(seconds(exact) / seconds(mine) for mine, exact, _ in good),
        memory_gib=_mean(peak(mine) for mine, _, _ in good),
        memory_exact_gib=_mean(peak(exact) for _, exact, _ in good),
        psnr=_mean(delta.psnr for delta in deltas),
        ssim=_mean(delta.ssim for delta in deltas),
        lpips=_mean(delta.lpips for delta in deltas),
        clip_score=_mean(mine for mine, _ in scored),
        clip_score_delta=_mean(mine - exact for mine, exact in scored),
        skipped=skipped,
        failed=failed,
        took_hold={key: text for key, text in notes.items() if key.startswith("optimization.")},
    )


def seconds(record: Record) -> float:
    """Encoding, denoising and decoding, each as long as it took when it was computed."""
    return sum(record.stages[name]["seconds"] for name in ("encode", "denoise", "decode"))


def peak(record: Record) -> float:
    """GiB at the largest of these stages: allocated on a GPU, else resident."""
    stages = [record.stages[name] for name in ("encode", "denoise", "decode")]
    return float(max(stage["peak_allocated_gib"] or stage["rss_gib"] for stage in stages))


def _mean(values: Iterable[float | None]) -> float | None:
    kept = [value for value in values if value is not None]
    return fmean(kept) if kept else None
