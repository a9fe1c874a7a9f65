"""What an experiment is: frozen dataclasses, their rules, and the identities made from their content.

Every error names the dotted key, the rule, the value, and the nearest legal value. Only the standard
library is imported here, so that a wrong request is refused before anything heavy is loaded.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

SCHEDULERS = ("ddim", "dpm")
DTYPES = ("auto", "float32", "bfloat16", "float16")
WEIGHTS = ("pretrained", "random", "undertrained")
OFFLOADS = ("none", "text", "model", "group", "group-block", "group-disk", "sequential")
CACHES = ("none", "pab", "fastercache", "firstblock", "taylorseer", "magcache")
COMPILES = ("none", "blocks", "full")
LAYERWISE_CASTS = ("none", "fp8")
QUANTIZATIONS = (
    "none", "int8wo", "int8dq", "fp8wo", "fp8", "quanto-int8", "bnb-int8", "bnb-nf4", "gguf-q8", "gguf-q4",
)  # fmt: skip
ATTENTIONS = ("sdpa", "flash", "efficient", "cudnn", "math", "flash-attn", "sage")
VAE_TILINGS = (False, True, "edge")
FLAG_CHOICES: dict[str, tuple[bool | str, ...]] = {
    "offload": OFFLOADS,
    "vae_tiling": VAE_TILINGS,
    "layerwise_cast": LAYERWISE_CASTS,
    "text_cast": LAYERWISE_CASTS,
    "vae_cast": LAYERWISE_CASTS,
    "cache": CACHES,
    "compile": COMPILES,
    "quantize": QUANTIZATIONS,
    "quantize_text": QUANTIZATIONS,
    "attention": ATTENTIONS,
    "split_cfg": (False, True),
    "vae_slicing": (False, True),
    "fuse_qkv": (False, True),
    "channels_last": (False, True),
    "lean_vae": (False, True),
}
LATER_FLAGS = ("text_cast", "vae_cast", "quantize", "quantize_text", "attention", "split_cfg", "lean_vae")
UPSCALERS = ("none", "bicubic", "lanczos", "esrgan", "esrgan-photo", "esrgan-anime", "spandrel")


class SpecError(ValueError):
    """A request that cannot be run. Its message is one or two lines: key, rule, value, nearest."""


def check_choice(key: str, value: object, choices: tuple[bool | str, ...]) -> None:
    """Raise SpecError unless `value` is one of `choices`, naming the nearest. 1 is not true, 0 not false."""
    if not any(value == choice and type(value) is type(choice) for choice in choices):
        words = [str(choice).lower() if isinstance(choice, bool) else choice for choice in choices]
        near = get_close_matches(str(value), words, n=1, cutoff=0.5)
        hint = f"; nearest: {near[0]}" if near else ""
        shown = str(value).lower() if isinstance(value, bool) else repr(value)
        raise SpecError(f"{key} must be one of {', '.join(words)}, got {shown}{hint}")


def check_range(key: str, value: float, low: float, high: float) -> None:
    """Raise SpecError unless low <= value <= high (NaN and infinities are refused)."""
    try:
        finite = math.isfinite(value)
    except OverflowError:  # a whole number that no float holds
        nearest = low if value < low else high
        raise SpecError(
            f"{key} must be from {low:g} to {high:g}, got one of more than 300 digits; nearest: {nearest:g}"
        ) from None
    if not finite:
        raise SpecError(
            f"{key} must be a finite number from {low:g} to {high:g}, got {value}; nearest: {low:g}"
        )
    if not low <= value <= high:
        nearest = low if value < low else high
        raise SpecError(f"{key} must be from {low:g} to {high:g}, got {value:g}; nearest: {nearest:g}")


def nearest_multiples(value: int, step: int, offset: int = 0) -> tuple[int, int]:
    """The legal values step*k + offset (k >= 0) next below and next above `value`."""
    low = max((value - offset) // step, 0) * step + offset
    return low, low + step


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """Which weights. `source` is a hub id or a folder; None for the embedded model."""

    name: str
    source: str | None = None
    revision: str | None = None
    dtype: str = "auto"
    weights: str = "pretrained"

    def __post_init__(self) -> None:
        check_choice("model.dtype", self.dtype, DTYPES)
        check_choice("model.weights", self.weights, WEIGHTS)


@dataclass(frozen=True, kw_only=True)
class ResolutionSpec:
    """Size of the native clip in pixels, its frames and its frames per second."""

    width: int
    height: int
    frames: int
    fps: float  # whole rates are ints: they are part of the run id

    def __post_init__(self) -> None:
        for key, value in (("width", self.width), ("height", self.height)):
            check_range(f"resolution.{key}", value, 64, 4096)
            if value % 16:
                low, high = nearest_multiples(value, 16)
                raise SpecError(
                    f"resolution.{key} must be divisible by 16 (8x VAE, 2x patch), got {value}; "
                    f"nearest: {low} or {high}"
                )
        check_range("resolution.frames", self.frames, 1, 1025)
        check_range("resolution.fps", self.fps, 1, 120)

    @property
    def name(self) -> str:
        """'512x288': always derived from the numbers."""
        return f"{self.width}x{self.height}"


@dataclass(frozen=True, kw_only=True)
class SamplerSpec:
    """Scheduler, denoising steps, guidance scale, and whether guidance follows the cosine schedule."""

    scheduler: str
    steps: int
    guidance: float
    dynamic_cfg: bool = False

    def __post_init__(self) -> None:
        check_choice("sampler.scheduler", self.scheduler, SCHEDULERS)
        check_range("sampler.steps", self.steps, 1, 1000)
        check_range("sampler.guidance", self.guidance, 1.0, 50.0)


@dataclass(frozen=True, kw_only=True)
class OptimizationSpec:
    """Flags that change memory or speed; docs/performance.md says what each does.

    The first eight were there from the start: a run that leaves the others alone keeps its `run_id`.
    """

    offload: str = "none"
    vae_tiling: bool | str = False  # "edge": as high as the frame, the last one shifted back
    vae_slicing: bool = False
    layerwise_cast: str = "none"  # of the transformer
    cache: str = "none"
    compile: str = "none"
    fuse_qkv: bool = False
    channels_last: bool = False
    text_cast: str = "none"  # layerwise casting of the text encoder
    vae_cast: str = "none"
    quantize: str = "none"  # the transformer's weights
    quantize_text: str = "none"
    attention: str = "sdpa"
    split_cfg: bool = False  # with and without the prompt one after the other
    lean_vae: bool = False

    def __post_init__(self) -> None:
        for flag, choices in FLAG_CHOICES.items():
            check_choice(f"optimization.{flag}", getattr(self, flag), choices)

    def changed(self) -> dict[str, bool | str]:
        """The flags that are not at their defaults."""
        return {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if getattr(self, field.name) != field.default
        }


@dataclass(frozen=True, kw_only=True)
class UpscalerSpec:
    """How the native frames are enlarged. `weights` is a user's file and only for name='spandrel'."""

    name: str = "none"
    scale: int = 4
    blend: float = 0.0
    tile_px: int = 0
    weights: str | None = None
    weights_sha256: str | None = None

    def __post_init__(self) -> None:
        check_choice("upscaler.name", self.name, UPSCALERS)
        if self.scale not in (1, 2, 4):
            nearest = min((2, 4), key=lambda legal: abs(legal - self.scale))
            raise SpecError(f"upscaler.scale must be 2 or 4, got {self.scale}; nearest: {nearest}")
        check_range("upscaler.blend", self.blend, 0.0, 1.0)
        if self.tile_px and not 32 <= self.tile_px <= 4096:
            raise SpecError(
                f"upscaler.tile_px must be 0 (automatic) or from 32 to 4096, got {self.tile_px}; "
                f"nearest: {0 if self.tile_px < 16 else 32 if self.tile_px < 32 else 4096}"
            )
        if self.name == "spandrel" and not self.weights:
            raise SpecError(
                "upscaler.weights must name a .pth or .safetensors file when upscaler=spandrel, got none; "
                "for example: upscaler.weights=models/4x.safetensors"
            )


