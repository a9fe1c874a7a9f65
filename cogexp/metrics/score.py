"""What a metric is, what it returns, and what the metrics of one clip share."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cogexp.metrics.clip_frames import EvalClip

if TYPE_CHECKING:
    from cogexp.metrics.artifacts.detect import Artifacts, Tiles
    from cogexp.metrics.motion import MotionCurves

FETCH_HINT = "python -m cogexp fetch metrics=default"
NEEDS_TWO = "needs two frames"


@dataclass(frozen=True, kw_only=True)
class Score:
    """One metric of one clip: a finite value, or None with the reason.

    `per_frame` holds a value a frame or a pair.
    """

    value: float | None
    per_frame: tuple[float | None, ...] = ()
    reason: str = ""
    note: str = ""

    @property
    def status(self) -> str:
        """'ok' or 'skipped'."""
        return "ok" if self.value is not None else "skipped"


def from_values(values: NDArray[Any], *, note: str = "", reason: str = "no frame could be measured") -> Score:
    """Mean of the finite values; those that are not finite become None in the curve."""
    curve = tuple(float(v) if math.isfinite(v) else None for v in values)
    known = [v for v in curve if v is not None]
    if not known:
        return Score(value=None, per_frame=curve, reason=reason, note=note)
    return Score(value=float(np.mean(known)), per_frame=curve, note=note)


class Metric(Protocol):
    """A named measurement of a clip."""

    @property
    def name(self) -> str: ...
    @property
    def higher_is_better(self) -> bool | None:
        """None for context: neither direction is good by itself."""

    @property
    def unit(self) -> str: ...
    @property
    def needs_prompt(self) -> bool: ...
    @property
    def pairwise(self) -> bool:
        """A value for each pair of neighbours, not for each frame."""

    @property
    def networks(self) -> tuple[str, ...]:
        """Kinds of networks that it needs (see networks.py)."""

    def __call__(self, clip: EvalClip, context: Context) -> Score: ...


@dataclass(frozen=True, kw_only=True)
class FunctionMetric:
    """A Metric made of a function."""

    name: str
    higher_is_better: bool | None
    unit: str
    compute: Callable[[EvalClip, Context], Score]
    needs_prompt: bool = False
    pairwise: bool = False
    networks: tuple[str, ...] = ()

    def __call__(self, clip: EvalClip, context: Context) -> Score:
        """Skips what cannot be measured: a pairwise metric of one frame, a comparison with no prompt."""
        if self.pairwise and len(clip.frames) < 2:
            return Score(value=None, reason=NEEDS_TWO)
        if self.needs_prompt and not (context.prompt or "").strip():
            return Score(value=None, reason='needs the prompt: --prompt "..."')
        return self.compute(clip, context)


@dataclass(kw_only=True)
class Context:
    """What the metrics of one clip share, each computed once and at first use.

    Embeddings, optical flow, detectors. first_features: by network, those of the clip's very first frame,
    kept while the windows of a long clip pass.
    """

    clip: EvalClip
    prompt: str | None = None
    device: str = "cpu"
    clip_model: str = "openai/clip-vit-large-patch14"
    batch: int = 16
    networks: Mapping[str, Any] = field(default_factory=dict)
    tiles: Tiles | None = None
    first_features: dict[str, NDArray[np.float32]] = field(default_factory=dict)

    def network(self, kind: str, name: str) -> Any:
        """The plugged network of this kind, else the one on this machine. Raises MissingWeights."""
        if kind in self.networks:
            return self.networks[kind]
        from cogexp.metrics import networks

        return networks.load(kind, name, self.device)

    @cached_property
    def clip_embeddings(self) -> NDArray[np.float32]:
        """(t, d) L2-normalised CLIP embeddings of the frames: one pass for all metrics that use them."""
        from cogexp.metrics.clip import embed_frames

        return embed_frames(self.network("clip", self.clip_model), self.clip.frames, self.batch)

    @cached_property
    def motion(self) -> MotionCurves:
        """What the optical flow of adjacent frames says."""
        from cogexp.metrics.motion import motion_curves

        return motion_curves(self.clip.frames)

    @cached_property
    def artifacts(self) -> Artifacts:
        """What the detectors found."""
        from cogexp.metrics.artifacts.detect import detect

        return detect(self.clip, tiles=self.tiles)
