"""Clips whose frames carry their own number, in every kind of file: what was read tells which frame it is.

The number stands in blocks of black and white that no codec of this house can make unreadable.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

BITS = 6
CELL = 16


def numbered(number: int, height: int = 64, width: int = 128) -> np.ndarray:
    """uint8 (h, w, 3): the number in binary along the top, below it a texture that moves."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    wave = np.sin((x + 3 * number) / 9) * 50 + np.cos(y / 7) * 40 + 128
    frame = np.stack([wave, 255 - wave, 0.5 * wave + 40], -1).clip(0, 255).astype(np.uint8)
    for bit in range(BITS):
        frame[:CELL, bit * CELL : (bit + 1) * CELL] = 255 if number >> bit & 1 else 0
    frame[:CELL, BITS * CELL : (BITS + 1) * CELL] = 255  # a cell that is always white
    return frame


def number_of(frame: np.ndarray) -> int:
    """The number that a frame of `numbered` carries."""
    cells = [frame[4:12, bit * CELL + 4 : (bit + 1) * CELL - 4].mean() for bit in range(BITS)]
    return sum((cell > 128) << bit for bit, cell in enumerate(cells))


def numbers(frames: Iterable[np.ndarray]) -> list[int]:
    return [number_of(frame) for frame in frames]


def encode(
    path: Path,
    count: int,
    *,
    codec: str = "libx264",
    rate: Fraction | int = 10,
    size: tuple[int, int] = (64, 128),
    options: dict[str, str] | None = None,
    aspect: Fraction | None = None,
    format: str | None = None,
    first: int = 0,
) -> Path:
    """`count` numbered frames by PyAV alone, without the Writer of this project."""
    stream = {
        "codec": codec,
        "rate": rate,
        "size": size,
        "options": options,
        "aspect": aspect,
        "first": first,
    }
    return encode_streams(path, count, [stream], format=format)


def encode_streams(path: Path, count: int, kinds: list[dict[str, Any]], *, format: str | None = None) -> Path:
    """Several video streams of `count` frames in one file; each kind holds words of `encode`."""
    with av.open(str(path), "w", format=format) as container:
        streams = [_stream(container, **kind) for kind in kinds]
        for stream, kind in zip(streams, kinds, strict=True):
            for index in range(count):
                picture = numbered(kind.get("first", 0) + index, stream.height, stream.width)
                frame = av.VideoFrame.from_ndarray(picture, "rgb24").reformat(format=stream.pix_fmt)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    return path


def _stream(
    container: Any,
    *,
    codec: str = "libx264",
    rate: Fraction | int = 10,
    size: tuple[int, int] = (64, 128),
    options: dict[str, str] | None = None,
    aspect: Fraction | None = None,
    first: int = 0,
) -> Any:
    stream = container.add_stream(codec, rate=rate, options=options or {})
    stream.height, stream.width = size
    stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    if aspect is not None:
        stream.codec_context.sample_aspect_ratio = aspect
    return stream


def copied(source: Path, target: Path, *, shift: int, skip: int = 0, format: str | None = None) -> Path:
    """As `ffmpeg -c copy`: the packets from number `skip` on, `shift` ticks earlier. MP4 hides what comes
    before 0 by an edit list."""
    options = {"avoid_negative_ts": "disabled"}
    with av.open(str(source)) as given, av.open(str(target), "w", format=format, options=options) as made:
        stream = given.streams.video[0]
        copy = made.add_stream_from_template(stream)
        if not copy.codec_context.extradata:  # PyAV 14 leaves it out
            copy.codec_context.extradata = stream.codec_context.extradata
        for index, packet in enumerate(p for p in given.demux(stream) if p.size):
            if index < skip:
                continue
            packet.pts -= shift
            packet.dts -= shift
            packet.stream = copy
            made.mux(packet)
    return target


def with_matrix(source: Path, target: Path, a: int, b: int, c: int, d: int) -> Path:
    """The MP4 with this display matrix in its track header (ISO/IEC 14496-12, 8.3.2)."""
    raw = bytearray(source.read_bytes())
    place = raw.find(b"tkhd") + 4 + 4 + 20 + 16  # version 0 header, then the 3x3 matrix
    one = 1 << 16
    raw[place : place + 36] = struct.pack(">9i", a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30)
    target.write_bytes(raw)
    return target


def packet_places(path: Path) -> list[tuple[int, int]]:
    """(position, bytes) of each packet of the first video stream."""
    with av.open(str(path)) as container:
        return [(p.pos, p.size) for p in container.demux(container.streams.video[0]) if p.size]


def overwritten(source: Path, target: Path, place: int, content: bytes) -> Path:
    raw = bytearray(source.read_bytes())
    raw[place : place + len(content)] = content
    target.write_bytes(raw)
    return target
