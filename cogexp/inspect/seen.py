"""What was seen of one clip, and the maps that can be read from it. Plain arrays: drawing needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cogexp.inspect.words import Prompt

if TYPE_CHECKING:
    from cogexp.inspect.reduce import Maps
    from cogexp.inspect.watch import Passes

REST = ("marks, end", "padding")  # columns behind those of the words


@dataclass(frozen=True, kw_only=True)
class TextLayer:
    """States (tokens, d) float32 of the prompt's tokens; the last row is the first token of padding."""

    name: str
    states: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Activations:
    """What was seen. `passes` holds transformer views and attention by (step, block), steps from 0.

    The columns of the attention are the tokens of each word, then the rest of the prompt's tokens (marks and
    the end), then padding; what is missing to 1 goes to the video itself. Columns behind these hold attention
    to what each word wrote into all text tokens: `influence` (words, L) is its share of every token.
    `effects` (words, f, h, w) tell how far the prediction of `effect_step` moves when a word is left out of
    the prompt, if that was asked for.
    """

    prompt: Prompt
    text: tuple[TextLayer, ...]
    passes: Passes
    blocks: tuple[int, ...]
    all_blocks: int
    steps: tuple[int, ...]
    all_steps: int
    decoder: dict[str, Maps]
    encoder: dict[str, Maps]
    frames: np.ndarray
    video: np.ndarray
    latent_frames: int
    patch_t: int
    influence: np.ndarray
    effects: np.ndarray | None = None
    effect_step: int = 0

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns of `maps`."""
        return (*(word.text for word in self.prompt.words), *REST)

    def maps(self, step: int, block: int) -> np.ndarray:
        """Attention to the tokens of one step and block as (columns, f, h, w), each 0..1."""
        mass = self.passes.attention[step, block][:, : len(self.columns)]
        return mass.T.reshape(-1, *self.passes.grid)

    def readings(self, step: int, block: int) -> np.ndarray:
        """(words, f, h, w): of all that a patch reads from the text, the share that each word wrote there.

        sum over text tokens j of a_ij s_wj, by the sum of a_ij; a: attention, s: `influence`. The words of a
        patch add up to 1.
        """
        mass, count = self.passes.attention[step, block], len(self.columns)
        text = mass[:, :count].sum(1, keepdims=True)
        shares: np.ndarray = mass[:, count:] / np.maximum(text, 1e-30)
        return shares.T.reshape(-1, *self.passes.grid)

    def shown_frame(self, index: int) -> int:
        """The frame that patch row `index` in time ends with: latent frame k is made of frames 4k-3..4k."""
        padded = self.passes.grid[0] * self.patch_t
        latent = (index + 1) * self.patch_t - 1 - (padded - self.latent_frames)
        return int(np.clip(4 * latent, 0, len(self.frames) - 1))