@dataclass(frozen=True, kw_only=True)
class PromptSpec:
    """The text, what to avoid, and for image-to-video models the first frame (a file and its digest)."""

    name: str
    text: str
    negative: str = ""
    image: str | None = None
    image_sha256: str | None = None

    def __post_init__(self) -> None:
        if not self.text.strip():
            raise SpecError(
                'prompt.text must not be empty; for example: prompt.text="two wolves in the snow"'
            )


@dataclass(frozen=True, kw_only=True)
class MetricsSpec:
    """Which metrics, at which evaluation height (px), with which CLIP network, how many frames a batch."""

    names: tuple[str, ...] = ()
    clip_model: str = "openai/clip-vit-large-patch14"
    height: int = 288
    batch: int = 16

    def __post_init__(self) -> None:
        check_range("metrics.height", self.height, 64, 2160)
        check_range("metrics.batch", self.batch, 1, 1024)


@dataclass(frozen=True, kw_only=True)
class RunSpec:
    """All that decides the result of one run. Tracking, device and paths stay outside."""

    model: ModelSpec
    resolution: ResolutionSpec
    sampler: SamplerSpec
    optimization: OptimizationSpec = OptimizationSpec()
    upscaler: UpscalerSpec = UpscalerSpec()
    prompt: PromptSpec
    metrics: MetricsSpec = MetricsSpec()
    seed: int = 0

    def __post_init__(self) -> None:
        check_range("seed", self.seed, 0, 2**63 - 1)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> RunSpec:
        """The inverse of `to_dict`: the spec of a record. A later version's keys are ignored.

        Raises:
            SpecError: `plain` is not a spec of this version.
        """
        try:
            groups: dict[str, Any] = {}
            for group, kind in GROUP_TYPES.items():
                known = {field.name for field in dataclasses.fields(kind)}
                values = {key: value for key, value in plain[group].items() if key in known}
                groups[group] = kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})
            return cls(**groups, seed=plain.get("seed", 0))
        except (KeyError, TypeError, AttributeError) as error:
            raise SpecError(f"the recorded spec is not one of this version: {error}") from error

    def to_dict(self) -> dict[str, Any]:
        """Nested plain values, tuples as lists: what goes into record.json."""
        plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self)))
        return plain

    @property
    def content_hash(self) -> str:
        """Eight hex digits from the canonical JSON of everything that decides the result.

        A user's file counts by its content, not by where it lies; a flag that came later counts when set.
        """
        plain = self.to_dict()
        for flag in set(LATER_FLAGS) - set(self.optimization.changed()):
            del plain["optimization"][flag]
        for group, key in (("prompt", "image"), ("upscaler", "weights")):
            if plain[group][f"{key}_sha256"]:
                del plain[group][key]
        return digest(plain)[:8]

    @property
    def run_id(self) -> str:
        """'<model>-<WxH>-<upscaler>-s<seed>-<hash8>': the run's folder and its W&B id."""
        return (
            f"{self.model.name}-{self.resolution.name}-{self.upscaler.name}-s{self.seed}-{self.content_hash}"
        )


GROUP_TYPES: dict[str, Any] = {
    "model": ModelSpec,
    "resolution": ResolutionSpec,
    "sampler": SamplerSpec,
    "optimization": OptimizationSpec,
    "upscaler": UpscalerSpec,
    "prompt": PromptSpec,
    "metrics": MetricsSpec,
}


def digest(value: object) -> str:
    """SHA-256 (hex) of the canonical JSON of a plain value."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()
