"""Enlarge frames: interpolation, Real-ESRGAN, or any network that spandrel knows."""

from cogexp.upscale.errors import UpscaleError
from cogexp.upscale.stream import Upscaler, load_upscaler

__all__ = ["UpscaleError", "Upscaler", "load_upscaler"]
