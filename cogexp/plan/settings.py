"""The settings beside one setting: which of them fit a card, and which is the fastest."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from cogexp.catalog import VARIANTS, Variant
from cogexp.plan import cards, host, measured, memory, roofline
from cogexp.plan.cards import Card
from cogexp.rules import TOGETHER, decode_problem
from cogexp.spec import OptimizationSpec, RunSpec

# What may be changed to make a setting fit, gentlest first. A new flag is a line here and one in `memory`.
AXES: dict[str, tuple[Any, ...]] = {
    "offload": ("none", "text", "model", "group-block", "group", "sequential"),
    "lean_vae": (False, True),
    "split_cfg": (False, True),
    # Of the two kinds of tiles the one without thin ones: as little memory, and no seam near the edge.
    "vae_tiling": (False, "edge"),
    "layerwise_cast": ("none", "fp8"),
}
# Values that change the pixels, and how.
APPROXIMATE = {
    ("vae_tiling", True): "tiles may leave a seam",
    ("vae_tiling", "edge"): "tiles are normalised one by one",
    ("layerwise_cast", "fp8"): "weights rounded to 8 bits",
}
REFERENCE = "A100"  # relative times when no card is named


@dataclass(frozen=True, kw_only=True)
class Suggestion:
    """A setting: what to add to the command line, its peak in GiB, its time over the asked setting's."""

    overrides: tuple[str, ...]
    peak_allocated_gib: float
    peak_reserved_gib: float
    relative_time: float
    changes_pixels: str = ""
    host_gib: float = 0.0  # main memory


def suggestions(
    spec: RunSpec, card: Card | None, correction: measured.Correction = measured.NOTHING
) -> list[Suggestion]:
    """Settings that fit `card` (without one: all), fastest first, each better than all others in something:
    time, memory, or exactness."""
    variant = VARIANTS[spec.model.name]
    on = card or cards.CARDS[REFERENCE]

    def time_of(candidate: RunSpec) -> float:
        return sum(correction.apply(candidate, roofline.seconds(candidate, variant, on)).values())

    asked = time_of(spec)
    found = []
    for candidate in candidates(spec, variant, tuple(AXES)):
        stages = memory.stages(candidate, variant).values()
        peak = max(stage.peak_allocated_gib for stage in stages)
        if card is None or peak <= card.usable_gib:
            found.append(
                Suggestion(
                    overrides=overrides(spec, candidate),
                    peak_allocated_gib=peak,
                    peak_reserved_gib=max(stage.reserved_gib for stage in stages),
                    relative_time=time_of(candidate) / asked,
                    changes_pixels="; ".join(approximations(candidate.optimization)),
                    host_gib=host.host_gib(candidate, variant, "cuda"),
                )
            )
    kept: list[Suggestion] = []
    for one in sorted(found, key=lambda s: (round(s.relative_time, 2), _inexact(s), s.peak_allocated_gib)):
        if not any(_as_good(other, one) for other in kept):
            kept.append(one)
    return kept


def candidates(spec: RunSpec, variant: Variant, free: tuple[str, ...]) -> Iterator[RunSpec]:
    """`spec` with every combination of the free flags, in its own dtype and, on a GPU, the authors' one."""
    dtypes = dict.fromkeys(
        (spec.model.dtype, variant.dtype) if len(free) == len(AXES) else (spec.model.dtype,)
    )
    for dtype, values in itertools.product(dtypes, itertools.product(*(AXES[flag] for flag in free))):
        flags = replace(spec.optimization, **dict(zip(free, values, strict=True)))
        if any(rule.applies(flags) for rule in TOGETHER):
            continue
        candidate = replace(spec, model=replace(spec.model, dtype=dtype), optimization=flags)
        if "vae_tiling" in free and decode_problem(candidate):
            continue
        yield candidate


def choose(
    spec: RunSpec, free: tuple[str, ...], card: Card, host_room_gib: float = math.inf
) -> OptimizationSpec | None:
    """The fastest values of the `free` flags with which `spec` fits `card`, of those within 1 % the gentlest;
    None when nothing fits.

    Weights that wait must fit `host_room_gib` of main memory, too, where any of
    the fitting settings do. A flag that changes the pixels is taken only when nothing fits without it.
    """
    variant = VARIANTS[spec.model.name]

    def rank(candidate: RunSpec) -> tuple[int, float]:
        spent = sum(roofline.seconds(candidate, variant, card).values())
        return len(approximations(candidate.optimization)), spent

    fitting = [
        candidate
        for candidate in candidates(spec, variant, free)
        if max(s.peak_allocated_gib for s in memory.stages(candidate, variant).values()) <= card.usable_gib
    ]
    if not fitting:
        return None
    fitting = [c for c in fitting if host.host_gib(c, variant, "cuda") <= host_room_gib] or fitting
    best = min(map(rank, fitting))
    # The roofline does not know better than to a per cent: then the gentlest, which comes first.
    return next(
        candidate.optimization
        for candidate in fitting
        if rank(candidate)[0] == best[0] and rank(candidate)[1] <= 1.01 * best[1]
    )


def leanest(spec: RunSpec, free: tuple[str, ...], card: Card) -> OptimizationSpec:
    """The values of the `free` flags that need the least memory; the fastest of those."""
    variant = VARIANTS[spec.model.name]

    def rank(candidate: RunSpec) -> tuple[float, float]:
        peak = max(stage.peak_allocated_gib for stage in memory.stages(candidate, variant).values())
        return round(peak, 1), sum(roofline.seconds(candidate, variant, card).values())

    return min(candidates(spec, variant, free), key=rank).optimization


def described(flags: OptimizationSpec) -> str:
    """'offload=model, vae_tiling=true (tiles may leave a seam)', or 'none'."""
    plain = OptimizationSpec()
    changed = [
        f"{flag}={str(getattr(flags, flag)).lower()}"
        for flag in AXES
        if getattr(flags, flag) != getattr(plain, flag)
    ]
    inexact = approximations(flags)
    return (", ".join(changed) or "none") + (f" ({'; '.join(inexact)})" if inexact else "")


def overrides(spec: RunSpec, other: RunSpec) -> tuple[str, ...]:
    """The words that turn `spec` into `other`."""
    words = [] if spec.model.dtype == other.model.dtype else [f"model.dtype={other.model.dtype}"]
    for flag in AXES:
        before, after = getattr(spec.optimization, flag), getattr(other.optimization, flag)
        if before != after:
            words.append(f"optimization.{flag}={str(after).lower()}")
    return tuple(words)


def approximations(flags: OptimizationSpec) -> list[str]:
    """What changes the pixels with these flags, in words."""
    return [text for (flag, value), text in APPROXIMATE.items() if getattr(flags, flag) == value]


def gentlest(found: list[Suggestion]) -> Suggestion:
    """Of these, the fastest of those that change the pixels least."""
    return min(found, key=lambda one: (_inexact(one), one.relative_time))


def _inexact(found: Suggestion) -> int:
    """How many of its flags change the pixels."""
    return len(found.changes_pixels.split("; ")) if found.changes_pixels else 0


def _as_good(faster: Suggestion, one: Suggestion) -> bool:
    """`faster` needs no more memory (within 2 %) and changes the pixels no more."""
    return faster.peak_allocated_gib <= 1.02 * one.peak_allocated_gib and _inexact(faster) <= _inexact(one)
