"""The Pareto front: settings that no other beats everywhere. Pure function, standard library only."""

from __future__ import annotations

from collections.abc import Sequence


def front(points: Sequence[Sequence[float | None]]) -> list[bool]:
    """Which points are on the front; every coordinate is a cost (smaller is better).

    A point is dominated when another is nowhere worse and somewhere better. Two points of which only one
    knows a coordinate (None: not measured) cannot be compared, so a missing figure pushes nobody off.
    """
    return [not any(_dominates(other, point) for other in points) for point in points]


def _dominates(other: Sequence[float | None], point: Sequence[float | None]) -> bool:
    better = False
    for a, b in zip(other, point, strict=True):
        if a is None and b is None:
            continue
        if a is None or b is None or a > b:
            return False
        better = better or a < b
    return better
