"""The frames of a container's film: one stream throughout, in the order of presentation, turned as asked."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from cogexp.media import pyav
from cogexp.media.container import opened
from cogexp.media.errors import VideoError
from cogexp.media.orientation import UPRIGHT, Orientation, orientation_of
from cogexp.media.probe import Probe, rate_of
from cogexp.system.faults import reason_of

THREADS = 8  # at most: each holds a few frames, and a frame may have MAX_PIXELS
MAX_DAMAGED = 1000  # packets that cannot be decoded; a file with more is not worth the time
NOT_SHOWN = (av.error.FFmpegError, ValueError)  # what PyAV raises for a packet or frame that is damaged


@dataclass(kw_only=True)
class Losses:
    """What could not be read while the frames passed, counted."""

    packets: int = 0
    shown_damaged: int = 0
    cut_at: str = ""
    undecoded: int = 0
    oblique: bool = False

    def warnings(self, path: Path, shown: int) -> list[str]:
        """A line for each kind of loss."""
        lines = []
        if self.packets:
            lines.append(
                f"{path}: {self.packets} damaged {'packet' if self.packets == 1 else 'packets'} left out; "
                f"{shown} frames are read"
            )
        if self.shown_damaged:
            lines.append(f"{path}: {self.shown_damaged} of its {shown} frames are damaged")
        if self.cut_at or self.undecoded:
            total = f" of the {shown + self.undecoded + self.packets}" if self.undecoded else ""
            why = f" ({self.cut_at})" if self.cut_at else ""
            lines.append(f"{path} is cut off{why}: only {shown}{total} frames can be decoded")
        if self.oblique:
            lines.append(
                f"{path} asks to be turned by an angle that is no quarter turn; the nearest one is taken"
            )
        return lines


def probe(path: Path) -> Probe:
    """The facts of a file: its packets are counted, one frame is decoded."""
    with opened(path) as (container, stream):
        stated = (pyav.fraction(stream.average_rate), pyav.fraction(stream.guessed_rate))
        raw = container.format.name.split(",")[0] in pyav.RAW
        times: list[Fraction | None] = []
        edited = False
        for packet in _packets(container, stream, Losses()):
            if packet.is_discard:
                edited = True
                continue
            time = packet.dts if packet.pts is None else packet.pts
            base = pyav.fraction(packet.time_base)
            times.append(None if time is None or base is None else time * base)
        rate = rate_of(stated, times, raw=raw)
        if not times or not rate:
            missing = "rate" if times else "frames"
            raise VideoError(f"cannot read {path}: its video stream holds no {missing}")
        index, codec, name = stream.index, stream.codec_context.name, container.format.name
        aspect = pyav.fraction(stream.sample_aspect_ratio) or Fraction(1)
    frame, orientation = _first(path)
    width, height = (frame.height, frame.width) if orientation.transpose else (frame.width, frame.height)
    return Probe(
        width=width,
        height=height,
        fps=float(rate),
        frames=len(times),
        pixel_aspect=1 / aspect if orientation.transpose else aspect,
        stream=index,
        codec=codec,
        container=name,
        edited=edited,
        turned=orientation != UPRIGHT,
    )


def _first(path: Path) -> tuple[Any, Orientation]:
    """The first frame that can be decoded: the matrix travels with frames, and headers lie about sizes."""
    with opened(path) as (container, stream):
        pyav.bounded(stream, 1)
        for packet in container.demux(stream):
            with contextlib.suppress(*NOT_SHOWN):
                for frame in packet.decode():
                    return frame, orientation_of(pyav.display_matrix(frame))
    raise VideoError(f"cannot read {path}: none of its frames can be decoded")


def _packets(container: Any, stream: Any, losses: Losses) -> Iterator[Any]:
    """The stream's packets. One that cannot be read ends the file, as it does for FFmpeg."""
    try:
        for packet in container.demux(stream):
            if packet.size:
                yield packet
    except (OSError, av.error.FFmpegError) as error:
        losses.cut_at = reason_of(error)


