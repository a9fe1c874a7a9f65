"""Thresholds that no clip of the same source has helped to choose: leave one source out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cogexp.metrics.judged import Judged

SUSPECT_SHARE, CERTAIN_SHARE = 0.08, 0.02  # of the clean clips may reach each level
CAUTION = 0.5  # of these shares are aimed at: unseen sources are worse than seen ones
USUAL_QUANTILE = 0.9
BEYOND = 1.2  # a certain threshold lies so much farther off the usual value: single sources decide the tail


@dataclass(frozen=True, kw_only=True)
class CrossValidation:
    """What thresholds that were chosen on other sources do.

    suspect, certain: shares of the clean clips that reach each level. found: kind -> share of the faulty
    clips that reach suspect, certain, by any detector. thresholds: detector -> (usual, suspect, certain) in
    its own unit, chosen on all clips.
    """

    sources: int
    suspect: float
    certain: float
    found: dict[str, tuple[float, float]]
    thresholds: dict[str, tuple[float, float, float]]


def cross_validate(judged: Sequence[Judged]) -> CrossValidation:
    """Judge each source with thresholds chosen on the others.

    Raises ValueError with fewer than two sources.
    """
    sources = sorted({clip.source for clip in judged})
    if len(sources) < 2:
        raise ValueError(f"expected clips of two sources or more, got {len(sources)}")
    levels: list[tuple[Judged, bool, bool]] = []
    for source in sources:
        others = [clip for clip in judged if clip.clean and clip.source != source]
        some, sure = thresholds(others, SUSPECT_SHARE), farther(others, thresholds(others, CERTAIN_SHARE))
        for clip in judged:
            if clip.source == source:
                levels.append((clip, alarmed(clip, some), alarmed(clip, sure)))
    kinds = list(dict.fromkeys(clip.kind for clip in judged if not clip.clean))
    shares = {kind: _shares([level for level in levels if level[0].kind == kind]) for kind in kinds}
    clean = [clip for clip in judged if clip.clean]
    some, sure = thresholds(clean, SUSPECT_SHARE), farther(clean, thresholds(clean, CERTAIN_SHARE))
    usual = usual_values(clean)
    suspect, certain = _shares([level for level in levels if level[0].clean])
    return CrossValidation(
        sources=len(sources),
        suspect=suspect,
        certain=certain,
        found=shares,
        thresholds={name: (usual[name], some[name], sure[name]) for name in some},
    )


def thresholds(clean: Sequence[Judged], share: float) -> dict[str, float]:
    """Detector -> the value to exceed, such that at most CAUTION * share of these clips exceeds one of them.

    Every detector may have the same number of false alarms.
    """
    allowed = CAUTION * share * len(clean)
    ordered = {name: sorted((clip.raws[name] for clip in clean), reverse=True) for name in clean[0].raws}
    chosen = {name: values[0] for name, values in ordered.items()}
    for alarms in range(1, len(clean)):
        tried = {name: values[alarms] for name, values in ordered.items()}
        if sum(alarmed(clip, tried) for clip in clean) > allowed:
            break
        chosen = tried
    return chosen


def usual_values(clean: Sequence[Judged]) -> dict[str, float]:
    """Detector -> what nine of ten of these clips stay below."""
    return {
        name: float(np.quantile([clip.raws[name] for clip in clean], USUAL_QUANTILE))
        for name in clean[0].raws
    }


def farther(clean: Sequence[Judged], limits: dict[str, float]) -> dict[str, float]:
    """The limits, BEYOND times as far from the usual values."""
    usual = usual_values(clean)
    return {name: usual[name] + BEYOND * (limit - usual[name]) for name, limit in limits.items()}


def alarmed(clip: Judged, limits: dict[str, float]) -> bool:
    """Whether any detector exceeds its limit."""
    return any(clip.raws[name] > limit for name, limit in limits.items())


def _shares(levels: list[tuple[Judged, bool, bool]]) -> tuple[float, float]:
    """Shares that are suspect, certain."""
    return (
        float(np.mean([some for _, some, _ in levels])),
        float(np.mean([sure for _, _, sure in levels])),
    )
