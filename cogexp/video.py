"""Video files in and out: `read`, `probe`, and a streaming H.264 `Writer`.

Frames are uint8 arrays of shape (t, h, w, 3), RGB, 0..255. Only numpy and the codecs are imported here.
Reading goes through decord where it has a wheel and through PyAV elsewhere; writing always through PyAV.
"""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import logging
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import numpy as np

log = logging.getLogger("cogexp")

READ_CHUNK = 16  # frames that decord decodes at once: bounds the second copy it holds
BT709 = 1  # ITU-T H.273 code of BT.709, the same number for primaries, transfer and matrix
LIMITED_RANGE = 1  # AVCOL_RANGE_MPEG: luma 16..235, chroma 16..240
# Above this the slower preset takes three times as long for 0.4 dB (1024x576).
MEDIUM_MAX_PIXELS = 500_000
THREADS = 4  # fixed, because x264's output depends on it: the same bytes whatever the number of cores


class VideoError(Exception):
    """A video that cannot be read or written. One line for the user: the file and the reason."""


class _DecordError(Exception):
    """decord found the file, but cannot decode it."""


@dataclass(frozen=True, kw_only=True)
class Video:
    """A clip in memory: `frames` uint8 (t, h, w, 3) RGB, `fps` frames per second."""

    frames: np.ndarray
    fps: float


@dataclass(frozen=True, kw_only=True)
class Probe:
    """What a video file holds, found without decoding: size as displayed (px), frames per second, frames."""

    width: int
    height: int
    fps: float
    frames: int


def read(path: str | Path, *, max_frames: int | None = None) -> Video:
    """The first `max_frames` frames of a file (all of them by default), turned as its rotation tag says.

    Raises VideoError for a file that is missing, empty, damaged or no video. Where decord cannot decode
    a codec that PyAV can (AV1, for one), PyAV does, and the log says so.
    """
    if max_frames is not None and max_frames < 1:
        raise VideoError(f"cannot read {path}: max_frames must be at least 1, got {max_frames}")
    found = probe(path)
    wanted = found.frames if max_frames is None else min(found.frames, max_frames)
    frames = None
    if importlib.util.find_spec("decord") is not None:
        try:
            frames = _read_decord(Path(path), wanted)
        except _DecordError as error:
            log.info("decord cannot decode %s (%s); trying PyAV", path, error)
    if frames is None:
        frames = _read_pyav(Path(path), wanted)
    if len(frames) < wanted:
        log.warning("%s is cut off: only %d of the %d frames can be decoded", path, len(frames), wanted)
    return Video(frames=frames, fps=found.fps)


def probe(path: str | Path) -> Probe:
    """Size, rate and number of frames of a file; raises VideoError as `read` does."""
    path = Path(path)
    with _opened(path) as container:
        stream = container.streams.video[0]
        rate = stream.average_rate or stream.guessed_rate
        # Matroska and raw streams do not tell their length: count packets, which decodes nothing.
        frames = stream.frames or sum(packet.size > 0 for packet in container.demux(stream))
        width, height = stream.width, stream.height
        if not frames or not rate:
            raise VideoError(
                f"cannot read {path}: its video stream holds no {'rate' if frames else 'frames'}"
            )
        if _quarter_turns(path) % 2:
            width, height = height, width
    return Probe(width=width, height=height, fps=float(rate), frames=frames)


def _read_decord(path: Path, wanted: int) -> np.ndarray:
    """uint8 (t, h, w, 3) through decord; _DecordError where it fails."""
    import decord
    from decord._ffi.base import DECORDError, DECORDLimitReachedError

    decord.logging.set_level(decord.logging.QUIET)  # its FFmpeg writes to stderr otherwise
    try:
        reader = decord.VideoReader(str(path), ctx=decord.cpu(0))
        wanted = min(wanted, len(reader))
        frames = np.empty((wanted, *reader[0].shape), np.uint8)
        for start in range(0, wanted, READ_CHUNK):
            stop = min(start + READ_CHUNK, wanted)
            frames[start:stop] = reader.get_batch(range(start, stop)).asnumpy()
    except (RuntimeError, DECORDError, DECORDLimitReachedError) as error:
        raise _DecordError(_first_line(error)) from error
    return frames


