"""Grid: lines or cells at the pitch of the patches (8, 16 or 32 px), standing still in the frame.

Idea: steps between neighbouring pixels of the mean frame are larger at every P-th column and row than
between.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cogexp.metrics.artifacts.evidence import Evidence, Finding

PITCHES = (8, 16, 32)
FLOOR = 0.25  # levels


def find_grid(evidence: Evidence) -> Finding:
    """Raw evidence: mean over both axes of the log ratio of steps on the grid and beside it (about 0..2)."""
    picture = evidence.mean_luma
    best = max(
        np.mean([pitch_strength(step_profile(picture, axis), pitch) for axis in (0, 1)]) for pitch in PITCHES
    )
    return Finding(raw=float(best), rows=(0, picture.shape[0] - 1))


def step_profile(picture: NDArray[np.float32], axis: int) -> NDArray[np.float64]:
    """Mean size of the step into each row (axis 0) or column (axis 1), beyond what its neighbours' trend
    explains.

    The second difference of the step: a line or a cell's edge stands out, an even texture does not.
    """
    moved = picture if axis == 0 else picture.T
    steps = np.minimum(np.abs(np.diff(moved, axis=0)), 24.0)
    profile = np.zeros(moved.shape[0])
    profile[1:] = steps.mean(axis=1)
    return profile


def pitch_strength(profile: NDArray[np.float64], pitch: int) -> float:
    """log of the median step at the best phase of `pitch` over the median of all other phases' medians."""
    whole = len(profile) // pitch * pitch
    if whole < 4 * pitch:
        return 0.0
    local = profile[:whole]
    around = np.stack([np.roll(profile, k)[:whole] for k in (-3, -2, 2, 3)])
    excess = np.log((local + FLOOR) / (np.median(around, axis=0) + FLOOR))
    phases = np.median(excess.reshape(-1, pitch), axis=0)
    return float(phases.max() - np.median(phases))
