"""Where each word is read: heat maps over the frames, by step, frame and group of blocks.

What is drawn is a patch's reading of the text by words (`Activations.readings`), since a word's own token may
hold other words.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cogexp.inspect.draw import heat, kit
from cogexp.inspect.draw.kit import Picture
from cogexp.inspect.seen import Activations

GROUPS = 4
FRAMES = 4
FLAT = 1.02  # a map whose largest value is within 2 % of its mean shows nothing


def draw(found: Activations, folder: Path) -> list[Picture]:
    """Every word at a glance."""
    return [_overview(found, folder)] if found.prompt.words else []


def draw_words(found: Activations, folder: Path) -> list[Picture]:
    """A picture a word."""
    groups = block_groups(found.blocks)
    moments = kit.evenly(found.passes.grid[0], FRAMES)
    return [_word(found, column, groups, moments, folder) for column in range(len(found.prompt.words))]


def block_groups(blocks: tuple[int, ...], count: int = GROUPS) -> list[tuple[int, ...]]:
    """At most `count` runs of neighbouring watched blocks."""
    return [tuple(int(b) for b in part) for part in np.array_split(blocks, min(count, len(blocks)))]


def _mean(found: Activations, column: int, steps: tuple[int, ...], blocks: tuple[int, ...]) -> np.ndarray:
    """(f, h, w): how much is read of a word, averaged over steps and blocks."""
    maps: np.ndarray = np.mean([found.readings(s, b)[column] for s in steps for b in blocks], axis=0)
    return maps


def _word(
    found: Activations, column: int, groups: list[tuple[int, ...]], moments: list[int], folder: Path
) -> Picture:
    word = found.columns[column]
    size = kit.tile_size(*found.frames.shape[1:3], widest=heat.TILE)
    frames = [kit.resized(found.frames[found.shown_frame(t)], size, smooth=True) for t in moments]
    by_step = np.stack([_mean(found, column, (step,), found.blocks)[moments] for step in found.steps])
    middle = heat.middle_frame(found)
    by_group = np.stack(
        [np.stack([_mean(found, column, (s,), group)[middle] for s in found.steps]) for group in groups]
    )
    # A scale a side: one group of blocks can hold many times the mean of all.
    (low, high), (least, most) = heat.ends(by_step), heat.ends(by_group)
    left = np.stack(
        [
            np.stack([heat.overlay(frames[i], row[i], low, high) for i in range(len(moments))])
            for row in by_step
        ]
    )
    under = kit.resized(found.frames[found.shown_frame(middle)], size, smooth=True)
    right = np.stack([np.stack([heat.overlay(under, one, least, most) for one in row]) for row in by_group])
    steps = [f"step {step + 1}" for step in found.steps]
    widths = _share_width(left.shape[1], right.shape[1])
    tall = [kit.tiles_height(w, t.shape[:4]) for w, t in zip(widths, (left, right), strict=True)]
    made = kit.figure(kit.WIDTH, max(tall) + 1.1)
    kit.show_tiles(
        made, left, (0.85, 0.5, widths[0]), rows=steps,
        title=f"{heat.written(found, column)}: all watched blocks",
        columns=[f"frame {found.shown_frame(t)}" for t in moments],
    )  # fmt: skip
    kit.show_tiles(
        made, right, (2.9 + widths[0], 0.5, widths[1]), rows=[_group_name(group) for group in groups],
        columns=steps, title=f"groups of blocks, frame {found.shown_frame(middle)}",
    )  # fmt: skip
    for at, height, ends, label in (
        (0.95 + widths[0], tall[0], (low, high), "% of what is read, from the mean"),
        (
            3.0 + sum(widths),
            tall[1],
            (least, most),
            "% of what is read of the text, from the mean",
        ),
    ):
        kit.colour_bar(
            made,
            (at, 0.5, 0.12, height),
            low=100 * ends[0],
            high=100 * ends[1],
            colours=heat.COLOURS,
            label=label,
        )
    return kit.save(
        made, folder, f"attention-{column:02d}-{kit.slug(word)}.png", section=heat.SECTION, title=word,
        caption=_caption(found, column),
    )  # fmt: skip


def _share_width(left: int, right: int) -> tuple[float, float]:
    """Inches for two groups of tiles, so that their tiles are alike."""
    each = (12.2 - 2.9) / (left + right)
    return each * left, each * right


def _group_name(group: tuple[int, ...]) -> str:
    return f"block {group[0]}" if len(group) == 1 else f"blocks {group[0]}-{group[-1]}"


def _caption(found: Activations, column: int) -> str:
    """Where the word is read most, or that its map is flat."""
    mean = _mean(found, column, found.steps, found.blocks)
    text = (
        f"Of what patches read from the text, {100 * mean.mean():.1f} % is this word on average "
        f"(an even share: {100 / len(found.prompt.words):.1f} %). "
    )
    peak = float(mean.max() / max(mean.mean(), 1e-30))
    if peak < FLAT:
        return text + f"The map is flat: no patch exceeds its mean by more than {100 * (peak - 1):.1f} %."
    time, row, high = (int(at) for at in np.unravel_index(int(mean.argmax()), mean.shape))
    return text + (
        f"Averaged over steps and blocks it is largest at frame {found.shown_frame(time)}, "
        f"{_place(row, high, mean.shape[1:])}: {peak:.2f} times its mean."
    )


def _place(row: int, column: int, shape: tuple[int, ...]) -> str:
    """'upper left', 'middle', 'lower centre' ..."""
    vertical = ("upper", "middle", "lower")[min(2, 3 * row // shape[0])]
    side = ("left", "centre", "right")[min(2, 3 * column // shape[1])]
    return f"{vertical} {side}"


def _overview(found: Activations, folder: Path) -> Picture:
    """Every word over the middle frame, averaged over steps and blocks, each on its own scale."""
    middle, count = heat.middle_frame(found), len(found.prompt.words)
    maps = [100 * _mean(found, column, found.steps, found.blocks)[middle] for column in range(count)]
    labels = [heat.written(found, column) for column in range(count)]
    return kit.save(
        heat.over_middle(found, maps, labels, unit=" %"), folder, "attention-overview.png",
        section=heat.SECTION, title="Where each word is read", words=" ".join(found.columns),
        caption="Of what a patch reads from the text (its attention to all text tokens, each divided among "
        f"the words that wrote it), the share of the word, at frame {found.shown_frame(middle)}, averaged "
        "over the watched steps and blocks. Each word has its own scale from its mean, written above it.",
    )  # fmt: skip