def _read_pyav(path: Path, wanted: int) -> np.ndarray:
    """uint8 (t, h, w, 3) through PyAV; VideoError where it fails."""
    frames: list[np.ndarray] = []
    turns = _quarter_turns(path)
    with _opened(path) as container:
        container.streams.video[0].thread_type = "AUTO"
        for frame in container.decode(video=0):
            frames.append(np.rot90(frame.to_ndarray(format="rgb24"), turns))
            if len(frames) == wanted:
                break
    if not frames:
        raise VideoError(f"cannot read {path}: none of its frames can be decoded")
    if len({frame.shape for frame in frames}) > 1:
        raise VideoError(f"cannot read {path}: the size of its frames changes")
    return np.stack(frames)


def _quarter_turns(path: Path) -> int:
    """Counter-clockwise quarter turns that the file's display matrix asks for (phones film sideways)."""
    with _opened(path) as container:
        # The matrix travels with the decoded frames: looking at the first is the portable way to it.
        frame = next(container.decode(video=0), None)
        return round(frame.rotation / 90) if frame is not None else 0


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[av.container.InputContainer]:
    """The file opened for reading, with at least one video stream; every failure within as a VideoError."""
    if not path.exists():
        raise VideoError(f"cannot read {path}: there is no such file")
    if path.is_dir():
        raise VideoError(f"cannot read {path}: it is a folder")
    if path.stat().st_size == 0:
        raise VideoError(f"cannot read {path}: the file is empty")
    try:
        with av.open(str(path), metadata_errors="replace") as container:
            if not container.streams.video or container.streams.video[0].codec_context is None:
                raise VideoError(f"cannot read {path}: it has no video stream that can be decoded")
            yield container
    except (av.error.InvalidDataError, av.error.EOFError) as error:
        raise VideoError(f"cannot read {path}: it is not a video, or is damaged or cut off") from error
    except (OSError, av.error.FFmpegError) as error:
        reason = getattr(error, "strerror", None) or _first_line(error)
        raise VideoError(f"cannot read {path}: {reason}") from error


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


class Writer:
    """Encode frames to an H.264 MP4 as they come, for any browser: yuv420p, BT.709 limited range, faststart.

        with Writer(path, fps=8) as writer:
            for chunk in chunks:        # uint8 (n, h, w, 3), RGB; the first fixes the size
                writer.write(chunk)

    The file is written under a temporary name beside `path` and renamed when the block ends well, so that
    an interrupted run leaves no half file. An odd width or height is padded by one pixel at the right or
    the bottom (4:2:0 needs even sizes), repeating the edge. Raises VideoError.
    """

    def __init__(
        self, path: str | Path, fps: float | Fraction, *, crf: int = 17, preset: str | None = None
    ) -> None:
        """`crf` 0..51, x264's quality (lower is better; 17 looks lossless); `preset` None: by frame size."""
        self.path = Path(path)
        if not math.isfinite(fps) or not 0 < fps <= 1000:
            raise VideoError(f"cannot write {path}: fps must be above 0 and at most 1000, got {fps}")
        if not 0 <= crf <= 51:
            raise VideoError(f"cannot write {path}: crf must be from 0 to 51, got {crf}")
        self.rate = Fraction(fps).limit_denominator(1001)
        self.crf = crf
        self.preset = preset
        self.frames = 0
        self._temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}.part")
        self._encoder: _Encoder | None = None
        self._shape: tuple[int, ...] = ()

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self._discard()

    def write(self, frames: np.ndarray) -> None:
        """Append uint8 (n, h, w, 3) RGB frames, all of one size."""
        if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3:
            got = f"{frames.dtype} {frames.shape}"
            raise VideoError(f"cannot write {self.path}: expected uint8 frames (n, h, w, 3), got {got}")
        if self._shape and frames.shape[1:] != self._shape:
            raise VideoError(
                f"cannot write {self.path}: its frames are {self._shape}, but {frames.shape[1:]} came"
            )
        if not len(frames):
            return
        height, width = frames.shape[1:3]
        with self._failures_named():
            if self._encoder is None:
                self._encoder = _Encoder(self._temporary, self.rate, width, height, self.crf, self.preset)
                self._shape = frames.shape[1:]
            for frame in frames:
                self._encoder.encode(frame)
                self.frames += 1

    def close(self) -> None:
        """Finish the file and give it its name."""
        if self._encoder is None:
            raise VideoError(f"cannot write {self.path}: no frames were given")
        with self._failures_named():
            self._encoder.finish()
            self._temporary.replace(self.path)

    @contextlib.contextmanager
    def _failures_named(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError, av.error.FFmpegError) as error:
            self._discard()
            reason = getattr(error, "strerror", None) or _first_line(error)
            if isinstance(error, av.error.ExternalError):
                # x264 says no more to FFmpeg than that it failed; with settings that are checked it is this.
                reason = f"libx264 failed, as it does when memory is short ({reason})"
            raise VideoError(f"cannot write {self.path}: {reason}") from error

    def _discard(self) -> None:
        if self._encoder is not None:
            with contextlib.suppress(OSError, ValueError, av.error.FFmpegError):  # the file goes anyway
                self._encoder.container.close()
        with contextlib.suppress(OSError):
            self._temporary.unlink(missing_ok=True)


