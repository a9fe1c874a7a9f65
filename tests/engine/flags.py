"""One small clip of the embedded model at any flags: what the tests of the flags share."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from cogexp.build import build
from cogexp.engine import generate
from cogexp.engine.models import MODELS
from cogexp.spec import RunSpec

STEPS = 8


def spec_with(flags: dict[str, Any] | None = None, **changes: Any) -> RunSpec:
    """64x64, 9 frames, eight steps."""
    config = {
        # A trained model, of which a clip this small is a strange one, amplifies what a flag changes.
        "model": {"name": "nano", "weights": "random"},
        "device": "cpu",
        "resolution": {"width": 64, "height": 64},
        "sampler": {"steps": STEPS},
        "prompt": {"text": "two wolves"},
        "optimization": flags or {},
        **changes,
    }
    return build(config).spec


class Made:
    """What one spec gives: embeddings, latents, frames (as int) and the notes of its flags."""

    def __init__(self, spec: RunSpec, ratios: list[float] | None = None) -> None:
        self.embeddings = generate.encode(spec, "cpu")
        self.latents = generate.denoise(spec, self.embeddings, "cpu", lambda done, total: None, ratios)
        self.frames = np.concatenate(list(generate.decode(spec, self.latents, "cpu"))).astype(int)
        self.notes = MODELS.notes(spec, "cpu")

    def off_by(self, other: Made) -> tuple[float, float]:
        """(relative RMS difference of the latents, mean absolute difference of the pixels)."""
        latents = torch.linalg.vector_norm(self.latents - other.latents) / torch.linalg.vector_norm(
            other.latents
        )
        return float(latents), float(np.abs(self.frames - other.frames).mean())
