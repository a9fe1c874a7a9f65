"""A picture that someone else made, checked before anything is built on it."""

from __future__ import annotations

import warnings
from pathlib import Path

from cogexp.system.faults import reason_of

MAX_PIXELS = 1 << 26  # 67 million: an 8192 x 8192 picture
FORMATS = ("PNG", "JPEG", "WEBP", "BMP")  # none of them opens another file


def picture_fault(path: Path) -> str | None:
    """Why a picture cannot be used: "it is ..."; None for a good one. It is decoded once.

    The size is read from the header: what is above MAX_PIXELS is never decoded.
    """
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as picture:
                if picture.width * picture.height > MAX_PIXELS:
                    return f"it has {picture.width}x{picture.height} px, above {MAX_PIXELS} pixels"
                picture.load()
    except Image.UnidentifiedImageError:
        return "it is no PNG, JPEG, WebP or BMP picture"
    except Image.DecompressionBombError:
        return f"it has more than {MAX_PIXELS} pixels"
    except MemoryError:
        return "it asks for more memory than there is"
    except Exception as error:  # noqa: BLE001 - Pillow's decoders raise what they like for damaged files
        return f"it is damaged or cut off: {reason_of(error)}"
    return None
