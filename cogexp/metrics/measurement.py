"""measure(): all asked metrics of one clip. METRICS: the registry of what there is."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cogexp.metrics import clip as clip_metrics
from cogexp.metrics import consistency, flow_networks, motion, perceptual
from cogexp.metrics.clip_frames import DEFAULT_HEIGHT, EvalClip, Frames
from cogexp.metrics.names import PRESETS, resolve_names
from cogexp.metrics.networks import MissingWeights
from cogexp.metrics.score import Context, FunctionMetric, Metric, Score

if TYPE_CHECKING:
    from cogexp.metrics.artifacts.detect import Artifacts, Tiles

__all__ = ["METRICS", "PRESETS", "Measurement", "Progress", "measure"]

Progress = Callable[[str, int, int], None]  # (metric just begun, metrics done, metrics in all)


def tear(clip: EvalClip, context: Context) -> Score:
    """The artifact detectors' common score: below 1 nothing, from 1 suspect, from 2 certain.

    Lower is better.
    """
    found = context.artifacts
    notes = [found.kind or "", *(finding.note for _, finding in found.findings.values())]
    return Score(value=found.score, note="; ".join(filter(None, notes)))


METRICS: dict[str, Metric] = {
    "clip_score": FunctionMetric(
        name="clip_score",
        higher_is_better=True,
        unit="0..100",
        compute=clip_metrics.clip_score,
        needs_prompt=True,
        networks=("clip",),
    ),
    "clip_consistency": FunctionMetric(
        name="clip_consistency",
        higher_is_better=True,
        unit="cosine",
        compute=clip_metrics.clip_consistency,
        pairwise=True,
        networks=("clip",),
    ),
    "lpips_adjacent": FunctionMetric(
        name="lpips_adjacent",
        higher_is_better=False,
        unit="LPIPS",
        compute=perceptual.lpips_adjacent,
        pairwise=True,
        networks=("lpips",),
    ),
    "temporal_flickering": FunctionMetric(
        name="temporal_flickering",
        higher_is_better=True,
        unit="0..1",
        compute=motion.temporal_flickering,
        pairwise=True,
    ),
    "warp_error": FunctionMetric(
        name="warp_error",
        higher_is_better=False,
        unit="levels of 255",
        compute=motion.warp_error,
        pairwise=True,
    ),
    "motion_px": FunctionMetric(
        name="motion_px",
        higher_is_better=None,
        unit="px/frame at 512 px width",
        compute=motion.motion_px,
        pairwise=True,
    ),
    "tear": FunctionMetric(name="tear", higher_is_better=False, unit="1 suspect, 2 certain", compute=tear),
    "subject_consistency": FunctionMetric(
        name="subject_consistency",
        higher_is_better=True,
        unit="0..1",
        compute=consistency.subject_consistency,
        pairwise=True,
        networks=("dino",),
    ),
    "background_consistency": FunctionMetric(
        name="background_consistency",
        higher_is_better=True,
        unit="0..1",
        compute=consistency.background_consistency,
        pairwise=True,
        networks=("clip",),
    ),
    "motion_smoothness": FunctionMetric(
        name="motion_smoothness",
        higher_is_better=True,
        unit="0..1",
        compute=flow_networks.motion_smoothness,
        pairwise=True,
        networks=("interpolator",),
    ),
    "warp_error_raft": FunctionMetric(
        name="warp_error_raft",
        higher_is_better=False,
        unit="levels of 255",
        compute=flow_networks.warp_error_raft,
        pairwise=True,
        networks=("raft",),
    ),
    "clip_iqa": FunctionMetric(
        name="clip_iqa",
        higher_is_better=True,
        unit="0..1",
        compute=consistency.clip_iqa,
        networks=("clip",),
    ),
    "sharpness": FunctionMetric(
        name="sharpness", higher_is_better=None, unit="levels^2", compute=consistency.sharpness
    ),
    "exposure": FunctionMetric(
        name="exposure", higher_is_better=None, unit="share of pixels", compute=consistency.exposure
    ),
}


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What was measured of one clip.

    scores: metric -> finite value, or None when skipped. per_frame: metric -> a value a frame or a pair of
    frames.
    skipped: metric -> reason and remedy. artifacts: the detectors' findings as plain values ({} when `tear`
    was not asked for); detected: the same as they were found.
    notes: metric -> what the value depends on (the network's name, the flow).
    """

    scores: dict[str, float | None] = field(default_factory=dict)
    per_frame: dict[str, list[float | None]] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    artifacts: dict[str, Any] = field(default_factory=dict)
    detected: Artifacts | None = None
    notes: dict[str, str] = field(default_factory=dict)


def measure(
    frames: Frames | EvalClip,
    fps: float,
    prompt: str | None,
    names: str | Iterable[str],
    *,
    device: str = "cpu",
    clip_model: str = "openai/clip-vit-large-patch14",
    batch: int = 16,
    height: int = DEFAULT_HEIGHT,
    networks: Mapping[str, Any] | None = None,
    tiles: Tiles | None = None,
    progress: Progress | None = None,
    first_features: dict[str, NDArray[np.float32]] | None = None,
) -> Measurement:
    """Measure a clip: (t, h, w, 3) uint8 RGB, or an EvalClip collected from a stream (then fps, height are
    its own).

    `networks` plugs own networks in by kind: {"clip": a ClipNetwork, "lpips": a PerceptualNetwork}. Weights
    are only ever read from this machine: what is not there is skipped with the reason. `tiles`: where the
    VAE's tiles meet in this clip, when that is known. `first_features`: see Context; for a window of a longer
    clip. Raises SpecError on an unknown name.
    """
    wanted = resolve_names(names)
    clip = frames if isinstance(frames, EvalClip) else EvalClip.collect([frames], fps, height)
    context = Context(
        clip=clip,
        prompt=prompt,
        device=device,
        clip_model=clip_model,
        batch=batch,
        networks=networks or {},
        tiles=tiles,
        first_features={} if first_features is None else first_features,
    )
    found = Measurement()
    for done, name in enumerate(wanted):
        if progress is not None:
            progress(name, done, len(wanted))
        _record(found, name, _score(METRICS[name], clip, context))
    if "tear" in wanted:
        return replace(found, artifacts=context.artifacts.to_dict(), detected=context.artifacts)
    return found


def _score(metric: Metric, clip: EvalClip, context: Context) -> Score:
    """Missing weights skip a metric; they do not stop the others."""
    try:
        score = metric(clip, context)
    except MissingWeights as error:
        return Score(value=None, reason=str(error))
    if score.value is not None and not math.isfinite(score.value):
        return Score(value=None, per_frame=score.per_frame, reason=f"not a finite number: {score.value}")
    return score


def _record(found: Measurement, name: str, score: Score) -> None:
    found.scores[name] = score.value
    if score.per_frame:
        found.per_frame[name] = list(score.per_frame)
    if score.value is None:
        found.skipped[name] = score.reason
    if score.note:
        found.notes[name] = score.note
