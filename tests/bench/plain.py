"""A clip as a user of diffusers writes it: `python tests/bench/plain.py FILE WIDTH HEIGHT STEPS`."""

from __future__ import annotations

import sys

import numpy as np
import torch
from diffusers import CogVideoXPipeline

from cogexp.nano import weights
from cogexp.video import Writer

TEXT = "two wolves running through a snowy forest, a Disney-like sense of space"
GUIDANCE = 6.0


def write(file: str, width: int, height: int, steps: int) -> None:
    """Nine frames of the embedded model's components in diffusers' own pipeline."""
    pipeline = CogVideoXPipeline(**weights.components())
    pipeline.set_progress_bar_config(disable=True)
    frames = pipeline(
        TEXT,
        height=height,
        width=width,
        num_frames=9,
        num_inference_steps=steps,
        guidance_scale=GUIDANCE,
        generator=torch.Generator().manual_seed(0),
        max_sequence_length=weights.MAX_SEQUENCE_LENGTH,
    ).frames[0]
    with Writer(file, 8) as writer:
        writer.write(np.stack([np.asarray(frame) for frame in frames]))


if __name__ == "__main__":
    write(sys.argv[1], *map(int, sys.argv[2:]))
