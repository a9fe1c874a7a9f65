"""Faults put into clips on purpose: what the artifact detectors are judged by.

Every function takes (t, h, w, 3) uint8 RGB and returns a new clip; rows and columns are in pixels, `hit`
(t,) bool says in which frames the fault occurs. `FAULTS` maps a kind to a function of (clip, generator)
that draws the parameters and returns the clip with what was done to it.
"""

from tests.faults.bands import desync, duplicated_band, noise_band, shear, smear
from tests.faults.drawn import FAULTS, left_by_codec, visible
from tests.faults.files import compressed, upscaled
from tests.faults.frames import black, checkerboard, flicker, freeze, grid, seam, vertical_shear
from tests.faults.stripes import foreign_rows, stripes

__all__ = [
    "FAULTS",
    "black",
    "checkerboard",
    "compressed",
    "desync",
    "duplicated_band",
    "flicker",
    "foreign_rows",
    "freeze",
    "grid",
    "left_by_codec",
    "noise_band",
    "seam",
    "shear",
    "smear",
    "stripes",
    "upscaled",
    "vertical_shear",
    "visible",
]
