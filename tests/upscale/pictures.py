"""Pictures that the tests enlarge."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def photograph(height: int, width: int) -> np.ndarray:
    """A piece of a real photograph that scikit-image ships, uint8 (height, width, 3)."""
    skimage = pytest.importorskip("skimage")
    with Image.open(Path(skimage.__file__).parent / "data" / "astronaut.png") as picture:
        frame = np.asarray(picture.convert("RGB"))
    return np.ascontiguousarray(frame[40 : 40 + height, 150 : 150 + width])
