"""`probe`, `read` and `Clip`: a clip's facts and frames, whatever kind of file it is."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cogexp.media import container, decode, decord_reader, stills
from cogexp.media.errors import VideoError
from cogexp.media.identify import head_of
from cogexp.media.probe import Probe
from cogexp.system.faults import reason_of

log = logging.getLogger("cogexp")


@dataclass(frozen=True, kw_only=True)
class Video:
    """A clip in memory: `frames` uint8 (t, h, w, 3) RGB, `fps` frames per second."""

    frames: np.ndarray
    fps: float


@dataclass(kw_only=True)
class Clip:
    """A file that is read frame by frame, so that no clip is held at its full size.

    warnings: what was left out or is damaged, one line each; complete once `frames` has ended.
    """

    path: Path
    facts: Probe
    warnings: list[str] = field(default_factory=list)

    @classmethod
    def open(cls, path: str | Path) -> Clip:
        """Raises VideoError for what is no clip, with the reason."""
        return cls(path=Path(path), facts=probe(path))

    def frames(self) -> Iterator[np.ndarray]:
        """uint8 (h, w, 3) RGB frames as they are presented. Raises VideoError."""
        if _animated(self.path):
            yield from stills.frames(self.path)
            return
        losses, shown = decode.Losses(), 0
        for frame in decode.frames(self.path, losses):
            shown += 1
            yield frame
        self.warnings = losses.warnings(self.path, shown)


def probe(path: str | Path) -> Probe:
    """Size, rate and number of frames of a file; raises VideoError with the reason for what is no clip.

    The packets are counted without decoding them, so a damaged file may hold fewer frames than it says.
    """
    path = Path(path)
    container.check_file(path)
    return stills.probe(path) if _animated(path) else decode.probe(path)


def read(path: str | Path, *, max_frames: int | None = None) -> Video:
    """The first `max_frames` frames of a file (all of them by default) as it presents them: in its order,
    without what an edit list hides, turned and mirrored.

    Raises VideoError for a file that is no clip. What is damaged or missing is logged as a warning.
    """
    if max_frames is not None and max_frames < 1:
        raise VideoError(f"cannot read {path}: max_frames must be at least 1, got {max_frames}")
    clip = Clip.open(path)
    wanted = clip.facts.frames if max_frames is None else min(clip.facts.frames, max_frames)
    frames = None
    if decord_reader.installed() and not _animated(clip.path):
        frames = decord_reader.read(clip.path, clip.facts, wanted)
    if frames is None:
        frames = _stacked(clip.frames(), wanted)
    for warning in clip.warnings:
        log.warning("%s", warning)
    return Video(frames=frames, fps=clip.facts.fps)


def _stacked(frames: Iterator[np.ndarray], wanted: int) -> np.ndarray:
    """The first `wanted` frames as one array, never held twice."""
    first = next(frames)
    held = np.empty((wanted, *first.shape), np.uint8)
    count = 0
    for frame in itertools.chain([first], frames):
        if count == wanted:
            break
        held[count] = frame
        count += 1
    return held[:count]


def _animated(path: Path) -> bool:
    try:
        return stills.may_hold(head_of(path))
    except OSError as error:
        raise VideoError(f"cannot read {path}: {reason_of(error)}") from error
