"""decord: faster on small clips, used only where it presents what a demux by PyAV presents.

By itself it invents, loses and repeats frames: in MPEG program streams, in files with edit lists or cut
without re-encoding, and in streams that begin in the middle of a group of pictures.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import numpy as np

from cogexp.media.container import opened
from cogexp.media.identify import head_of
from cogexp.media.probe import Probe

MAX_PIXELS = 512 * 512  # of a frame; above it PyAV decodes in less time
SMALL_BYTES = 64 << 20
READ_CHUNK = 16  # frames that decord decodes at once: bounds the second copy it holds
SAME_TIME = 1e-3  # seconds


def installed() -> bool:
    """There is a decord wheel for this machine, and it is installed."""
    return importlib.util.find_spec("decord") is not None


def presented_times(path: Path, facts: Probe) -> list[float] | None:
    """Seconds of the frames in order, from the first on; None where decord is known to go wrong or slow."""
    head = head_of(path)
    plain = head[4:8] == b"ftyp" or head.startswith(b"\x1aE\xdf\xa3")  # MP4 and Matroska, which have an index
    if not plain or facts.edited or facts.turned or facts.width * facts.height > MAX_PIXELS:
        return None
    if path.stat().st_size > SMALL_BYTES:
        return None
    times: list[float] = []
    with opened(path) as (container, stream):
        if len(container.streams.video) > 1 or stream.codec_context.height % 2:
            return None  # it may choose another stream; its chroma of an odd height is stretched
        for packet in container.demux(stream):
            if not packet.size:
                continue
            if packet.pts is None or packet.is_corrupt or packet.is_discard:
                return None
            if not times and not packet.is_keyframe:
                return None
            times.append(float(packet.pts * packet.time_base))
    times.sort()
    return [time - times[0] for time in times] if times else None


def read(path: Path, facts: Probe, wanted: int) -> np.ndarray | None:
    """uint8 (t, h, w, 3), or None where decord does not agree with PyAV or cannot decode the file."""
    times = presented_times(path, facts)
    if times is None:
        return None
    import decord
    from decord._ffi.base import DECORDError, DECORDLimitReachedError

    decord.logging.set_level(decord.logging.QUIET)  # its FFmpeg writes to stderr otherwise
    try:
        # An absolute path is no address of a protocol.
        reader = decord.VideoReader(os.path.abspath(path), ctx=decord.cpu(0))
        if not _agrees(reader, times):
            return None
        frames = np.empty((min(wanted, len(reader)), facts.height, facts.width, 3), np.uint8)
        for start in range(0, len(frames), READ_CHUNK):
            stop = min(start + READ_CHUNK, len(frames))
            got = reader.get_batch(range(start, stop)).asnumpy()
            if got.shape[1:] != frames.shape[1:]:
                return None
            frames[start:stop] = got
    except (RuntimeError, DECORDError, DECORDLimitReachedError):
        return None
    return frames


def _agrees(reader: object, times: list[float]) -> bool:
    """The same frames at the same times, counted from the first."""
    if len(reader) != len(times):  # type: ignore[arg-type]
        return False
    starts = np.asarray(reader.get_frame_timestamp(range(len(times))))[:, 0]  # type: ignore[attr-defined]
    return bool(np.abs((starts - starts[0]) - np.asarray(times)).max() <= SAME_TIME)
