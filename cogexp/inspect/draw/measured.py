"""What the layers of the text encoder do, in four plots, each with the sentence that its numbers make."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from cogexp.inspect import claim
from cogexp.inspect.draw import kit
from cogexp.inspect.draw.kit import Picture
from cogexp.inspect.measured import Measured
from cogexp.inspect.probes import PROBES

SECTION = "What the text layers do"
MANY = 12  # layers; more are numbered, fewer named
COLOURS = ("#8a8f98", "#c2410c", "#1d6fb8", "#15803d", "#7c3aed")


def draw(found: Measured, folder: Path) -> list[Picture]:
    """Similarity of layers, effective rank, token similarity, probes."""
    return [_probes(found, folder), _cka(found, folder), _rank(found, folder), _similarity(found, folder)]


def _names(found: Measured) -> list[str]:
    if len(found.names) <= MANY:
        return list(found.names)
    return ["emb", *(str(i) for i in range(len(found.names) - 2)), "norm"]


def _plot(found: Measured, height: float, title: str, label: str) -> tuple[Any, Any]:
    """A figure with one plot over the layers, the claimed bands behind it where they apply."""
    made = kit.figure(kit.WIDTH, height + 1.25)
    plot = kit.axes(made, 0.9, 0.5, 9.1, height)
    if claim.applies(found):
        for index, band in enumerate(claim.CLAIM):
            plot.axvspan(band.first + 0.6, band.last + 1.4, color=COLOURS[index + 1], alpha=0.07, lw=0)
            middle = (band.first + band.last) / 2 + 1
            plot.text(
                middle, 1.005, f"claimed: {band.name}", transform=plot.get_xaxis_transform(), fontsize=7,
                ha="center", va="bottom", color=COLOURS[index + 1],
            )  # fmt: skip
    plot.set_xticks(range(len(found.names)), _names(found), fontsize=9)
    plot.set_xlabel("layer of the text encoder (its output)", fontsize=9, color=kit.SOFT)
    plot.set_ylabel(label, fontsize=9, color=kit.SOFT)
    plot.set_title(title, fontsize=11, loc="left", color=kit.INK, pad=16)
    plot.grid(alpha=0.25)
    return made, plot


def _probes(found: Measured, folder: Path) -> Picture:
    made, plot = _plot(
        found,
        3.6,
        "What a linear map reads from tokens that do not say it",
        "share of held-out prompts read right",
    )
    for index, probe in enumerate(PROBES):
        scores, colour = found.probes[probe.name], COLOURS[index]
        at = np.arange(len(scores)) + (index - 2) * 0.05
        mean = np.array([one.mean for one in scores])
        errors = np.abs([[one.mean - one.low for one in scores], [one.high - one.mean for one in scores]])
        plot.errorbar(
            at, mean, yerr=errors, color=colour, marker="o", markersize=4, capsize=2, label=probe.name
        )
        plot.axhline(scores[0].chance, color=colour, lw=1, ls=":")
    plot.set_ylim(0, 1.03)
    plot.plot([], [], color=kit.SOFT, ls=":", lw=1, label="chance, in the same colour")
    lines, names = plot.get_legend_handles_labels()  # those with error bars come last by themselves
    plot.legend(
        [*lines[1:], lines[0]], [*names[1:], names[0]], fontsize=9, frameon=False, loc="center left",
        bbox_to_anchor=(1.01, 0.5),
    )  # fmt: skip
    about = (
        f"Linear probes on {found.prompts} prompts, tested on combinations never fitted, 95 % intervals.\n"
    )
    return _saved(made, folder, "probes", "Linear probes", about + claim.say_probes(found))


def _cka(found: Measured, folder: Path) -> Picture:
    side, count = 4.6, len(found.names)
    made = kit.figure(kit.WIDTH, side + 1.3)
    plot = kit.axes(made, 1.6, 0.5, side, side)
    low = float(min(0.0, np.nanmin(found.cka)))
    plot.imshow(found.cka, vmin=low, vmax=1, cmap="viridis", interpolation="nearest")
    plot.set_xticks(range(count), _names(found), fontsize=8, rotation=90 if count > 6 else 0)
    plot.set_yticks(range(count), _names(found), fontsize=8)
    plot.tick_params(length=0)
    plot.set_title("linear CKA between layers (unbiased)", fontsize=11, loc="left", color=kit.INK)
    if count <= MANY:
        for row in range(count):
            for column in range(count):
                value = found.cka[row, column]
                ink = "black" if value > 0.6 else "white"
                plot.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=9, color=ink)
    kit.colour_bar(made, (1.75 + side, 0.5, 0.12, side), low=low, high=1, colours="viridis", label="CKA")
    line = kit.axes(made, 8.1, 0.5, 4.4, side)
    line.plot(range(count - 1), [found.cka[i, i + 1] for i in range(count - 1)], marker="o", color=COLOURS[2])
    line.set_xticks(range(count - 1), _names(found)[1:], fontsize=8, rotation=90 if count > 6 else 0)
    line.set_title("CKA of a layer with the one before", fontsize=11, loc="left", color=kit.INK)
    line.grid(alpha=0.25)
    line.set_ylim(top=1.0)
    line.tick_params(labelsize=8)
    return _saved(made, folder, "cka", "How alike the layers are", claim.say_cka(found))


def _rank(found: Measured, folder: Path) -> Picture:
    made, plot = _plot(found, 2.8, "Effective rank: dimensions that the tokens use", "effective rank")
    plot.plot(range(len(found.rank)), found.rank, marker="o", color=COLOURS[2], label="effective rank")
    plot.axhline(
        found.rank_bound, color=kit.SOFT, ls=":", lw=1, label=f"largest possible: {found.rank_bound}"
    )
    plot.set_ylim(bottom=0)
    plot.legend(fontsize=9, frameon=False, loc="center left", bbox_to_anchor=(1.01, 0.5))
    return _saved(made, folder, "rank", "Effective rank", claim.say_rank(found))


def _similarity(found: Measured, folder: Path) -> Picture:
    made, plot = _plot(found, 2.8, "How alike tokens are", "mean cosine")
    mean = np.array([one.mean for one in found.within])
    errors = np.abs([[o.mean - o.low for o in found.within], [o.high - o.mean for o in found.within]])
    plot.errorbar(
        range(len(mean)), mean, yerr=errors, marker="o", markersize=4, capsize=2, color=COLOURS[1],
        label="tokens of one prompt",
    )  # fmt: skip
    plot.plot(
        range(len(mean)),
        found.between,
        marker="o",
        markersize=4,
        color=COLOURS[0],
        label="of different prompts",
    )
    plot.legend(fontsize=9, frameon=False, loc="center left", bbox_to_anchor=(1.01, 0.5))
    return _saved(made, folder, "similarity", "Token similarity", claim.say_similarity(found))


def _saved(made: Any, folder: Path, name: str, title: str, caption: str) -> Picture:
    return kit.save(made, folder, f"layers-{name}.png", section=SECTION, title=title, caption=caption)
