"""Where the picture changes when a word is left out of the prompt.

Attention tells what a patch reads, and not what it makes of it. So one denoising pass is repeated on the
same latents with the prompt without the word: a map of relevance (Mirzaei et al. 2023, "Watch Your Steps").
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor


@torch.no_grad()
def word_effects(
    transformer: Any, inputs: dict[str, Any], variants: Sequence[Tensor], grid: tuple[int, int, int]
) -> np.ndarray:
    """How far each patch's prediction moves, (words, f, h, w): root mean square over its numbers.

    Args:
        inputs: the arguments of one pass with the whole prompt, batch 1.
        variants: embeddings (1, L, d) of the prompt without each word.
    """
    whole = _predicted(transformer, inputs, inputs["encoder_hidden_states"])
    return np.stack([_by_patch(_predicted(transformer, inputs, text) - whole, grid) for text in variants])


def _predicted(transformer: Any, inputs: dict[str, Any], text: Tensor) -> Tensor:
    """(t, c, H, W) float32."""
    given = {
        **inputs,
        "encoder_hidden_states": text.to(inputs["encoder_hidden_states"]),
        "return_dict": False,
    }
    out: Tensor = transformer(**given)[0]
    return out[0].float()


def _by_patch(moved: Tensor, grid: tuple[int, int, int]) -> np.ndarray:
    frames, rows, columns = grid
    square = moved.pow(2).mean(1)  # (t, H, W)
    t, height, width = square.shape
    parts = square.reshape(frames, t // frames, rows, height // rows, columns, width // columns)
    patches: np.ndarray = parts.mean((1, 3, 5)).sqrt().cpu().numpy()
    return patches
