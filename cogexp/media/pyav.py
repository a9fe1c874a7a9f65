"""PyAV from 14.1 on: what its versions do differently, and the options every file is opened with."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av

MAX_PIXELS = 1 << 26  # of one frame, 67 million: 8K is 33 million. Checked by FFmpeg before it allocates
VERSION = tuple(int(part) for part in av.__version__.split(".")[:2])
STRICT_METADATA = VERSION < (19, 0)  # 19 decodes tags leniently by itself and has no `metadata_errors`
ATTACHED_PIC = 0x400  # AV_DISPOSITION_ATTACHED_PIC

# Demuxers that read one file and never another one: no playlists (hls, dash, concat, sdp), no devices, no
# picture sequences. The names are FFmpeg's (`ffmpeg -demuxers`).
DEMUXERS = (
    "mov",
    "matroska",
    "avi",
    "mpeg",
    "mpegts",
    "mpegvideo",
    "h264",
    "hevc",
    "vvc",
    "m4v",
    "obu",
    "av1",
    "ivf",
    "flv",
    "asf",
    "ogg",
    "dv",
    "mxf",
    "nut",
    "yuv4mpegpipe",
    "mjpeg",
    "vc1",
    "cavsvideo",
    "dirac",
    "rm",
    "wtv",
    "gxf",
    "h263",
    "h261",
)
# Streams without a container: nothing in them says when a frame is shown, so the demuxer invents 25 fps.
RAW = {"mpegvideo", "h264", "hevc", "vvc", "m4v", "obu", "av1", "mjpeg", "vc1", "cavsvideo", "dirac"}


def open_file(path: Path) -> Any:
    """The file opened for reading by one of DEMUXERS; raises what av.open raises."""
    # The container's only: with `options`, which go to the streams too, PyAV 14 writes past an array for
    # files whose streams are found while they are probed (MPEG program streams), and crashes.
    options = {"format_whitelist": ",".join(DEMUXERS), "protocol_whitelist": "file"}
    extra: dict[str, Any] = {"metadata_errors": "replace"} if STRICT_METADATA else {}
    # With the protocol written out a name such as "concat:a|b" is a name and nothing else.
    return av.open(f"file:{path}", container_options=options, **extra)


def bounded(stream: Any, threads: int) -> None:
    """Before the first packet is decoded: no frame above MAX_PIXELS, and this many threads."""
    context = stream.codec_context
    context.options = {"max_pixels": str(MAX_PIXELS)}
    context.thread_type = "AUTO" if threads > 1 else "NONE"
    context.thread_count = threads


def fraction(value: Any) -> Fraction | None:
    """A rational of PyAV (a type of its own from 19 on), None for an unknown one."""
    return Fraction(value.numerator, value.denominator) if value and value.denominator else None


def is_cover(stream: Any) -> bool:
    """The stream is a picture attached to the file (the cover of an album), not a film."""
    flags = stream.disposition  # an enum.Flag before PyAV 15
    return bool(getattr(flags, "value", flags) & ATTACHED_PIC)


def display_matrix(frame: Any) -> bytes | None:
    """The 36 bytes of a frame's display matrix (nine int32, libavutil/display.h), None without one."""
    held = frame.side_data
    for index in range(len(held)):  # by index: its mapping methods are broken in some versions
        data = held[index]
        if getattr(data.type, "name", str(data.type)) == "DISPLAYMATRIX":
            return bytes(data)[:36]
    return None
