"""Is one setting better than the others? Paired comparison over prompts and seeds, prompts as clusters.

Shapes: k settings, n cells (prompt, seed) that every setting has, p prompts, b bootstrap draws. A cell's
column holds the same prompt and seed for all settings, so differences are paired. Seeds of one prompt share
that prompt's taste for a setting, so the prompt is the unit of evidence (with one prompt, its seeds are).

Intervals: cluster bootstrap (prompts, then seeds within: Davison and Hinkley 1997, section 3.8), its
deviations rescaled to the unbiased standard error and to Student's t with units - 1 degrees of freedom, as
percentile intervals of few units are too narrow (Hesterberg 2015, The American Statistician 69:371). Each
side is the wider of that and the plain t interval, so that a lumpy bootstrap of few prompts claims nothing.
The standard error is never less than what the scatter of the seeds within prompts makes it: two prompts whose
means agree by luck are no evidence (the variance between prompts cannot be negative).

Decision: the leader is claimed to be the best only if it beats every rival at the 5 % level, two-sided. A
claim that needs all of its tests is an intersection-union test, whose level needs no correction for their
number (Berger 1982, Technometrics 24:295); the two sides pay for choosing the leader on the same data, as
either of two equal settings may lead. When nothing is claimed, many smaller claims remain ('at least these
are behind'), and those are corrected for their number by Holm (1979).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

LEVEL = 0.05
DRAWS = 4000
SMALLEST_P = 1e-4  # what so many draws can tell


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean with its 95 % interval; NaN bounds where a single unit allows none."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Rival:
    """The leader minus one other setting: the paired difference, its p-value, and the one adjusted by Holm.

    between, within: variance components of the paired difference (of prompts, of seeds within a prompt).
    """

    index: int
    difference: Estimate
    p: float
    p_holm: float
    between: float
    within: float


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """k settings compared: their means, the leader's row, its rivals, and the confidence that it is best."""

    means: tuple[Estimate, ...]
    leader: int
    rivals: tuple[Rival, ...]
    units: int

    @property
    def confidence(self) -> float:
        """1 - the largest p: the level at which 'the leader is the best' would just be claimed."""
        return 1.0 - max((rival.p for rival in self.rivals), default=1.0)

    @property
    def decisive(self) -> bool:
        """Whether every rival is beaten at the 5 % level."""
        return bool(self.rivals) and all(rival.p <= LEVEL for rival in self.rivals)


def compare(values: Array, prompts: Sequence[int], *, draws: int = DRAWS, seed: int = 0) -> Comparison:
    """Compare k settings over n shared cells; larger is better.

    Args:
        values: (k, n), finite. Column j is the same prompt and seed for every setting.
        prompts: (n,) the prompt of each column, any labels.
        draws: bootstrap draws; their generator is seeded, so the same data give the same answer.
    """
    order = np.argsort(np.asarray(prompts), kind="stable")
    values = np.asarray(values, dtype=np.float64)[:, order]
    counts = np.unique(np.asarray(prompts), return_counts=True)[1]
    if len(counts) == 1:
        counts = np.ones(values.shape[1], dtype=int)  # one prompt: its seeds are the units
    by_unit = unit_means(values, counts)
    weights = _weights(tuple(counts.tolist()), draws, seed)
    means, resampled = by_unit.mean(1), weights @ values.T
    leader = int(np.argmax(means))
    rivals = []
    for i in [i for i in range(len(values)) if i != leader]:
        difference = by_unit[leader] - by_unit[i]
        drawn = np.sort(resampled[:, leader] - resampled[:, i])
        gap = values[leader] - values[i]
        least = least_error(gap, counts)
        found = estimate(difference, drawn, least), p_value(difference, drawn, least)
        rivals.append((i, *found, *components(gap, counts)))
    adjusted = holm([rival[2] for rival in rivals])
    return Comparison(
        means=tuple(
            estimate(by_unit[i], np.sort(resampled[:, i]), least_error(values[i], counts))
            for i in range(len(values))
        ),
        leader=leader,
        rivals=tuple(
            Rival(index=i, difference=gap, p=p, p_holm=p_holm, between=between, within=within)
            for (i, gap, p, between, within), p_holm in zip(rivals, adjusted, strict=True)
        ),
        units=len(counts),
    )


def unit_means(values: Array, counts: NDArray[np.int64]) -> Array:
    """(k, n) with `counts` columns a unit -> (k, units). Every prompt counts the same, however many seeds."""
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    return np.add.reduceat(values, starts, axis=1) / counts


@lru_cache(maxsize=4)
def _weights(counts: tuple[int, ...], draws: int, seed: int) -> Array:
    """The same for every metric of settings that were run on the same prompts and seeds."""
    weights = bootstrap_weights(np.array(counts), draws, np.random.default_rng(seed))
    weights.setflags(write=False)
    return weights


