"""How many more prompts or seeds would decide it, from the observed difference and variance."""

from __future__ import annotations

import math

POWER = 0.8
MOST = 1000
MOST_SEEDS = 64


def needed_units(difference: float, between: float, within: float, seeds: int, level: float) -> int | None:
    """Smallest number of prompts at which a t test of `level` finds this difference with 80 % power.

    A prompt's mean difference over `seeds` seeds has variance between + within / seeds. The observed
    difference is taken as the true one, which flatters it: the leader was chosen for being ahead. None when
    even MOST prompts would not do, as for a difference of zero.
    """
    from scipy.special import stdtrit

    variance = between + within / max(seeds, 1)
    if difference == 0.0:
        return None
    if variance <= 0.0:
        return 2

    def decides(units: int) -> bool:
        reach = float(stdtrit(units - 1, 1 - level / 2)) + float(stdtrit(units - 1, POWER))
        return abs(difference) >= reach * (variance / units) ** 0.5

    if not decides(MOST):
        return None
    low, high = 1, MOST  # not enough, enough
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if decides(middle) else (middle, high)
    return high


def needed_seeds(difference: float, between: float, within: float, units: int, level: float) -> int | None:
    """Smallest number of seeds a prompt that decides it on the same `units` prompts; None beyond 64 seeds."""
    from scipy.special import stdtrit

    if units < 2 or difference == 0.0:
        return None
    reach = float(stdtrit(units - 1, 1 - level / 2)) + float(stdtrit(units - 1, POWER))
    left = (abs(difference) / reach) ** 2 * units - between  # what within / seeds may be at most
    if left <= 0.0:
        return None
    seeds = max(1, math.ceil(within / left - 1e-9))
    return seeds if seeds <= MOST_SEEDS else None
