"""A container that FFmpeg reads, opened: the film in it, or the true reason why there is none."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av

from cogexp.media import pyav
from cogexp.media.errors import VideoError
from cogexp.media.identify import head_of, refusal
from cogexp.media.mp4_claims import check_claims, cut_off
from cogexp.system.faults import is_out_of_memory, reason_of


@contextlib.contextmanager
def opened(path: Path) -> Iterator[tuple[Any, Any]]:
    """(container, video stream) of a file; every failure within as a VideoError with the true reason."""
    check_file(path)
    try:
        head = head_of(path)
        check_claims(path, head)
        with _named(path, head), pyav.open_file(path) as container:
            yield container, film(container, path, head)
    except OSError as error:
        raise VideoError(f"cannot read {path}: {reason_of(error)}") from error


def check_file(path: Path) -> None:
    """Raises VideoError for what is no regular file with content."""
    try:
        if not path.exists():
            raise VideoError(f"cannot read {path}: there is no such file")
        if path.is_dir():
            raise VideoError(f"cannot read {path}: it is a folder")
        if not path.is_file():
            raise VideoError(f"cannot read {path}: it is no regular file (a pipe or a device)")
        if path.stat().st_size == 0:
            raise VideoError(f"cannot read {path}: the file is empty")
    except (OSError, ValueError) as error:  # a name too long, a null byte, a folder that is closed
        raise VideoError(f"cannot read {path}: {reason_of(error)}") from error


@contextlib.contextmanager
def _named(path: Path, head: bytes) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, MemoryError, av.error.FFmpegError) as error:
        if isinstance(error, PermissionError):
            raise
        if is_out_of_memory(error):
            raise VideoError(f"cannot read {path}: it asks for more memory than there is") from error
        raise VideoError(f"cannot read {path}: {refusal(path, head)}") from error


def film(container: Any, path: Path, head: bytes) -> Any:
    """The video stream that a player shows: FFmpeg's best one that is no cover. Raises VideoError."""
    films = [stream for stream in container.streams.video if not pyav.is_cover(stream)]
    if not films:
        covers = len(container.streams.video)
        if covers or container.streams.audio:
            raise VideoError(
                f"cannot read {path}: it has no video stream, only sound{' and a cover' if covers else ''}"
            )
        raise VideoError(f"cannot read {path}: it has no video stream: {refusal(path, head)}")
    decodable = [stream for stream in films if stream.codec_context is not None]
    if not decodable:
        if cut_off(path, head):
            raise VideoError(f"cannot read {path}: it is cut off: it has no video stream that can be decoded")
        raise VideoError(f"cannot read {path}: this PyAV has no decoder for its video codec")
    best = container.streams.best("video")
    chosen = next((stream for stream in decodable if best is not None and stream.index == best.index), None)
    chosen = chosen or decodable[0]
    width, height = chosen.codec_context.width, chosen.codec_context.height
    if width * height > pyav.MAX_PIXELS:
        raise VideoError(
            f"cannot read {path}: its frames of {width}x{height} px are above {pyav.MAX_PIXELS} pixels"
        )
    return chosen