def bootstrap_weights(counts: NDArray[np.int64], draws: int, rng: np.random.Generator) -> Array:
    """(b, n) weights of the cells, rows sum to 1: units drawn with replacement, then cells within each.

    The same weights serve all settings, which keeps the pairing.
    """
    units, cells = len(counts), int(counts.sum())
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    weights = np.zeros(draws * cells)
    row = np.arange(draws) * cells
    for _ in range(units):
        unit = rng.integers(units, size=draws)
        for cell in range(int(counts.max())):
            drawn = starts[unit] + np.floor(rng.random(draws) * counts[unit]).astype(int)
            share = np.where(cell < counts[unit], 1.0 / (units * counts[unit]), 0.0)
            weights += np.bincount(row + drawn, weights=share, minlength=draws * cells)
    return weights.reshape(draws, cells)


def least_error(values: Array, counts: NDArray[np.int64]) -> float:
    """Standard error of the mean of (n,) values if units did not differ: only their cells scatter."""
    within = components(values, counts)[1]
    return float(np.sqrt(within * (1.0 / counts).mean() / len(counts)))


def _standard_error(by_unit: Array, least: float) -> float:
    """Of the mean of (units,) values, at least `least`; a spread that is only rounding is none."""
    error = max(least, float(by_unit.std(ddof=1) / np.sqrt(len(by_unit))))
    return 0.0 if error < 1e-12 * max(1.0, float(np.abs(by_unit).max())) else error


def estimate(by_unit: Array, drawn: Array, least: float = 0.0) -> Estimate:
    """Mean and interval of (units,) values; `drawn` (b,): bootstrap means, sorted; `least`: of its error."""
    mean = float(by_unit.mean())
    if len(by_unit) < 2:
        return Estimate(mean=mean, low=np.nan, high=np.nan)
    low, high = interval(by_unit, drawn, LEVEL, least)
    return Estimate(mean=mean, low=low, high=high)


def interval(by_unit: Array, drawn: Array, level: float, least: float = 0.0) -> tuple[float, float]:
    """Two-sided 1 - level interval of the mean of (units,) values; `drawn` (b,) as for `estimate`."""
    from scipy.special import ndtri, stdtrit

    mean, error = float(by_unit.mean()), _standard_error(by_unit, least)
    t = float(stdtrit(len(by_unit) - 1, 1.0 - level / 2))
    spread = float(drawn.std())
    if error == 0.0 or spread == 0.0:
        return mean - t * error, mean + t * error
    scale = (t / float(ndtri(1.0 - level / 2))) * error / spread
    below, above = (_quantile(drawn, share) - float(drawn.mean()) for share in (level / 2, 1.0 - level / 2))
    return mean + min(scale * below, -t * error), mean + max(scale * above, t * error)


def _quantile(ordered: Array, share: float) -> float:
    """np.quantile of sorted values, without sorting again."""
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return float(ordered[low] + (place - low) * (ordered[high] - ordered[low]))


def p_value(by_unit: Array, drawn: Array, least: float = 0.0) -> float:
    """The level at which the interval of a difference just touches zero, by bisection; 1 for one unit."""
    mean = float(by_unit.mean())
    if len(by_unit) < 2 or mean == 0.0:
        return 1.0
    signed, ordered = (by_unit, drawn) if mean > 0 else (-by_unit, -drawn[::-1])
    excluded, touching = 1.0, SMALLEST_P  # at level 1 the interval is the mean alone
    if interval(signed, ordered, touching, least)[0] > 0:
        return SMALLEST_P
    if interval(signed, ordered, LEVEL, least)[0] > 0:
        excluded = LEVEL
    else:
        touching = LEVEL
    for _ in range(12):
        level = (excluded * touching) ** 0.5
        if interval(signed, ordered, level, least)[0] > 0:
            excluded = level
        else:
            touching = level
    return excluded


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjusted p-values, in the order given."""
    adjusted, largest = [1.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, p_values[index] * (len(p_values) - rank)))
        adjusted[index] = largest
    return adjusted


def components(gap: Array, counts: NDArray[np.int64]) -> tuple[float, float]:
    """Variance of a paired difference (n,): between prompts, and of seeds within a prompt (ANOVA estimates).

    Unequal counts use the harmonic mean; one seed a prompt puts all of it between prompts.
    """
    means = unit_means(gap[None], counts)[0]
    if len(counts) < 2:
        return 0.0, 0.0
    residual = gap - np.repeat(means, counts)
    freedom = int(counts.sum()) - len(counts)
    within = float((residual**2).sum() / freedom) if freedom else 0.0
    seeds = len(counts) / float((1.0 / counts).sum())
    return max(0.0, float(means.var(ddof=1)) - within / seeds), within
