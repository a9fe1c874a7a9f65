"""Where the picture changes when a word is left out of the prompt.

Attention tells which tokens a patch reads, and not which words: a text encoder writes what one word says
into other tokens, too, the padding among them. So the prompt is encoded without the word, and one denoising
pass is repeated on the same latents: a map of relevance (Mirzaei et al. 2023, "Watch Your Steps").
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cogexp.inspect.words import Prompt, Word


@torch.no_grad()
def encoded_without(tokenizer: Any, encoder: Any, prompt: Prompt) -> list[Tensor]:
    """For each word the embeddings (1, L, d) of the prompt without it, padded to the same length."""
    ids = tokenizer(
        prompt.text, padding="max_length", max_length=prompt.length, truncation=True, add_special_tokens=True
    ).input_ids
    device = next(encoder.parameters()).device
    return [
        encoder(torch.tensor([without(ids, word, tokenizer.pad_token_id)], device=device))[0]
        for word in prompt.words
    ]


def without(ids: Sequence[int], word: Word, padding: int) -> list[int]:
    """The row of tokens when those of `word` are gone: the others move up, padding fills the end."""
    kept = [token for index, token in enumerate(ids) if index not in word.tokens]
    return [*kept, *[padding] * len(word.tokens)]


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
