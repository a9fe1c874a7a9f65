"""Where the words are attended to: heat maps over the frames, by step, frame and group of blocks."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cogexp.inspect.draw import kit
from cogexp.inspect.draw.kit import Picture
from cogexp.inspect.watched import Activations
from cogexp.sheet import writable

SECTION = "Attention to words"
GROUPS = 4
FRAMES = 4
TILE = 200
OVERVIEW_PER_ROW = 5
COLOURS = "inferno"
FADED = 0.6  # of the frame's light that is left under the heat
TOP = 99.7  # percentile where the colours end: a few patches draw far more attention than the others
FLAT = 1.05  # a map whose largest value is within 5 % of its mean shows nothing


def draw(found: Activations, folder: Path) -> list[Picture]:
    """Where the attention goes in all, every word at a glance, then a picture a word."""
    groups = block_groups(found.blocks)
    moments = kit.evenly(found.passes.grid[0], FRAMES)
    words = [_word(found, column, groups, moments, folder) for column in range(len(found.prompt.words))]
    return [_shares(found, folder), *([_overview(found, folder)] if words else []), *words]


def block_groups(blocks: tuple[int, ...], count: int = GROUPS) -> list[tuple[int, ...]]:
    """At most `count` runs of neighbouring watched blocks."""
    return [tuple(int(b) for b in part) for part in np.array_split(blocks, min(count, len(blocks)))]


def _mean(found: Activations, column: int, steps: tuple[int, ...], blocks: tuple[int, ...]) -> np.ndarray:
    """(f, h, w): attention to a column, averaged over steps and blocks."""
    maps: np.ndarray = np.mean([found.maps(s, b)[column] for s in steps for b in blocks], axis=0)
    return maps


def overlay(frame: np.ndarray, heat: np.ndarray, low: float, high: float) -> np.ndarray:
    """Heat (h, w) between low and high over a darkened grey frame (H, W, 3) uint8, where heat is it glows."""
    size = frame.shape[:2]
    from PIL import Image

    smooth = np.asarray(
        Image.fromarray(heat.astype(np.float32)).resize((size[1], size[0]), Image.Resampling.BILINEAR)
    )
    unit = ((smooth - low) / max(high - low, 1e-30)).clip(0, 1)[..., None]
    grey = frame.astype(np.float32).mean(2, keepdims=True).repeat(3, 2) * FADED
    glow = kit.coloured(smooth, low, high, COLOURS).astype(np.float32)
    mixed = grey * (1 - unit) + glow * unit + grey * unit * 0.35
    result: np.ndarray = mixed.clip(0, 255).astype(np.uint8)
    return result


def _word(
    found: Activations, column: int, groups: list[tuple[int, ...]], moments: list[int], folder: Path
) -> Picture:
    word = found.columns[column]
    size = kit.tile_size(*found.frames.shape[1:3], widest=TILE)
    frames = [kit.resized(found.frames[found.shown_frame(t)], size, smooth=True) for t in moments]
    by_step = np.stack([_mean(found, column, (step,), found.blocks)[moments] for step in found.steps])
    middle = found.passes.grid[0] // 2
    by_group = np.stack(
        [np.stack([_mean(found, column, (s,), group)[middle] for s in found.steps]) for group in groups]
    )
    # A scale a side: one group of blocks can hold many times the mean of all.
    (low, high), (least, most) = _ends(by_step), _ends(by_group)
    left = np.stack(
        [np.stack([overlay(frames[i], row[i], low, high) for i in range(len(moments))]) for row in by_step]
    )
    under = kit.resized(found.frames[found.shown_frame(middle)], size, smooth=True)
    right = np.stack([np.stack([overlay(under, heat, least, most) for heat in row]) for row in by_group])
    steps = [f"step {step + 1}" for step in found.steps]
    widths = _share_width(left.shape[1], right.shape[1])
    tall = [kit.tiles_height(w, t.shape[:4]) for w, t in zip(widths, (left, right), strict=True)]
    made = kit.figure(kit.WIDTH, max(tall) + 1.1)
    kit.show_tiles(
        made, left, (0.85, 0.5, widths[0]), rows=steps,
        title=f"{written(found, column)}: all watched blocks",
        columns=[f"frame {found.shown_frame(t)}" for t in moments],
    )  # fmt: skip
    kit.show_tiles(
        made, right, (2.9 + widths[0], 0.5, widths[1]), rows=[_group_name(group) for group in groups],
        columns=steps, title=f"groups of blocks, frame {found.shown_frame(middle)}",
    )  # fmt: skip
    for at, height, ends, label in (
        (0.95 + widths[0], tall[0], (low, high), "% of a patch's attention"),
        (3.0 + sum(widths), tall[1], (least, most), f"% of a patch's attention (to {TOP:g} % of the patches)"),
    ):
        kit.colour_bar(
            made, (at, 0.5, 0.12, height), low=100 * ends[0], high=100 * ends[1], colours=COLOURS, label=label
        )
    return kit.save(
        made, folder, f"attention-{column:02d}-{kit.slug(word)}.png", section=SECTION, title=word,
        caption=_caption(found, column),
    )  # fmt: skip


def _ends(heat: np.ndarray) -> tuple[float, float]:
    """Where the colours begin and end."""
    return float(heat.min()), float(np.percentile(heat, TOP))


def written(found: Activations, column: int) -> str:
    """The word, or its number where no font of this machine can write it."""
    word = found.columns[column]
    return word if writable(word) else f"word {column + 1}"


def _share_width(left: int, right: int) -> tuple[float, float]:
    """Inches for two groups of tiles, so that their tiles are alike."""
    each = (12.2 - 2.9) / (left + right)
    return each * left, each * right


def _group_name(group: tuple[int, ...]) -> str:
    return f"block {group[0]}" if len(group) == 1 else f"blocks {group[0]}-{group[-1]}"


def _caption(found: Activations, column: int) -> str:
    """Where the word is attended to most, or that its map is flat."""
    peak, where = 0.0, (found.steps[0], found.blocks[0])
    for step in found.steps:
        for block in found.blocks:
            heat = found.maps(step, block)[column]
            if (ratio := float(heat.max() / max(heat.mean(), 1e-30))) > peak:
                peak, where = ratio, (step, block)
    mean = float(np.mean([found.maps(s, b)[column].mean() for s in found.steps for b in found.blocks]))
    fair = len(found.prompt.words[column].tokens) / (found.prompt.length + np.prod(found.passes.grid))
    start = (
        f"Patches give this word {100 * mean:.3f} % of their attention on average, {mean / fair:.1f} times "
        "what an even share of all tokens would be. "
    )
    if peak < FLAT:
        return (
            start
            + f"The maps are flat: no patch exceeds its map's mean by more than {100 * (peak - 1):.1f} %."
        )
    heat = found.maps(*where)[column]
    time, row, high = (int(at) for at in np.unravel_index(int(heat.argmax()), heat.shape))
    return start + (
        f"The most pointed map is step {where[0] + 1}, block {where[1]}: {peak:.1f} times its mean at frame "
        f"{found.shown_frame(time)}, {_place(row, high, heat.shape[1:])}."
    )


def _place(row: int, column: int, shape: tuple[int, ...]) -> str:
    """'upper left', 'middle', 'lower centre' ..."""
    vertical = ("upper", "middle", "lower")[min(2, 3 * row // shape[0])]
    side = ("left", "centre", "right")[min(2, 3 * column // shape[1])]
    return f"{vertical} {side}"


def _overview(found: Activations, folder: Path) -> Picture:
    """Every word over the middle frame, averaged over steps and blocks, each on its own scale."""
    middle = found.passes.grid[0] // 2
    size = kit.tile_size(*found.frames.shape[1:3], widest=TILE + 60)
    under = kit.resized(found.frames[found.shown_frame(middle)], size, smooth=True)
    tiles, labels = [], []
    for column in range(len(found.prompt.words)):
        heat = _mean(found, column, found.steps, found.blocks)[middle]
        low, high = float(heat.min()), float(np.percentile(heat, TOP))
        tiles.append(overlay(under, heat, low, high))
        labels.append(f"{written(found, column)}   {100 * low:.3f} to {100 * high:.3f} %")
    columns = min(OVERVIEW_PER_ROW, len(tiles))
    width = (kit.WIDTH - 0.6) * columns / OVERVIEW_PER_ROW
    made = kit.figure(kit.WIDTH, kit.labelled_height(width, size, len(tiles), columns) + 0.5)
    kit.show_labelled(made, tiles, labels, (0.3, 0.2, width), columns)
    return kit.save(
        made, folder, "attention-overview.png", section=SECTION, title="All words",
        words=" ".join(found.columns),
        caption=f"Share of each patch's attention that goes to the word, at frame {found.shown_frame(middle)}"
        ", averaged over the watched steps and blocks. Each word has its own scale, written above it.",
    )  # fmt: skip


def _shares(found: Activations, folder: Path) -> Picture:
    """What of the video's attention stays in the video, and what goes to words, marks and padding."""
    made = kit.figure(kit.WIDTH, 3.6)
    parts = _parts(found)
    width = (kit.WIDTH - 1.0) / len(parts) - 0.75
    for index, (name, values) in enumerate(parts.items()):
        plot = kit.axes(made, 0.75 + index * (width + 0.75), 0.5, width, 2.4)
        for row, step in enumerate(found.steps):
            plot.plot(found.blocks, 100 * values[row], marker="o", markersize=3, label=f"step {step + 1}")
        plot.set_title(name, fontsize=11, loc="left", color=kit.INK)
        plot.set_xlabel("block", fontsize=9, color=kit.SOFT)
        plot.set_ylim(0, 110 * values.max())
        plot.grid(alpha=0.25)
        plot.tick_params(labelsize=8)
        if index == 0:
            plot.set_ylabel("% of the video tokens' attention", fontsize=9, color=kit.SOFT)
            plot.legend(fontsize=8, frameon=False)
    text = {name: float(values.mean()) for name, values in parts.items()}
    return kit.save(
        made, folder, "attention-shares.png", section=SECTION, title="Where the attention of the video goes",
        caption="On average "
        + ", ".join(f"{100 * value:.2f} % to {name}" for name, value in text.items())
        + f". Even shares would be {_even(found)}.",
    )  # fmt: skip


def _parts(found: Activations) -> dict[str, np.ndarray]:
    """Mean attention (steps, blocks) by where it goes; all parts add up to 1."""
    count = len(found.prompt.words)
    mean = np.array([[found.maps(s, b).mean((1, 2, 3)) for b in found.blocks] for s in found.steps])
    return {
        "the words": mean[..., :count].sum(-1),
        "marks and the end": mean[..., count],
        "padding": mean[..., count + 1],
        "the video itself": 1 - mean.sum(-1),
    }


def _even(found: Activations) -> str:
    prompt, video = found.prompt, int(np.prod(found.passes.grid))
    total, words = prompt.length + video, sum(len(word.tokens) for word in prompt.words)
    tokens = (words, len(prompt.tokens) - words, prompt.length - len(prompt.tokens), video)
    return ", ".join(f"{100 * count / total:.2f}" for count in tokens)
