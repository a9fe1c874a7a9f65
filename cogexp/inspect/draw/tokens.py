"""What each word wrote into each token, attention to its own token, and where attention goes in all."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cogexp.inspect.draw import heat, kit
from cogexp.inspect.draw.kit import Picture
from cogexp.inspect.seen import Activations

MOST_TOKENS = 48


def draw(found: Activations, folder: Path) -> list[Picture]:
    """What words wrote into tokens, attention to each word's own token, attention in all."""
    words = [_influence(found, folder), _own(found, folder)] if found.prompt.words else []
    return [*words, _shares(found, folder)]


def _influence(found: Activations, folder: Path) -> Picture:
    """Words by tokens."""
    count = min(len(found.prompt.tokens), MOST_TOKENS)
    shares, names = found.influence[:, :count], [*found.prompt.tokens[:count]]
    if len(found.prompt.tokens) < found.prompt.length:
        padding = found.influence[:, len(found.prompt.tokens) :].mean(1, keepdims=True)
        shares, names = np.concatenate([shares, padding], axis=1), [*names, "padding"]
    words = [heat.written(found, column) for column in range(len(shares))]
    high = max(1.2, 0.24 * len(words))
    made = kit.figure(kit.WIDTH, high + 1.6)
    width = min(10.6, 0.9 * len(names))
    plot = kit.axes(made, 1.4, 0.5, width, high)
    plot.imshow(100 * shares, aspect="auto", cmap="viridis", vmin=0, vmax=100, interpolation="nearest")
    plot.set_yticks(range(len(words)), words, fontsize=8)
    plot.set_xticks(range(len(names)), names, fontsize=8, rotation=45, ha="right", rotation_mode="anchor")
    plot.tick_params(length=0)
    plot.set_title("words by tokens of the text encoder's output", fontsize=11, loc="left", color=kit.INK)
    if len(names) <= 24:
        for (row, column), value in np.ndenumerate(shares):
            if value >= 0.1:
                ink = "black" if value > 0.6 else "white"
                plot.text(column, row, f"{100 * value:.0f}", ha="center", va="center", fontsize=7, color=ink)
    kit.colour_bar(
        made, (1.55 + width, 0.5, 0.12, high), low=0, high=100, colours="viridis", label="% of the token"
    )
    return kit.save(
        made, folder, "attention-influence.png", section=heat.SECTION, title="What words wrote into tokens",
        words=" ".join(found.columns), caption=_say_influence(found),
    )  # fmt: skip


def _say_influence(found: Activations) -> str:
    own = [
        float(found.influence[column, list(word.tokens)].mean())
        for column, word in enumerate(found.prompt.words)
    ]
    most, least = int(np.argmax(own)), int(np.argmin(own))
    text = (
        "How far each token of the encoded text moves when a word is left out, as shares of all words. "
        f"A word's own token is its own to {100 * float(np.mean(own)):.0f} % on average "
        f"({found.columns[most]}: {100 * own[most]:.0f} %, {found.columns[least]}: {100 * own[least]:.0f} %)"
    )
    padding = found.influence[:, len(found.prompt.tokens) :].mean(1)
    if padding.size and np.isfinite(padding).all():
        top = np.argsort(-padding)[:3]
        said = ", ".join(f"{found.columns[word]} ({100 * padding[word]:.0f} %)" for word in top)
        text += f"; the padding is mostly {said}"
    return text + "."


def _own(found: Activations, folder: Path) -> Picture:
    """Attention to the tokens of each word alone, over the middle frame."""
    middle = heat.middle_frame(found)
    count = len(found.prompt.words)
    mean = np.mean([found.maps(s, b)[:count, middle] for s in found.steps for b in found.blocks], axis=0)
    labels = [heat.written(found, column) for column in range(count)]
    made = heat.over_middle(found, 100 * mean, labels, unit=" %")
    return kit.save(
        made, folder, "attention-tokens.png", section=heat.SECTION, title="Attention to a word's own token",
        words=" ".join(found.columns),
        caption="Share of each patch's attention that goes to the word's own token, at frame "
        f"{found.shown_frame(middle)}, averaged over the watched steps and blocks, each on its own scale "
        "from its mean. The token may hold other words than its own.",
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
        made, folder, "attention-shares.png", section=heat.SECTION,
        title="Where the attention of the video goes",
        caption="On average "
        + ", ".join(f"{100 * value:.2f} % to {name}" for name, value in text.items())
        + f". Even shares would be {_even(found)}.",
    )  # fmt: skip


def _parts(found: Activations) -> dict[str, np.ndarray]:
    """Mean attention (steps, blocks) by where it goes; all parts add up to 1."""
    count = len(found.prompt.words)
    mean = np.array([[found.maps(s, b).mean((1, 2, 3)) for b in found.blocks] for s in found.steps])
    return {
        "tokens of words": mean[..., :count].sum(-1),
        "marks and the end": mean[..., count],
        "padding": mean[..., count + 1],
        "the video itself": 1 - mean.sum(-1),
    }


def _even(found: Activations) -> str:
    prompt, video = found.prompt, int(np.prod(found.passes.grid))
    total, words = prompt.length + video, sum(len(word.tokens) for word in prompt.words)
    tokens = (words, len(prompt.tokens) - words, prompt.length - len(prompt.tokens), video)
    return ", ".join(f"{100 * count / total:.2f}" for count in tokens)
