"""What the metrics see of a clip: its frames at one evaluation height, and at a whole fraction of its own
size.

Shapes: t frames, h rows, w columns, 3 colours (RGB, uint8).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

Frames = NDArray[np.uint8]

DEFAULT_HEIGHT = 288


@dataclass(frozen=True, kw_only=True)
class EvalClip:
    """A clip as the metrics see it.

    frames: (t, h, w, 3) uint8 for the metrics, always at the evaluation height: a taller source is averaged
    down
        (area), a smaller one enlarged (bicubic). Flow, warping error and LPIPS depend on the scale in
        pixels, so only one common scale lets the same clip score the same at any size.
    detail: (t, h2, w2, 3) uint8 for the detectors: the source averaged over whole k x k blocks, k =
    floor(height /
        evaluation height), at least 1. A fractional reduction would blur a one-row fault away and move rows.
    width, height, fps: of the source.
    """

    frames: Frames
    detail: Frames
    width: int
    height: int
    fps: float

    @classmethod
    def collect(cls, chunks: Iterable[Frames], fps: float, height: int = DEFAULT_HEIGHT) -> EvalClip:
        """Reduce a stream of (n, H, W, 3) uint8 chunks while it passes: the full clip is never held."""
        builder = EvalClipBuilder(fps=fps, height=height)
        for chunk in chunks:
            builder.add(chunk)
        return builder.finish()

    @property
    def row_factor(self) -> int:
        """Source rows per row of `detail`."""
        return max(1, self.height // self.detail.shape[1])

    @property
    def gray(self) -> NDArray[np.uint8]:
        """(t, h, w) uint8 luma (BT.601) of `frames`."""
        return to_gray(self.frames)


@dataclass(kw_only=True)
class EvalClipBuilder:
    """Collects an EvalClip chunk by chunk, beside whatever else a stream feeds."""

    fps: float
    height: int = DEFAULT_HEIGHT
    _frames: list[Frames] = field(default_factory=list)
    _detail: list[Frames] = field(default_factory=list)
    _size: tuple[int, int] | None = None

    def add(self, chunk: Frames) -> None:
        """Take (n, H, W, 3) or (H, W, 3) uint8 RGB.

        Raises ValueError on another shape, dtype or a changed size.
        """
        if chunk.ndim == 3:
            chunk = chunk[None]
        if chunk.ndim != 4 or chunk.shape[3] != 3 or chunk.dtype != np.uint8:
            raise ValueError(f"expected uint8 frames (t, h, w, 3), got {chunk.dtype} {chunk.shape}")
        height, width = chunk.shape[1:3]
        if self._size is None:
            self._size = (height, width)
        if self._size != (height, width):
            raise ValueError(f"expected {self._size[1]}x{self._size[0]} as before, got {width}x{height}")
        for frame in chunk:
            self.add_reduced(reduce_frame(frame, self.height), (width, height))

    def add_reduced(self, reduced: Reduced, size: tuple[int, int]) -> None:
        """Take one frame that `reduce_frame` made of a source of this (width, height)."""
        self._size = (size[1], size[0])
        self._detail.append(reduced.detail)
        self._frames.append(reduced.detail if reduced.frame is None else reduced.frame)

    def __len__(self) -> int:
        return len(self._detail)

    def finish(self) -> EvalClip:
        """The clip collected so far; the builder is empty then. Raises ValueError when there was no frame."""
        if self._size is None or not self._detail:
            raise ValueError("expected at least one frame, got none")
        same = self._frames[0] is self._detail[0]
        if same:
            self._frames.clear()
        detail = _stacked(self._detail)
        frames = detail if same else _stacked(self._frames)
        height, width = self._size
        return EvalClip(frames=frames, detail=detail, width=width, height=height, fps=float(self.fps))


@dataclass(frozen=True, kw_only=True)
class Reduced:
    """One frame as an EvalClip holds it: `detail`, and `frame` or None where both are the same."""

    detail: Frames
    frame: Frames | None

    @property
    def nbytes(self) -> int:
        return self.detail.nbytes + (0 if self.frame is None else self.frame.nbytes)


def reduce_frame(frame: Frames, height: int = DEFAULT_HEIGHT) -> Reduced:
    """(H, W, 3) uint8 -> what the metrics and the detectors look at, for this evaluation height."""
    rows, columns = frame.shape[:2]
    block = max(1, rows // height)
    detail = _resize(frame, rows // block, columns // block, crop=block)
    if detail.shape[0] == height:
        return Reduced(detail=detail, frame=None)
    return Reduced(detail=detail, frame=_resize(frame, height, max(1, round(columns * height / rows))))


def _stacked(frames: list[Frames]) -> Frames:
    """np.stack, each frame freed as soon as it is copied: a clip is never held twice."""
    stacked = np.empty((len(frames), *frames[0].shape), np.uint8)
    for index in range(len(frames)):
        stacked[index] = frames[index]
        frames[index] = stacked[index]
    frames.clear()
    return stacked


def to_gray(frames: Frames) -> NDArray[np.uint8]:
    """(t, h, w, 3) uint8 RGB -> (t, h, w) uint8 luma (BT.601)."""
    t, h, w, _ = frames.shape
    flat = cv2.cvtColor(np.ascontiguousarray(frames).reshape(t * h, w, 3), cv2.COLOR_RGB2GRAY)
    return np.asarray(flat, dtype=np.uint8).reshape(t, h, w)


def _resize(frame: Frames, height: int, width: int, crop: int = 1) -> Frames:
    """Area average down, bicubic up.

    With `crop` what is beyond a whole number of blocks is left out first.
    """
    if frame.shape[:2] == (height, width):
        return np.ascontiguousarray(frame)
    if crop > 1:
        frame = frame[: height * crop, : width * crop]
    how = cv2.INTER_AREA if height < frame.shape[0] else cv2.INTER_CUBIC
    resized = cv2.resize(np.ascontiguousarray(frame), (width, height), interpolation=how)
    return np.asarray(resized, dtype=np.uint8)
