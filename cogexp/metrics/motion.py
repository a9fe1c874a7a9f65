"""Motion and what it leaves unexplained. Shapes: t frames, h rows, w columns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cogexp.metrics.clip_frames import EvalClip, Frames, to_gray
from cogexp.metrics.score import Context, Score, from_values
from cogexp.metrics.threads import side_by_side

FLOW_NOTE = "flow: dis"
REFERENCE_PX = (512, 288)  # width, height of the frame in which motion is told
SMOOTHING = 1 / 288  # of the height: detail finer than this depends on the resizing, not on the motion
PAIRS = 32  # of frames whose flow is held at once
MIN_VISIBLE = 0.1  # below this share of visible pixels (a cut) a pair has no warp error


@dataclass(frozen=True, kw_only=True)
class Flow:
    """Displacements in px of `frames`: forward[i] moves frame i's pixels onto frame i+1; backward[i] the
    way back.

    Both (t-1, h, w, 2) float32, x before y.
    """

    forward: NDArray[np.float32]
    backward: NDArray[np.float32]


def adjacent_flow(gray: NDArray[np.uint8]) -> Flow:
    """Dense optical flow of adjacent frames of a (t, h, w) uint8 clip, DIS (Kroeger et al.

    2016, as in OpenCV). The same on any number of cores.
    """

    def there_and_back(i: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        engine = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)  # it is not safe to share
        return engine.calc(gray[i], gray[i + 1], None), engine.calc(gray[i + 1], gray[i], None)

    forward, backward = zip(*side_by_side(there_and_back, range(len(gray) - 1)), strict=True)
    return Flow(forward=np.stack(forward), backward=np.stack(backward))


def warp(image: NDArray[np.float32], flow: NDArray[np.float32]) -> NDArray[np.float32]:
    """Fetch `image` (h, w, c) at x + flow (h, w, 2), bilinear; outside the frame it is 0."""
    h, w = flow.shape[:2]
    x = np.arange(w, dtype=np.float32) + flow[..., 0]
    y = np.arange(h, dtype=np.float32)[:, None] + flow[..., 1]
    warped = cv2.remap(image, x, y, cv2.INTER_LINEAR)
    return np.asarray(warped, dtype=np.float32)


def visible(forward: NDArray[np.float32], backward: NDArray[np.float32]) -> NDArray[np.bool_]:
    """(h, w): where the flow there and back agree and stay inside the frame.

    |f + b(x+f)|^2 < 0.01 (|f|^2 + |b(x+f)|^2) + 0.5 (Sundaram, Brox and Keutzer 2010).
    """
    h, w = forward.shape[:2]
    x = np.arange(w, dtype=np.float32) + forward[..., 0]
    y = np.arange(h, dtype=np.float32)[:, None] + forward[..., 1]
    inside = (x >= 0) & (x <= w - 1) & (y >= 0) & (y <= h - 1)
    back = warp(backward, forward)
    agreed = _squared(forward + back) < 0.01 * (_squared(forward) + _squared(back)) + 0.5
    return np.asarray(inside & agreed)


def _squared(flow: NDArray[np.float32]) -> NDArray[np.float32]:
    """(..., h, w): squared lengths. Written out: numpy's sums over an axis of two take five times as long."""
    x, y = flow[..., 0], flow[..., 1]
    return np.asarray(x * x + y * y)


def warp_errors(frames: Frames, flow: Flow) -> NDArray[np.float64]:
    """(t-1,): mean |I_t - I_{t+1}(x + flow)| over visible pixels, in levels of 0..255; NaN after a cut.

    I is smoothed by a Gaussian of one pixel at 288 rows: without it the bilinear fetch punishes the sharper
    of two clips with the same motion, and the same clip at two sizes differs by 15 % instead of 5 %.
    """
    sigma = frames.shape[1] * SMOOTHING
    smooth = side_by_side(lambda frame: cv2.GaussianBlur(frame.astype(np.float32), (0, 0), sigma), frames)

    def error(i: int) -> float:
        seen = visible(flow.forward[i], flow.backward[i])
        if seen.mean() < MIN_VISIBLE:
            return np.nan
        away = cv2.absdiff(smooth[i], warp(smooth[i + 1], flow.forward[i]))
        return sum(cv2.mean(away, seen.view(np.uint8))[:3]) / 3

    return np.array(side_by_side(error, range(len(frames) - 1)))


def blocks(frames: int, pairs: int = PAIRS) -> Iterator[slice]:
    """The frames of at most `pairs` adjacent pairs at a time; each pair comes once."""
    for start in range(0, frames - 1, pairs):
        yield slice(start, min(start + pairs, frames - 1) + 1)


@dataclass(frozen=True, kw_only=True)
class MotionCurves:
    """What is kept of a clip's optical flow, a value a pair: the flow itself takes 2.4 MB a pair.

    warp_error: see `warp_errors`. length_px: mean length, each axis scaled to REFERENCE_PX.
    """

    warp_error: NDArray[np.float64]
    length_px: NDArray[np.float64]


def motion_curves(frames: Frames) -> MotionCurves:
    """DIS flow of adjacent frames (t, h, w, 3), a few pairs at a time."""
    h, w = frames.shape[1:3]
    scale = np.array([REFERENCE_PX[0] / w, REFERENCE_PX[1] / h], np.float32)
    errors, lengths = [], []
    for part in blocks(len(frames)):
        flow = adjacent_flow(to_gray(frames[part]))
        errors.append(warp_errors(frames[part], flow))
        # np.hypot takes three times as long
        lengths.append(np.sqrt(_squared(flow.forward * scale)).mean((1, 2)))
    return MotionCurves(warp_error=np.concatenate(errors), length_px=np.concatenate(lengths))


def temporal_flickering(clip: EvalClip, context: Context) -> Score:
    """VBench's temporal flickering: (255 - mean |I_{t+1} - I_t|) / 255. 0..1, 1 for a still clip, higher is
    better.

    Source: VBench (Huang et al. 2024), temporal_flickering.py. A still clip is perfect: read it beside
    motion_px.
    """
    differences = [
        float(cv2.absdiff(a, b).mean()) for a, b in zip(clip.frames[:-1], clip.frames[1:], strict=True)
    ]
    return from_values((255.0 - np.asarray(differences)) / 255.0)


def warp_error(clip: EvalClip, context: Context) -> Score:
    """What motion does not explain: see `warp_errors`. >= 0 levels, lower is better (after Lai et al.

    2018).
    """
    return from_values(
        context.motion.warp_error,
        note=FLOW_NOTE,
        reason="no pair of frames shows the same scene",
    )


def motion_px(clip: EvalClip, context: Context) -> Score:
    """Mean length of the optical flow in px per frame, as if the clip were 512x288. Context, not quality.

    Each axis is scaled by its own length: the width of the frame counts 512, its height 288.
    """
    return from_values(context.motion.length_px, note=FLOW_NOTE)
