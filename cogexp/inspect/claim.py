"""The claim about four bands of layers, held against what was measured. The sentences are made of numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cogexp.inspect.measured import Measured
from cogexp.inspect.measures import across, bands, inside
from cogexp.inspect.probes import PROBES, Accuracy


@dataclass(frozen=True, kw_only=True)
class Band:
    """Layers (first, last) that are said to do something; the name is that of the probe for it."""

    name: str
    first: int
    last: int


# The claim that this project was asked to check, about T5's 24 layers.
CLAIM = (
    Band(name="sentence structure", first=0, last=3),
    Band(name="relations", first=4, last=10),
    Band(name="scene composition", first=10, last=20),
    Band(name="compressed meaning", first=20, last=23),
)
CLAIMED_LAYERS = 24
MANY = 8  # fewer layers have no four bands of two


def layer_count(found: Measured) -> int:
    """Layers of the encoder: what is measured but for the embedding and the final norm."""
    return len(found.names) - 2


def applies(found: Measured) -> bool:
    """Whether the claim is about an encoder of this depth."""
    return layer_count(found) == CLAIMED_LAYERS


def _elsewhere(found: Measured) -> str:
    count = layer_count(found)
    return (
        ""
        if applies(found)
        else f" The claim is about {CLAIMED_LAYERS} layers; this encoder has {count}, so its bands cannot be "
        "checked here."
    )


def say_cka(found: Measured) -> str:
    """What the similarity of layers says about bands."""
    layers = found.cka[1:-1, 1:-1]
    neighbours = [(float(found.cka[i, i + 1]), i) for i in range(len(found.names) - 1)]
    least, at = min(neighbours)
    text = (
        f"Neighbouring layers are alike to {least:.2f} or more; the largest change is from {found.names[at]} "
        f"to {found.names[at + 1]}. Embedding and final norm are alike to {found.cka[0, -1]:.2f}."
    )
    if len(layers) < MANY:
        return text + _elsewhere(found)
    best = bands(layers, len(CLAIM))
    text += (
        f" The four bands that fit these numbers best are {_runs(best)}: {inside(layers, best):.2f} inside, "
        f"{across(layers, best):.2f} across."
    )
    if applies(found):
        # The claimed bands share their borders: a border layer counts to the later one.
        claimed = [(0, 3), (4, 9), (10, 19), (20, 23)]
        text += (
            f" The claimed bands {_runs(claimed)} have {inside(layers, claimed):.2f} inside and "
            f"{across(layers, claimed):.2f} across."
        )
    return text + _elsewhere(found)


def _runs(runs: list[tuple[int, int]]) -> str:
    return ", ".join(f"{first}-{last}" for first, last in runs)


def say_rank(found: Measured) -> str:
    """Whether later layers use fewer dimensions."""
    top = int(np.argmax(found.rank))
    text = (
        f"{found.tokens} tokens of {found.prompts} prompts have an effective rank of {found.rank[0]:.0f} in "
        f"the embedding, at most {found.rank[top]:.0f} ({found.names[top]}), and {found.rank[-1]:.0f} after "
        f"the final norm; {found.rank_bound} is the largest possible."
    )
    if not applies(found):
        return text + _elsewhere(found)
    before, last = np.mean(found.rank[11:21]), np.mean(found.rank[21:25])
    verdict = "fewer, as compression would have it" if last < before else "not fewer: no compression"
    return text + f" Layers 20-23 use {last:.0f} dimensions on average, layers 10-19 {before:.0f}: {verdict}."


def say_similarity(found: Measured) -> str:
    """Whether the tokens of a prompt become alike, beyond what all tokens do."""
    within = [one.mean for one in found.within]
    extra = [a - b for a, b in zip(within, found.between, strict=True)]
    top = int(np.argmax(extra))
    return (
        f"Two tokens of one prompt have a mean cosine of {within[0]:.2f} in the embedding and "
        f"{within[-1]:.2f} after the final norm; tokens of different prompts {found.between[0]:.2f} and "
        f"{found.between[-1]:.2f}. What prompts share beyond that is largest at {found.names[top]} "
        f"({extra[top]:+.2f})." + _elsewhere(found)
    )


def say_probe(found: Measured, name: str) -> str:
    """Where an attribute can be read first and best, and whether that is in the claimed band."""
    scores = found.probes[name]
    best = int(np.argmax([one.mean for one in scores]))
    top, chance = scores[best], scores[best].chance
    about = next(probe.about for probe in PROBES if probe.name == name)
    head = f"{name[0].upper()}{name[1:]} ({about}): "
    if not top.above_chance:
        return head + (
            f"not readable in any layer (best {_figure(top)}, chance {chance:.2f}; 95 % intervals)."
        )
    first = next(i for i, one in enumerate(scores) if one.mean >= top.low)
    text = head + f"best at {found.names[best]} ({_figure(top)}, chance {chance:.2f})"
    text += f", as good within its interval from {found.names[first]} on" if first < best else ""
    start = scores[0]
    text += f"; the embedding gives {start.mean:.2f}."
    band = next((band for band in CLAIM if band.name == name), None)
    if band is None or not applies(found):
        return text
    readable = [i - 1 for i, one in enumerate(scores) if 0 < i <= CLAIMED_LAYERS and one.mean >= top.low]
    overlap = any(band.first <= layer <= band.last for layer in readable)
    where = f"layers {min(readable)}-{max(readable)}" if readable else "no layer of the encoder"
    verdict = "agrees" if overlap and min(readable) >= band.first else "does not agree"
    return text + (
        f" Claimed for layers {band.first}-{band.last}; read best in {where}: "
        f"the claim {verdict} with this probe."
    )


def say_probes(found: Measured) -> str:
    """All probes, a line each, and once what cannot be checked."""
    return "\n".join(say_probe(found, probe.name) for probe in PROBES) + _elsewhere(found)


def _figure(one: Accuracy) -> str:
    return f"{one.mean:.2f} [{one.low:.2f}, {one.high:.2f}]"
