"""How much of a video token's attention goes to each word, without an N x N matrix.

Attention is a weighted mean of values, so attention over values that are 1 at a word's tokens and 0 elsewhere
is the softmax mass on that word: the library's fused kernel computes it with the exact denominator over all
text and video tokens, and keeps no row of scores. So it does where a token counts for several words in part.
Shapes: H heads, N tokens (text first), d numbers a head.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

BUDGET = (
    64 * 2**20
)  # bytes of a piece's queries, keys and their rotation; what is alive at once is about twice that
FUSED = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.CUDNN_ATTENTION]


@torch.no_grad()
def word_mass(
    query: Tensor,
    key: Tensor,
    weights: Tensor,
    *,
    text: int,
    rotary: tuple[Tensor, Tensor] | None = None,
    budget: int = BUDGET,
) -> Tensor:
    """Mean over the heads of the attention that each video token pays to each column of key tokens.

    Args:
        query, key: (H, N, d) after the norms and before rotary positions, which are applied here to copies.
        weights: (n, columns) how much of each of the first n key tokens counts for a column, 0..1.
        text: how many of the N tokens are text; they come first and have no rotary positions.
        rotary: cos and sin, each (N - text, d), or None.
        budget: bytes; more heads and rows are taken at once the larger it is.

    Returns:
        (N - text, columns) float32 on the same device; each in 0..1.
    """
    heads, tokens, width = key.shape
    video = tokens - text
    mass = torch.zeros(video, weights.shape[1], device=query.device)
    values = _values(weights, tokens, width, query)
    at_once = max(1, budget // (tokens * width * (3 * query.element_size() + 16)))
    for first in range(0, heads, at_once):
        some = slice(first, min(first + at_once, heads))
        _add(mass, query[some], key[some], values, text, rotary, budget)
    return mass / heads


def _add(
    mass: Tensor,
    query: Tensor,
    key: Tensor,
    values: list[Tensor],
    text: int,
    rotary: tuple[Tensor, Tensor] | None,
    budget: int,
) -> None:
    """Add the mass of some heads. A function of its own: its tensors are gone before the next heads come."""
    width, columns = key.shape[-1], mass.shape[1]
    asked = _turned(query[:, text:], rotary)[None]
    keys = key if rotary is None else torch.cat([key[:, :text], _turned(key[:, text:], rotary)], dim=1)
    for index, value in enumerate(values):
        part = slice(index * width, min((index + 1) * width, columns))
        for rows, weighted in _attend(asked, keys[None], value, budget):
            mass[rows, part] += weighted[0, ..., : part.stop - part.start].float().sum(0)


def indicators(groups: Sequence[Sequence[int]], tokens: int) -> Tensor:
    """(tokens, groups) float32: 1 at the tokens of each group."""
    made = torch.zeros(tokens, len(groups))
    for column, group in enumerate(groups):
        made[list(group), column] = 1
    return made


def _values(weights: Tensor, tokens: int, width: int, like: Tensor) -> list[Tensor]:
    """Values (tokens, width) with the weights, 0 for all other tokens; as many as the columns need."""
    found = []
    for part in weights.to(like).split(width, dim=1):
        value = torch.zeros(tokens, width, device=like.device, dtype=like.dtype)
        value[: len(part), : part.shape[1]] = part
        found.append(value)
    return found


def _turned(x: Tensor, rotary: tuple[Tensor, Tensor] | None) -> Tensor:
    """(H, n, d) with rotary positions; a new tensor when there are any."""
    if rotary is None:
        return x
    from diffusers.models.embeddings import apply_rotary_emb

    turned: Tensor = apply_rotary_emb(x[None], rotary)[0]
    return turned


def _attend(query: Tensor, key: Tensor, value: Tensor, budget: int) -> Iterator[tuple[slice, Tensor]]:
    """Attention in one piece where a kernel keeps no scores, else in rows whose scores fit the budget."""
    values = value.expand(*key.shape[:2], -1, -1).contiguous()
    rows = query.shape[2]
    if query.device.type in ("cuda", "cpu", "meta"):
        only_fused: AbstractContextManager[Any] = sdpa_kernel(FUSED) if query.is_cuda else nullcontext()
        try:
            with only_fused:
                whole = F.scaled_dot_product_attention(query, key, values)
        except RuntimeError as error:
            if "kernel" not in str(error).lower():
                raise
        else:
            yield slice(0, rows), whole
            return
    # Scores in float32, their softmax and a copy of it.
    step = max(1, budget // (12 * key.shape[1] * key.shape[2]))
    for start in range(0, rows, step):
        some = slice(start, min(start + step, rows))
        yield some, F.scaled_dot_product_attention(query[:, :, some], key, values)
