"""What can be seen in the nano world, and how it is said: scenes, captions, and reading captions back."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass, fields

import numpy as np

from cogexp.nano.tokenizer import normalize
from cogexp.nano.words import ACTIONS, ANIMALS, CAMERAS, COLOURS, COUNTS, DIRECTIONS, PLACES, TIMES

CHOICES: dict[str, tuple[str, ...]] = {
    "count": COUNTS,
    "colour": COLOURS,
    "animal": ANIMALS,
    "action": ACTIONS,
    "direction": DIRECTIONS,
    "place": PLACES,
    "time": TIMES,
    "camera": CAMERAS,
}
SPLITS = ("train", "heldout", "any")
# One combination of colour, animal and place in eight is never trained: each part of it is, elsewhere.
_HELD_OUT_ONE_IN = 8


@dataclass(frozen=True, kw_only=True)
class Scene:
    """One sentence of the grammar. Only birds fly."""

    count: str = "one"
    colour: str = "gray"
    animal: str = "wolf"
    action: str = "running"
    direction: str = "right"
    place: str = "forest"
    time: str = "day"
    camera: str = "still"

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value not in CHOICES[field.name]:
                raise ValueError(
                    f"scene.{field.name} must be one of {', '.join(CHOICES[field.name])}, got {value!r}"
                )
        if self.action == "flying" and self.animal != "bird":
            raise ValueError(f"scene.action: only a bird flies, got {self.animal!r}; nearest: 'jumping'")

    @property
    def number(self) -> int:
        """How many animals: 1, 2 or 3."""
        return COUNTS.index(self.count) + 1

    @property
    def held_out(self) -> bool:
        """Whether this combination of colour, animal and place is kept for evaluation."""
        key = f"{self.colour}|{self.animal}|{self.place}".encode()
        return zlib.crc32(key) % _HELD_OUT_ONE_IN == 0


def actions_of(animal: str) -> tuple[str, ...]:
    """What this animal does: only birds fly."""
    return ACTIONS if animal == "bird" else tuple(action for action in ACTIONS if action != "flying")


def sample_scene(rng: np.random.Generator, split: str = "any") -> Scene:
    """A random scene: 'train' avoids the held-out combinations, 'heldout' has only them."""
    if split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {split!r}")
    while True:
        picked = {name: str(rng.choice(choices)) for name, choices in CHOICES.items() if name != "action"}
        # A flying bird is the likeliest bird: it is the only place where flying is learned.
        actions = actions_of(picked["animal"])
        weights = np.array([2.0 if action == "flying" else 1.0 for action in actions])
        action = str(rng.choice(actions, p=weights / weights.sum()))
        scene = Scene(action=action, **picked)
        if split == "any" or scene.held_out == (split == "heldout"):
            return scene


def vary(scene: Scene, attribute: str, rng: np.random.Generator) -> Scene:
    """The scene with exactly one attribute changed: a hard negative for it."""
    plain = {field.name: getattr(scene, field.name) for field in fields(scene)}
    choices = [value for value in CHOICES[attribute] if value != plain[attribute]]
    if attribute == "action":
        choices = [value for value in choices if value in actions_of(scene.animal)]
    if attribute == "animal" and scene.action == "flying":
        raise ValueError(
            "vary: a flying bird cannot become another animal and still fly; vary the action first"
        )
    plain[attribute] = str(rng.choice(choices))
    return Scene(**plain)


_PLURALS = {"wolf": "wolves", "fox": "foxes", "deer": "deer"}
_PLACE_PHRASES: dict[str, tuple[str, ...]] = {
    "forest": ("in a forest", "through a forest", "in the forest"),
    "snowy forest": ("in a snowy forest", "through a snowy forest", "in a winter forest"),
    "desert": ("in a desert", "across a desert", "in the desert"),
    "beach": ("on a beach", "along a beach", "on the beach"),
    "flower meadow": ("in a flower meadow", "across a flower meadow", "in a meadow"),
    "mountain lake": ("by a mountain lake", "beside a mountain lake", "at a mountain lake"),
}
_TIME_PHRASES: dict[str, tuple[str, ...]] = {
    "day": ("in the daytime", "during the day", "on a sunny day"),
    "sunset": ("at sunset", "at dusk", "during the sunset"),
    "night": ("at night", "under the moon", "in the night"),
}
_CAMERA_PHRASES: dict[str, tuple[str, ...]] = {
    "still": ("", "", "the camera is still"),
    "pan left": ("the camera pans left", "camera panning to the left", "the camera pans left"),
    "pan right": ("the camera pans right", "camera panning to the right", "the camera pans right"),
}
_STYLES = ("", "", "a Disney-like sense of space", "cartoon style", "beautiful cinematic film",
           "a Disney-like sense of space with depth", "animated movie scene", "soft light")  # fmt: skip
OMITTABLE = ("colour", "action", "direction", "place", "time")


def caption(scene: Scene, style_seed: int = 0, *, omit: Iterable[str] = ()) -> str:
    """An English sentence that is true of the scene, the same for the same seed.

    Seed 0 is the plainest. `omit` leaves attributes unsaid (OMITTABLE); a moving camera is always said.
    """
    gone = set(omit)
    if wrong := gone - set(OMITTABLE):
        raise ValueError(f"caption can omit {', '.join(OMITTABLE)}, got {', '.join(sorted(wrong))}")
    rng = np.random.default_rng(style_seed)
    pick = int(rng.integers(3)) if style_seed else 0
    pieces = {
        "subject": _subject(scene, pick, with_colour="colour" not in gone),
        "action": "" if "action" in gone else scene.action,
        "direction": "" if "direction" in gone else _direction(scene, pick, said="action" not in gone),
        "place": "" if "place" in gone else _PLACE_PHRASES[scene.place][pick],
        "time": "" if "time" in gone else _TIME_PHRASES[scene.time][pick],
    }
    tail = [_CAMERA_PHRASES[scene.camera][pick]]
    tail.append(_STYLES[int(rng.integers(len(_STYLES)))] if style_seed else "")
    keys = list(pieces)
    if style_seed and rng.random() < 0.25:
        # Loose order, as in notes or in another language: 'at night, in a forest, two foxes, running left'.
        keys = ["time", "place", "direction", "action", "subject"]
        if rng.random() < 0.5:
            rng.shuffle(keys)
    sentence = " ".join(pieces[key] for key in keys if pieces[key])
    return ", ".join(part for part in (sentence, *tail) if part)


def _subject(scene: Scene, pick: int, *, with_colour: bool) -> str:
    count = ("a", "one", "a lone")[pick] if scene.count == "one" else scene.count
    noun = scene.animal if scene.count == "one" else _PLURALS.get(scene.animal, f"{scene.animal}s")
    return " ".join((count, scene.colour, noun) if with_colour else (count, noun))


def _direction(scene: Scene, pick: int, *, said: bool) -> str:
    if scene.action == "sleeping" or not said:
        return f"facing {scene.direction}"
    return (f"to the {scene.direction}", scene.direction, f"towards the {scene.direction}")[pick]


def parse(text: str) -> dict[str, str]:
    """The attributes a caption or prompt names, in any order, English or Korean; unnamed ones are absent.

    A count of one is read from 'a wolf'; a camera that is not mentioned is 'still'.
    """
    words = normalize(text)
    found = {"camera": "still"}
    for camera in CAMERAS[1:]:
        if camera in words:
            found["camera"] = camera
            words = words.replace(camera, " ")
    for place in sorted(PLACES, key=len, reverse=True):
        if place in words and "place" not in found:
            found["place"] = place
    tokens = words.replace(",", " ").split()
    for name in ("count", "colour", "animal", "action", "direction", "time"):
        for token in tokens:
            if token in CHOICES[name] and name not in found:
                found[name] = token
    if "animal" in found and "count" not in found:
        found["count"] = "one"
    return found
