"""The text encoder's first lesson: every token of a caption tells what the whole caption says.

The denoiser reads the text by attention among ten times as many video tokens. When only the word desert knows
of the desert, that word has one part in five hundred of the attention at first, and the place was not learned
in 400 steps; when all tokens know, the padding too, every way of looking finds it.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from cogexp.nano.clip import tokens
from cogexp.nano.training.muon import Muon, split
from cogexp.nano.training.orders import caption_of
from cogexp.nano.world.grammar import CHOICES, parse, sample_scene

_CAPTIONS = 32
_RATES = (2e-3, 2e-2)  # AdamW's and Muon's
# Left to AdamW: the embeddings, as in the denoiser's own training.
_EDGES = ("shared", "embed", "bias", "norm")
_UNSAID = -100  # the class index that cross-entropy passes over


def name_attributes(text_encoder: nn.Module, steps: int, seed: int) -> float:
    """Train `text_encoder` in place so that each token's output names the caption's attributes.

    Returns the last loss. A linear map of the output, which is not kept, is asked for all eight attributes
    (the sum of their cross-entropies; 10.7 when nothing is known), but not for those that a caption omits.
    """
    device = next(text_encoder.parameters()).device
    rng = np.random.default_rng([seed, 31])
    sizes = [len(choices) for choices in CHOICES.values()]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        heads = nn.Linear(text_encoder.config.d_model, sum(sizes)).to(device)
    text_encoder.train().requires_grad_(True)
    optimizer = _optimizer(text_encoder, heads)
    loss = torch.zeros(())
    for step in range(steps):
        texts = [caption_of(sample_scene(rng, "train"), rng, plain=False) for _ in range(_CAPTIONS)]
        hidden = text_encoder(tokens(texts, device)["input_ids"])[0]
        answers = torch.tensor([answers_of(text) for text in texts], device=device)
        asked = zip(heads(hidden).split(sizes, dim=-1), answers.T, strict=True)
        loss = torch.stack(
            [
                F.cross_entropy(
                    logits.flatten(0, 1), right.repeat_interleave(hidden.shape[1]), ignore_index=_UNSAID
                )
                for logits, right in asked
            ]
        ).nansum()  # nan: an attribute that no caption of the batch names
        loss.backward()
        rate = min((step + 1) / 20, 1.0, (steps - step) / (0.4 * steps))
        for group in optimizer.param_groups:
            group["lr"] = rate * _RATES[bool(group["orthogonal"])]
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return loss.item()


def answers_of(text: str) -> list[int]:
    """The index of every attribute's value in CHOICES, _UNSAID where the caption does not name it."""
    found = parse(text)
    return [choices.index(found[name]) if name in found else _UNSAID for name, choices in CHOICES.items()]


def _optimizer(text_encoder: nn.Module, heads: nn.Module) -> Muon:
    inside, rest = split(text_encoder.named_parameters(), _EDGES)
    return Muon([{"params": rest + list(heads.parameters())}, {"params": inside, "orthogonal": True}])