def frames(path: Path, losses: Losses, *, size: tuple[int, int] | None = None) -> Iterator[np.ndarray]:
    """uint8 (h, w, 3) RGB frames in the order of presentation, turned and mirrored as the file asks, and
    scaled to `size` (width, height) by area averaging where it is given.

    A packet that cannot be decoded costs its frame, counted in `losses`. Raises VideoError: as `opened`;
    no frame at all; a size that changes.
    """
    shown = 0
    try:
        for frame in _decoded(path, losses, size, threads=min(THREADS, os.cpu_count() or 1)):
            shown += 1
            yield frame
        return
    except _DamagedError:
        losses.__dict__.update(vars(Losses()))
    # With several threads a damaged packet takes its neighbours along: once more with one.
    for index, frame in enumerate(_decoded(path, losses, size, threads=1)):
        if index >= shown:
            yield frame


class _DamagedError(Exception):
    """A packet could not be decoded by several threads."""


def _decoded(
    path: Path, losses: Losses, size: tuple[int, int] | None, *, threads: int
) -> Iterator[np.ndarray]:
    shape: tuple[int, ...] = ()
    # A frame that was asked for its side data is part of a cycle and lives until the next garbage collection:
    # only the first one is asked, and those whose rotation changes.
    rotation, orientation = None, UPRIGHT
    count = packets = 0
    with opened(path) as (container, stream):
        pyav.bounded(stream, threads)
        declared = _declared(stream)
        for packet in _all_and_flush(container, stream, losses):
            packets += bool(packet.size)
            try:
                decoded = packet.decode()
            except NOT_SHOWN as error:
                if threads > 1:
                    raise _DamagedError from error
                losses.packets += 1
                if losses.packets > MAX_DAMAGED:
                    break
                continue
            for frame in decoded:
                if frame.rotation != rotation:
                    rotation, orientation = frame.rotation, orientation_of(pyav.display_matrix(frame))
                losses.oblique |= not orientation.exact
                losses.shown_damaged += bool(frame.is_corrupt)
                picture = _rgb(frame, orientation, size)
                if shape and picture.shape != shape:
                    raise VideoError(f"cannot read {path}: {_changed(shape, picture.shape, count)}")
                shape = picture.shape
                count += 1
                yield picture
        losses.undecoded = max(0, declared - packets)
    if not count:
        raise VideoError(f"cannot read {path}: none of its frames can be decoded")


def _all_and_flush(container: Any, stream: Any, losses: Losses) -> Iterator[Any]:
    """The packets, and the empty one that makes the decoder give what it still holds."""
    flushed = False
    try:
        for packet in container.demux(stream):
            flushed = not packet.size
            yield packet
    except (OSError, av.error.FFmpegError) as error:
        losses.cut_at = reason_of(error)
    if not flushed:
        yield av.Packet()


def _declared(stream: Any) -> int:
    """Packets that the file's index promises; 0 where it has none (an edit list shortens it)."""
    if stream.container.format.name.split(",")[0] != "mov":
        return 0
    entries = getattr(stream, "index_entries", None)  # PyAV 16 and later
    return len(entries) if entries is not None else 0


def _rgb(frame: Any, orientation: Orientation, size: tuple[int, int] | None) -> np.ndarray:
    if size is None:
        picture = frame.to_ndarray(format="rgb24")
    else:
        width, height = reversed(size) if orientation.transpose else size
        picture = frame.to_ndarray(format="rgb24", width=width, height=height, interpolation="AREA")
    return picture if orientation == UPRIGHT else np.ascontiguousarray(orientation.apply(picture))


def _changed(before: tuple[int, ...], after: tuple[int, ...], count: int) -> str:
    return (
        f"the size of its frames changes from {before[1]}x{before[0]} to {after[1]}x{after[0]} "
        f"at frame {count}; cut it there"
    )
