"""Frames of a run's clip at the size of a page or a mosaic. Streaming: no clip is held at full size."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from cogexp.video import VideoError

POSTER_WIDTH = 256
POSTER_QUALITY = 62  # of JPEG: 256 px wide this is 3 to 9 kB


def frames(path: Path, width: int, height: int) -> Iterator[np.ndarray]:
    """uint8 (height, width, 3) RGB frames of a file, scaled while they are decoded (area averaging).

    Raises:
        VideoError: a file that is missing or cannot be decoded.
    """
    from cogexp.media.decode import Losses
    from cogexp.media.decode import frames as decoded

    yield from decoded(path, Losses(), size=(width, height))


def poster(path: Path, width: int, height: int) -> bytes:
    """The first frame as a small JPEG of the aspect of `width` x `height` px.

    Raises:
        VideoError: as `frames`; a file without a frame too.
    """
    from PIL import Image

    scale = min(1.0, POSTER_WIDTH / width, POSTER_WIDTH / height)
    small = (max(2, round(width * scale)), max(2, round(height * scale)))
    first = next(frames(path, *small), None)
    if first is None:
        raise VideoError(f"cannot read {path}: it holds no frame")
    held = io.BytesIO()
    Image.fromarray(first).save(held, "JPEG", quality=POSTER_QUALITY, optimize=True, progressive=True)
    return held.getvalue()