class _Encoder:
    """One open MP4 container with its conversion to BT.709 limited-range 4:2:0."""

    def __init__(
        self, path: Path, rate: Fraction, width: int, height: int, crf: int, preset: str | None
    ) -> None:
        self.pad = ((0, height % 2), (0, width % 2), (0, 0))
        width, height = width + width % 2, height + height % 2
        preset = preset or ("medium" if width * height <= MEDIUM_MAX_PIXELS else "veryfast")
        self.container = av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"})
        self.stream = self.container.add_stream(
            "libx264",
            rate=rate,
            # Its lookahead in a thread of its own makes the bytes depend on how busy the machine is, and its
            # macroblock tree, in frames as narrow as 64 px, on what lies in memory beside the frame.
            options={"crf": str(crf), "preset": preset, "x264-params": "sync-lookahead=0:mbtree=0"},
        )
        self.stream.width, self.stream.height, self.stream.pix_fmt = width, height, "yuv420p"
        context = self.stream.codec_context
        context.thread_count = THREADS
        context.colorspace = context.color_primaries = context.color_trc = BT709
        context.color_range = LIMITED_RANGE
        self.to_yuv = _bt709_graph(width, height, rate)
        self.index = 0

    def encode(self, frame: np.ndarray) -> None:
        """Encode one uint8 (h, w, 3) frame."""
        rgb = av.VideoFrame.from_ndarray(np.ascontiguousarray(np.pad(frame, self.pad, mode="edge")), "rgb24")
        rgb.pts = self.index
        self.index += 1
        self.to_yuv.push(rgb)
        self.container.mux(self.stream.encode(self.to_yuv.pull()))

    def finish(self) -> None:
        """Write what the encoder still holds, and the index."""
        self.container.mux(self.stream.encode(None))
        self.container.close()


def _bt709_graph(width: int, height: int, rate: Fraction) -> av.filter.Graph:
    """A filter from full-range RGB to limited-range BT.709 yuv420p (ITU-R BT.709-6, section 3).

    Named outright because swscale's default matrix is BT.601, whatever tags the stream carries.
    """
    graph = av.filter.Graph()
    nodes = [
        graph.add_buffer(width=width, height=height, format="rgb24", time_base=1 / rate),
        graph.add(
            "scale",
            "in_range=pc:out_range=tv:out_color_matrix=bt709:"
            "flags=bicubic+accurate_rnd+full_chroma_int+full_chroma_inp",
        ),
        graph.add("format", "pix_fmts=yuv420p"),
        graph.add("buffersink"),
    ]
    for node, following in itertools.pairwise(nodes):
        node.link_to(following)
    graph.configure()
    return graph
