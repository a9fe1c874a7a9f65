"""Frames in, frames out: the one type that all upscalers have, and how a spec becomes one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from cogexp.spec import UpscalerSpec
from cogexp.upscale import resize
from cogexp.upscale.errors import UpscaleError


@dataclass(frozen=True, kw_only=True)
class Upscaler:
    """Enlarges clips by `scale`. Every frame is enlarged by itself: how a clip is cut changes nothing.

    `enlarge` takes one uint8 (h, w, 3) RGB frame to uint8 (scale*h, scale*w, 3); None where the scale is 1
    and frames pass as they are. `description` is for people and records; `licence` is the notice that the
    weights ask to be passed on, or None.
    """

    scale: int
    description: str
    licence: str | None = None
    enlarge: Callable[[np.ndarray], np.ndarray] | None

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        """uint8 (t, h, w, 3) -> uint8 (t, scale*h, scale*w, 3); UpscaleError for anything else."""
        if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3:
            raise UpscaleError(f"expected uint8 frames (t, h, w, 3), got {frames.dtype} {frames.shape}")
        if self.enlarge is None:
            return frames
        count, height, width, _ = frames.shape
        large = np.empty((count, height * self.scale, width * self.scale, 3), np.uint8)
        for index, frame in enumerate(frames):
            large[index] = self.enlarge(np.ascontiguousarray(frame))
        return large

    def stream(self, chunks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Each chunk (n, h, w, 3) enlarged as it comes: no more than one chunk is held."""
        for chunk in chunks:
            yield self(chunk)


def load_upscaler(spec: UpscalerSpec, device: str) -> Upscaler:
    """The upscaler that `spec` describes, ready on `device` ('cpu', 'cuda', 'cuda:1', 'mps').

    Raises UpscaleError: a weight file that is missing, damaged or of no use for pictures.
    """
    if spec.name == "none":
        return Upscaler(scale=1, description="native frames", enlarge=None)
    if spec.name in resize.KERNELS:
        return Upscaler(
            scale=spec.scale,
            description=f"{spec.name} x{spec.scale}{blend_note(spec.blend)}",
            enlarge=resize.resizer(spec.name, spec.scale, spec.blend),
        )
    from cogexp.upscale import esrgan

    network = esrgan.load(spec, device)
    return Upscaler(
        scale=spec.scale,
        description=network.description + blend_note(spec.blend),
        licence=network.licence,
        enlarge=network,
    )


def blend_note(blend: float) -> str:
    """', 50 % Lanczos' or nothing."""
    return f", {blend:.0%} Lanczos".replace("%", " %") if blend else ""
