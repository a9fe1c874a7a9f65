"""What each kind of stage result must look like, whatever its digest says.

Files of earlier versions have no digest. Their names, types, sizes and costs are checked, that numbers are
finite, and that latents and embeddings hold no block of zeros, which denoising and encoding never leave.
Decoded frames may be black in places: a damage there that keeps their size is not seen without a digest.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cogexp.spec import RunSpec
from cogexp.storage.stage_file import Stage
from cogexp.tiles import SCALE

BLOCK = 512  # bytes: a sector, the least that a disk loses at once


@dataclass(frozen=True, kw_only=True)
class Kind:
    """The one tensor of a kind, its number of dimensions, and the stages whose costs come with it.

    No stages: the costs are those of one stage themselves.
    """

    tensor: str
    rank: int
    stages: tuple[str, ...] = ()


KINDS = {
    "encode": Kind(tensor="embedding", rank=3),  # (1, tokens, features)
    "denoise": Kind(tensor="latents", rank=5, stages=("encode", "denoise")),  # (1, t, c, h/8, w/8)
    "decode": Kind(tensor="frames", rank=4, stages=("encode", "denoise", "decode")),  # (t, h, w, 3) uint8
}


def problem(kind: str, stage: Stage, spec: RunSpec | None) -> str:
    """Why the result cannot be used, in a few words; '' when it can. `spec`: what it was asked for."""
    wanted = KINDS.get(kind)
    if wanted is None:
        return ""
    if set(stage.tensors) != {wanted.tensor}:
        return f"it must hold {wanted.tensor!r} alone, got {', '.join(sorted(stage.tensors)) or 'nothing'}"
    tensor = stage.tensors[wanted.tensor]
    if tensor.ndim != wanted.rank or not tensor.numel():
        return f"{wanted.tensor} must have {wanted.rank} dimensions, got the shape {tuple(tensor.shape)}"
    if spec is not None and not _fits(kind, tuple(tensor.shape), spec):
        return f"{wanted.tensor} of the shape {tuple(tensor.shape)} are not of this size"
    costs = [stage.cost.get(name) for name in wanted.stages] if wanted.stages else [stage.cost]
    if not all(map(_is_cost, costs)):
        return "its costs are not complete"
    return _content(kind, wanted.tensor, stage)


def _fits(kind: str, shape: tuple[int, ...], spec: RunSpec) -> bool:
    size = spec.resolution
    if kind == "decode":
        return shape == (size.frames, size.height, size.width, 3)
    if kind == "denoise":
        frames = (size.frames - 1) // 4 + 1  # at least: the 1.5 models denoise whole patches of frames
        return shape[1] >= frames and shape[3:] == (size.height // SCALE, size.width // SCALE)
    return shape[0] == 1


def _is_cost(found: object) -> bool:
    """Whether it has what `Meter.reuse` and the tables take from it, as finite numbers."""
    if not isinstance(found, Mapping):
        return False
    peaks = [found[key] for key in ("peak_allocated_gib", "peak_reserved_gib") if found.get(key) is not None]
    return all(_is_amount(value) for value in (found.get("seconds"), found.get("rss_gib"), *peaks))


def _is_amount(value: Any) -> bool:
    real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    return real and math.isfinite(value) and value >= 0


def _content(kind: str, name: str, stage: Stage) -> str:
    import torch

    tensor = stage.tensors[name]
    if kind == "decode":
        return "" if tensor.dtype is torch.uint8 else f"{name} must be uint8, got {tensor.dtype}"
    if not tensor.dtype.is_floating_point:
        return f"{name} must be floating-point numbers, got {tensor.dtype}"
    if not torch.isfinite(tensor).all():
        return f"{name} are not finite"
    if stage.verified:
        return ""
    octets = tensor.contiguous().reshape(-1).view(torch.uint8)
    blocks = octets[: octets.numel() // BLOCK * BLOCK].reshape(-1, BLOCK)
    return "" if bool(blocks.any(dim=1).all()) else f"{name} hold a block of zeros"
