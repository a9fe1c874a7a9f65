"""What each word of a prompt wrote into each token: a text encoder spreads a word over all of them.

The word "wolf" is not what the token of "wolf" says: trained encoders keep parts of a sentence wherever it
suits them, in marks and padding too, and attention to a word's own token then shows little of the word. So
the text is encoded again without each word, and a token counts for the words by how far it moves: attribution
by occlusion (Zeiler & Fergus 2014), as attention rollout (Abnar & Zuidema 2020) traces tokens back to words.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

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


def influence(whole: Tensor, variants: Sequence[Tensor], words: Sequence[Word]) -> Tensor:
    """(words, L) float32: each word's share of what all words wrote into a token; every token adds up to 1.

    s_wj = r_wj / sum over words of r_vj, where r_wj = |e_j - e_j without w|, and |e_j| for w's own tokens,
    which are gone without it. A token that no word moves is shared evenly.

    Args:
        whole: embeddings (1, L, d) of the prompt.
        variants: those of `encoded_without`, one a word.
    """
    moved = [_moved(whole[0].float(), text[0].to(whole).float(), word) for text, word in zip(
        variants, words, strict=True)]  # fmt: skip
    if not moved:
        return torch.zeros(0, whole.shape[1])
    distance = torch.stack(moved)
    total = distance.sum(0)
    even = torch.full_like(distance, 1 / len(words))
    return torch.where(total > 0, distance / total.clamp_min(1e-30), even).cpu()


def _moved(whole: Tensor, without_it: Tensor, word: Word) -> Tensor:
    """(L,) how far each token moves when `word` is gone; the tokens behind it have moved up."""
    kept = [index for index in range(len(whole)) if index not in word.tokens]
    difference = whole.clone()
    difference[kept] -= without_it[: len(kept)]
    return difference.norm(dim=-1)
