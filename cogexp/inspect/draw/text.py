"""Text-encoder layers of one prompt: token-by-feature maps, and how alike its tokens are."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cogexp.inspect.draw import kit
from cogexp.inspect.draw.kit import Picture
from cogexp.inspect.measures import cosines
from cogexp.inspect.seen import Activations, TextLayer

SECTION = "Text encoder"
MOST_TOKENS = 64
COLUMNS = 640  # features drawn side by side; more are drawn as the largest of neighbours


def draw(found: Activations, folder: Path) -> list[Picture]:
    """A picture a layer."""
    names = [*found.prompt.tokens, "padding"][: len(found.text[0].states)]
    return [_layer(layer, names, index, folder) for index, layer in enumerate(found.text)]


def _layer(layer: TextLayer, names: list[str], index: int, folder: Path) -> Picture:
    states, names = layer.states[:MOST_TOKENS], names[:MOST_TOKENS]
    count, width = states.shape
    high = max(2.6, 0.21 * count)
    made = kit.figure(kit.WIDTH, high + 1.5)
    similar = cosines(states)
    scale = float(np.percentile(np.abs(states), 99.5)) or 1.0
    left = kit.axes(made, 1.0, 0.55, 6.6, high)
    pooled, per = _largest(states)
    left.imshow(
        pooled, aspect="auto", cmap="RdBu_r", vmin=-scale, vmax=scale, interpolation="nearest",
        extent=(0, width, count, 0),
    )  # fmt: skip
    left.set_yticks(np.arange(count) + 0.5, names, fontsize=8)
    left.set_xlabel(
        "feature" + (f" (of every {per} the largest)" if per > 1 else ""), fontsize=9, color=kit.SOFT
    )
    left.set_title(f"{layer.name}: tokens by features", fontsize=11, loc="left", color=kit.INK)
    left.tick_params(length=2, labelsize=8)
    kit.colour_bar(
        made, (7.7, 0.55, 0.12, high), low=-scale, high=scale, colours="RdBu_r", label="activation",
    )  # fmt: skip
    side = min(3.6, high)
    right = kit.axes(made, 8.8 + (3.6 - side) / 2, 0.55, side * 0.9, high)
    right.imshow(similar, aspect="auto", cmap="RdBu_r", vmin=-1, vmax=1, interpolation="nearest")
    right.set_yticks(np.arange(count), names, fontsize=7)
    right.set_xticks(np.arange(count), names, fontsize=7, rotation=90)
    right.set_title("cosine between tokens", fontsize=11, loc="left", color=kit.INK)
    right.tick_params(length=0)
    kit.colour_bar(made, (12.1, 0.55, 0.12, high), low=-1, high=1, colours="RdBu_r", label="cosine")
    return kit.save(
        made, folder, f"text-{index:02d}.png", section=SECTION, title=layer.name, words=" ".join(names),
        caption=_caption(states, similar, names, scale),
    )  # fmt: skip


def _largest(states: np.ndarray) -> tuple[np.ndarray, int]:
    """Of every few neighbouring features the one farthest from 0, so that no spike is lost."""
    per = -(-states.shape[1] // COLUMNS)
    if per == 1:
        return states, 1
    padded = np.pad(states, ((0, 0), (0, -states.shape[1] % per))).reshape(len(states), -1, per)
    picked = np.abs(padded).argmax(2)
    return np.take_along_axis(padded, picked[..., None], 2)[..., 0], per


def _caption(states: np.ndarray, similar: np.ndarray, names: list[str], scale: float) -> str:
    """What stands out, in numbers."""
    others = similar - 2 * np.eye(len(similar))
    first, second = np.unravel_index(int(others.argmax()), others.shape)
    mean = (similar.sum() - len(similar)) / max(len(similar) * (len(similar) - 1), 1)
    strongest = int(np.abs(states).max(0).argmax())
    return (
        f"Mean cosine between different tokens {mean:.2f}; most alike: {names[first]} and {names[second]} "
        f"({similar[first, second]:.2f}). The largest activation is {np.abs(states).max():.3g}, of feature "
        f"{strongest}; colours end at the 99.5th percentile, {scale:.3g}."
    )
