"""What a clip's file presents, found without decoding all of it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction

ALIKE = 0.01  # a rate that a stream states, against the one of its timestamps (Matroska rounds them to 1 ms)
MAX_FPS = 1000


@dataclass(frozen=True, kw_only=True)
class Probe:
    """Size as displayed (px, pixels as stored), frames per second, frames that are presented.

    pixel_aspect: width over height of a pixel, 1 for square ones; never applied to the frames.
    stream: index of the video stream in its container; codec, container: their FFmpeg (or Pillow) names.
    edited: some packets are decoded for others' sake and not shown (an edit list).
    turned: the frames are turned or mirrored before they are shown (a display matrix).
    """

    width: int
    height: int
    fps: float
    frames: int
    pixel_aspect: Fraction = field(default=Fraction(1), compare=False)
    stream: int = field(default=0, compare=False)
    codec: str = field(default="", compare=False)
    container: str = field(default="", compare=False)
    edited: bool = field(default=False, compare=False)
    turned: bool = field(default=False, compare=False)


def rate_of(
    stated: Sequence[Fraction | None], times: Sequence[Fraction | None], *, raw: bool
) -> Fraction | None:
    """Frames per second: the first of the stated rates that the timestamps bear out, else theirs.

    stated: by preference, (average, guessed). times: seconds of the presented frames, in any order.
    raw: the timestamps are invented, so the guess stands (FFmpeg reads it in the codec's own header).
    """
    average, guessed = ([rate for rate in stated if rate and 0 < rate <= MAX_FPS] + [None, None])[:2]
    if raw and len(stated) > 1 and stated[1]:
        return stated[1] if stated[1] <= MAX_FPS else average
    known = sorted(time for time in times if time is not None)
    if len(known) < 2 or len(known) < len(times) or known[-1] <= known[0]:
        return average
    measured = (len(known) - 1) / (known[-1] - known[0])
    for rate in (average, guessed):
        if rate and abs(rate / measured - 1) < ALIKE:
            return rate
    gaps = sorted(b - a for a, b in itertools.pairwise(known))
    broken = gaps[-1] > 10 * gaps[len(gaps) // 2]  # joined streams: a gap says nothing of a rate
    return average if average and (broken or not 0 < measured <= MAX_FPS) else measured
