"""VAE layers: colours of the principal components beside the strongest channels, and an overview."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cogexp.inspect.draw import kit
from cogexp.inspect.draw.kit import Picture
from cogexp.inspect.reduce import Maps
from cogexp.inspect.watched import Activations

SECTIONS = {"encoder": "VAE encoder", "decoder": "VAE decoder"}
TILE = 190
PER_ROW = 4
OVERVIEW_PER_ROW = 6


def draw(found: Activations, folder: Path) -> list[Picture]:
    """Encoder and decoder: an overview and a picture a layer."""
    made = []
    for half, layers in (("encoder", found.encoder), ("decoder", found.decoder)):
        made.append(_overview(half, layers, folder))
        made += [_layer(half, i, name, maps, folder) for i, (name, maps) in enumerate(layers.items())]
    return made


def _overview(half: str, layers: dict[str, Maps], folder: Path) -> Picture:
    first = next(iter(layers.values())).rgb
    size = kit.tile_size(*first.shape[:2], widest=TILE)
    names, count = list(layers), len(layers)
    rows = -(-count // OVERVIEW_PER_ROW)
    wide = kit.WIDTH - 0.6
    each = wide / OVERVIEW_PER_ROW - 0.1
    high = each * size[0] / size[1]
    made = kit.figure(kit.WIDTH, rows * (high + 0.42) + 0.3)
    for index, (name, maps) in enumerate(layers.items()):
        row, column = divmod(index, OVERVIEW_PER_ROW)
        plot = kit.axes(made, 0.3 + column * (each + 0.1), 0.35 + row * (high + 0.42), each, high)
        plot.imshow(maps.rgb, aspect="auto", interpolation="nearest")
        plot.set_title(f"{index}  {name}", fontsize=8.5, loc="left", color=kit.INK, pad=3)
        plot.set_xticks([])
        plot.set_yticks([])
        kit.bare(plot)
    last = layers[names[-1]].shape
    return kit.save(
        made, folder, f"{half}-overview.png", section=SECTIONS[half],
        title=f"{SECTIONS[half]}: all {count} layers",
        caption="Each layer's channels at one moment as colours: red, green and blue are its first three "
        f"principal components. From {_shape(layers[names[0]].shape)} (channels x frames x height x width of "
        f"this call) to {_shape(last)}.",
    )  # fmt: skip


def _layer(half: str, index: int, name: str, maps: Maps, folder: Path) -> Picture:
    size = kit.tile_size(*maps.rgb.shape[:2], widest=TILE)
    limits = np.maximum(np.abs(maps.maps).max((1, 2)), 1e-12)
    painted = [
        kit.resized(kit.coloured(one, -limit, limit, "RdBu_r"), size)
        for one, limit in zip(maps.maps, limits, strict=True)
    ]
    columns = min(PER_ROW, len(painted))
    rows = -(-len(painted) // columns)
    each = 8.0 / PER_ROW - 0.1
    high = each * size[0] / size[1]
    total = rows * (high + 0.3) - 0.3
    made = kit.figure(kit.WIDTH, total + 0.9)
    left_width = min(3.6, total * size[1] / size[0])
    left_height = left_width * size[0] / size[1]
    picture = kit.axes(made, 0.3, 0.55 + (total - left_height) / 2, left_width, left_height)
    picture.imshow(maps.rgb, aspect="auto", interpolation="nearest")
    picture.set_title("principal components", fontsize=10, loc="left", color=kit.INK)
    picture.set_xticks([])
    picture.set_yticks([])
    kit.bare(picture)
    for at, tile in enumerate(painted):
        row, column = divmod(at, columns)
        plot = kit.axes(made, 4.2 + column * (each + 0.1), 0.55 + row * (high + 0.3), each, high)
        plot.imshow(tile, aspect="auto", interpolation="nearest")
        plot.set_title(f"channel {maps.channels[at]}: ±{limits[at]:.3g}", fontsize=8.5, loc="left", pad=3)
        plot.set_xticks([])
        plot.set_yticks([])
        kit.bare(plot)
    kit.colour_bar(
        made,
        (12.25, 0.55, 0.12, total),
        low=-1,
        high=1,
        colours="RdBu_r",
        label="share of the channel's ± limit",
    )
    return kit.save(
        made, folder, f"{half}-{index:02d}.png", section=SECTIONS[half], title=f"{index}: {name}",
        caption=f"Output {_shape(maps.shape)}, its last frame. Three components hold {maps.share:.0%} of the "
        f"variance over the picture. The {len(maps.channels)} channels are those that vary most.",
    )  # fmt: skip


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
