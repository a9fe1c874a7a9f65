"""Animated pictures as clips, through Pillow: GIF, APNG, WebP and, where Pillow has its decoder, AVIF."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from cogexp.media.errors import VideoError
from cogexp.media.probe import Probe
from cogexp.media.pyav import MAX_PIXELS
from cogexp.system.faults import reason_of

FORMATS = ("GIF", "PNG", "WEBP", "AVIF")
DEFAULT_MS = 100  # browsers show a frame that states no time, or up to 10 ms, for a tenth of a second
SHORTEST_MS = 10
BACKGROUND = (255, 255, 255, 255)  # of transparent parts: a page's


def may_hold(head: bytes) -> bool:
    """The first bytes are those of a picture format that may be animated."""
    avif = head[4:8] == b"ftyp" and any(brand in head[8:64] for brand in (b"avif", b"avis"))
    return (
        head.startswith((b"GIF87a", b"GIF89a", b"\x89PNG\r\n\x1a\n"))
        or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")
        or (avif and has_avif())
    )


def has_avif() -> bool:
    """Pillow (11.3 and later, most wheels) decodes AVIF."""
    from PIL import features

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an older Pillow does not know the word
        return bool(features.check("avif"))


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Any]:
    """The picture opened by Pillow; every failure within as a VideoError."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise VideoError(
                        f"cannot read {path}: its frames of {image.width}x{image.height} px are above "
                        f"{MAX_PIXELS} pixels"
                    )
                if getattr(image, "n_frames", 1) < 2:
                    raise VideoError(
                        f"cannot read {path}: it is a {image.format} picture of "
                        f"{image.width}x{image.height}, not a clip"
                    )
                yield image
    except VideoError:
        raise
    except Image.UnidentifiedImageError as error:
        raise VideoError(f"cannot read {path}: it is a picture that is damaged or cut off") from error
    except MemoryError as error:
        raise VideoError(f"cannot read {path}: it asks for more memory than there is") from error
    # Pillow's decoders raise what they like for damaged files: SyntaxError, struct.error, IndexError ...
    except Exception as error:
        raise VideoError(f"cannot read {path}: it is damaged: {reason_of(error)}") from error


def probe(path: Path) -> Probe:
    """Size, frames and mean rate. GIF and APNG keep each frame's time with the frame: they are read once."""
    with opened(path) as image:
        total = 0.0
        for index in range(image.n_frames):
            image.seek(index)
            if image.format in ("WEBP", "AVIF"):
                image.load()
            shown = float(image.info.get("duration") or 0)
            total += shown if shown > SHORTEST_MS else DEFAULT_MS
        rate = Fraction(image.n_frames * 1000) / Fraction(total).limit_denominator(1000)
        size = _rgb(image).shape
        return Probe(
            width=size[1],
            height=size[0],
            fps=float(rate),
            frames=image.n_frames,
            codec=image.format.lower(),
            container=image.format.lower(),
        )


def frames(path: Path) -> Iterator[np.ndarray]:
    """uint8 (h, w, 3) RGB frames, composed as they are shown; transparent parts are white."""
    with opened(path) as image:
        for index in range(image.n_frames):
            image.seek(index)
            yield _rgb(image)


def _rgb(image: Any) -> np.ndarray:
    from PIL import Image, ImageOps

    picture = ImageOps.exif_transpose(image).convert("RGBA")
    under = Image.new("RGBA", picture.size, BACKGROUND)
    under.alpha_composite(picture)
    return np.array(under.convert("RGB"))
