"""Prompts whose attributes are known: two animals, each with a colour and an action, in a place at a time.

A probe that reads an attribute from a layer's tokens is fitted on some combinations and tested on others; the
suite draws all attributes independently, so that no word tells another. Words are those that both the
embedded tokenizer and T5's know.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cogexp.nano.words import ANIMALS, COLOURS, TIMES

ACTIONS = ("running", "walking", "jumping", "sleeping")
PLACES = {
    "forest": "in a forest",
    "desert": "in a desert",
    "beach": "on a beach",
    "meadow": "in a flower meadow",
    "lake": "by a mountain lake",
}
WHEN = {"day": "in the day", "sunset": "at sunset", "night": "at night"}
assert set(WHEN) == set(TIMES)


@dataclass(frozen=True, kw_only=True)
class Example:
    """A prompt, the animal that is asked about, and what is true of it and of the scene.

    `place` of the animal in the sentence is `first` or `second`; the other animal differs in kind and colour.
    """

    text: str
    animal: str
    colour: str
    action: str
    order: str
    scene: str
    time: str


def examples(count: int, seed: int = 0) -> list[Example]:
    """`count` different prompts, the same for the same seed; every second one begins with time and place."""
    rng = np.random.default_rng(seed)
    found: dict[str, Example] = {}
    while len(found) < count:
        first, second = (str(name) for name in rng.choice(ANIMALS, 2, replace=False))
        colours = [str(name) for name in rng.choice(COLOURS, 2, replace=False)]
        actions = [str(rng.choice(ACTIONS)) for _ in range(2)]
        scene, time = str(rng.choice(list(PLACES))), str(rng.choice(list(WHEN)))
        subjects = " and ".join(
            f"a {colour} {animal} {action}"
            for colour, animal, action in zip(colours, (first, second), actions, strict=True)
        )
        where, which = f"{PLACES[scene]} {WHEN[time]}", int(rng.integers(2))
        text = f"{subjects} {where}" if rng.integers(2) else f"{where} {subjects}"
        found[text] = Example(
            text=text,
            animal=(first, second)[which],
            colour=colours[which],
            action=actions[which],
            order=("first", "second")[which],
            scene=scene,
            time=time,
        )
    return list(found.values())
