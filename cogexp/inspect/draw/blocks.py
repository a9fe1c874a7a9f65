"""Transformer blocks: norms and principal components of the video tokens on their grid, step by step."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cogexp.inspect.draw import kit
from cogexp.inspect.draw.kit import Picture
from cogexp.inspect.reduce import agree, to_rgb
from cogexp.inspect.seen import Activations

SECTION = "Transformer blocks"
FRAMES = 4
TILE = 160
TOP = 99.7  # percentile where the colours of the norms end


def draw(found: Activations, folder: Path) -> list[Picture]:
    """An overview, and a picture a block with a row a step."""
    scores = _scores(found)
    moments = kit.evenly(found.passes.grid[0], FRAMES)
    return [
        _overview(found, scores, folder),
        *(_block(found, block, scores, moments, folder) for block in found.blocks),
    ]


def _scores(found: Activations) -> dict[tuple[int, int], np.ndarray]:
    """Components (f, h, w, 3) by (step, block), each turned to agree with the one before."""
    turned: dict[tuple[int, int], np.ndarray] = {}
    for column, block in enumerate(found.blocks):
        for row, step in enumerate(found.steps):
            own = found.passes.views[step, block].parts.scores
            if row:
                own = agree(own, turned[found.steps[row - 1], block])
            elif column:
                own = agree(own, turned[step, found.blocks[column - 1]])
            turned[step, block] = own
    return {key: value.reshape(*found.passes.grid, 3) for key, value in turned.items()}


def _overview(found: Activations, scores: dict[tuple[int, int], np.ndarray], folder: Path) -> Picture:
    middle = found.passes.grid[0] // 2
    size = kit.tile_size(*found.passes.grid[1:], widest=TILE)
    tiles = np.stack(
        [
            np.stack([kit.resized(to_rgb(scores[step, block])[middle], size) for block in found.blocks])
            for step in found.steps
        ]
    )
    width = kit.WIDTH - 1.3
    made = kit.figure(kit.WIDTH, kit.tiles_height(width, tiles.shape[:4]) + 1.0)
    kit.show_tiles(
        made, tiles, (1.0, 0.35, width), rows=[_step(found, step) for step in found.steps],
        columns=[f"block {block}" for block in found.blocks],
    )  # fmt: skip
    return kit.save(
        made, folder, "blocks-overview.png", section=SECTION, title="All watched blocks, step by step",
        caption=f"Principal components of the video tokens as colours, at frame {found.shown_frame(middle)}; "
        "colours are turned to agree with the picture above or to the left, as well as a rotation can.",
    )  # fmt: skip


def _block(
    found: Activations,
    block: int,
    scores: dict[tuple[int, int], np.ndarray],
    moments: list[int],
    folder: Path,
) -> Picture:
    size = kit.tile_size(*found.passes.grid[1:], widest=TILE)
    norms = np.stack([found.passes.views[s, block].norms.reshape(found.passes.grid) for s in found.steps])
    shown = norms / np.maximum(norms.mean((1, 2, 3), keepdims=True), 1e-30)
    low, high = float(shown.min()), float(np.percentile(shown, TOP))
    left = np.stack(
        [
            np.stack([kit.resized(kit.coloured(row[t], low, high, "viridis"), size) for t in moments])
            for row in shown
        ]
    )
    right = np.stack(
        [np.stack([kit.resized(to_rgb(scores[s, block])[t], size) for t in moments]) for s in found.steps]
    )
    width = 5.1
    tall = kit.tiles_height(width, left.shape[:4])
    made = kit.figure(kit.WIDTH, tall + 1.1)
    columns = [f"frame {found.shown_frame(t)}" for t in moments]
    rows = [_step(found, step) for step in found.steps]
    kit.show_tiles(
        made,
        left,
        (1.0, 0.45, width),
        rows=rows,
        columns=columns,
        title="norm of the tokens, by the mean of the step",
    )
    kit.colour_bar(
        made, (6.2, 0.45, 0.12, tall), low=low, high=high, colours="viridis", label="norm / mean of the step"
    )
    kit.show_tiles(made, right, (7.6, 0.45, width), columns=columns, title="principal components")
    shares = [sum(found.passes.views[s, block].parts.shares) for s in found.steps]
    mean = norms.mean((1, 2, 3))
    return kit.save(
        made, folder, f"block-{block:02d}.png", section=SECTION, title=f"block {block}",
        caption=f"Mean norm {_list(mean, '.3g')} at {_list([s + 1 for s in found.steps], 'd', 'steps ')}; "
        f"the largest is {float(shown.max()):.1f} times its step's. Three components hold "
        f"{_list(shares, '.0%')} of the variance.",
    )  # fmt: skip


def _step(found: Activations, step: int) -> str:
    return f"step {step + 1} of {found.all_steps}"


def _list(values: object, form: str, before: str = "") -> str:
    return before + ", ".join(format(value, form) for value in values)  # type: ignore[attr-defined]
