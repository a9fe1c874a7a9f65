"""What leaving out each word changes, over the frames; attention beside it tells which tokens are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from cogexp.inspect.draw import kit
from cogexp.inspect.draw.attention import OVERVIEW_PER_ROW, SECTION, TILE, TOP, overlay, written
from cogexp.inspect.draw.kit import Picture
from cogexp.inspect.watched import Activations


def draw(found: Activations, folder: Path) -> list[Picture]:
    """One picture of all words over the middle frame; none when no word was left out."""
    if found.effects is None or not len(found.effects):
        return []
    middle = found.passes.grid[0] // 2
    size = kit.tile_size(*found.frames.shape[1:3], widest=TILE + 60)
    under = kit.resized(found.frames[found.shown_frame(middle)], size, smooth=True)
    tiles, labels = [], []
    for column, effect in enumerate(found.effects):
        heat = effect[middle]
        high = float(np.percentile(heat, TOP))
        tiles.append(overlay(under, heat, 0.0, high))
        labels.append(f"without {written(found, column)}   0 to {high:.3g}")
    columns = min(OVERVIEW_PER_ROW, len(tiles))
    width = (kit.WIDTH - 0.6) * columns / OVERVIEW_PER_ROW
    made = kit.figure(kit.WIDTH, kit.labelled_height(width, size, len(tiles), columns) + 0.5)
    kit.show_labelled(made, tiles, labels, (0.3, 0.2, width), columns)
    return [_saved(made, found, middle, folder)]


def _saved(made: Any, found: Activations, middle: int, folder: Path) -> Picture:
    return kit.save(
        made, folder, "attention-effects.png", section=SECTION, title="What leaving a word out changes",
        words=" ".join(found.columns), caption=_caption(found, middle),
    )  # fmt: skip


def _caption(found: Activations, middle: int) -> str:
    assert found.effects is not None
    mean = found.effects.mean((1, 2, 3))
    order = np.argsort(-mean)
    most, least = int(order[0]), int(order[-1])
    return (
        f"How far the model's prediction at step {found.effect_step + 1} moves when the word is taken out of "
        f"the prompt, on the same latents: root mean square in latent units, at frame "
        f"{found.shown_frame(middle)}, each word on its own scale, written above it. Over the whole clip "
        f"{found.columns[most]!r} moves most ({mean[most]:.3g}) and {found.columns[least]!r} least "
        f"({mean[least]:.3g}). A text encoder writes what one word says into other tokens, too, so this can "
        "lie elsewhere than the attention to the word's own token."
    )
