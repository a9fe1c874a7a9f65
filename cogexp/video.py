"""Video files in and out: `read` and `probe` (from `cogexp.media`), and a streaming H.264 `Writer`.

Frames are uint8 arrays of shape (t, h, w, 3), RGB, 0..255. Only numpy and the codecs are imported here.
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import numpy as np

from cogexp.media.errors import VideoError
from cogexp.media.probe import Probe
from cogexp.media.reading import Clip, Video, probe, read
from cogexp.storage.durable import flush_file, staged_name
from cogexp.system.faults import reason_of

__all__ = ["Clip", "Probe", "Video", "VideoError", "Writer", "probe", "read"]

BT709 = 1  # ITU-T H.273 code of BT.709, the same number for primaries, transfer and matrix
LIMITED_RANGE = 1  # AVCOL_RANGE_MPEG: luma 16..235, chroma 16..240
# Above this the slower preset takes three times as long for 0.4 dB (1024x576).
MEDIUM_MAX_PIXELS = 500_000
THREADS = 4  # fixed, because x264's output depends on it: the same bytes whatever the number of cores


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
        self._temporary = staged_name(self.path)
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
            flush_file(self._temporary)
            self._temporary.replace(self.path)

    @contextlib.contextmanager
    def _failures_named(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError, av.error.FFmpegError) as error:
            self._discard()
            reason = reason_of(error)
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
