"""VAE layers: colours of the principal components beside the strongest channels, and an overview."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cogexp.inspect.draw import kit
from cogexp.inspect.draw.kit import Picture
from cogexp.inspect.reduce import Maps
from cogexp.inspect.seen import Activations

SECTIONS = {"encoder": "VAE encoder", "decoder": "VAE decoder"}
TILE = 190
PER_ROW = 4
OVERVIEW_PER_ROW = 6
# Percentile where a channel's colours end: a column of padding at the edge can be ten times the rest.
TOP = 98


def draw(found: Activations, folder: Path) -> list[Picture]:
    """Encoder and decoder: an overview and a picture a layer."""
    made = []
    for half, layers in (("encoder", found.encoder), ("decoder", found.decoder)):
        made.append(_overview(half, layers, folder))
        made += [_layer(half, i, name, maps, folder) for i, (name, maps) in enumerate(layers.items())]
    return made


def _overview(half: str, layers: dict[str, Maps], folder: Path) -> Picture:
    maps, names = list(layers.values()), list(layers)
    size = kit.tile_size(*maps[0].rgb.shape[:2], widest=TILE)
    width = kit.WIDTH - 0.6
    made = kit.figure(kit.WIDTH, kit.labelled_height(width, size, len(maps), OVERVIEW_PER_ROW) + 0.5)
    kit.show_labelled(
        made,
        [kit.resized(one.rgb, size) for one in maps],
        [f"{index}  {name}" for index, name in enumerate(names)],
        (0.3, 0.2, width),
        OVERVIEW_PER_ROW,
    )
    return kit.save(
        made, folder, f"{half}-overview.png", section=SECTIONS[half],
        title=f"{SECTIONS[half]}: all {len(maps)} layers",
        caption="Each layer's channels at one moment as colours: red, green and blue are its first three "
        f"principal components. From {_shape(maps[0].shape)} (channels x frames x height x width of this "
        f"call) to {_shape(maps[-1].shape)}.",
    )  # fmt: skip


def _layer(half: str, index: int, name: str, maps: Maps, folder: Path) -> Picture:
    size = kit.tile_size(*maps.rgb.shape[:2], widest=TILE)
    # Around each channel's mean: a channel that lies far from 0 as a whole would be one colour.
    middles = maps.maps.mean((1, 2))
    limits = np.percentile(np.abs(maps.maps - middles[:, None, None]), TOP, axis=(1, 2)).clip(1e-12)
    painted = [
        kit.resized(kit.coloured(one, middle - limit, middle + limit, "RdBu_r"), size)
        for one, middle, limit in zip(maps.maps, middles, limits, strict=True)
    ]
    columns, wide = min(PER_ROW, len(painted)), 8.0
    width = wide * columns / PER_ROW
    total = kit.labelled_height(width, size, len(painted), columns)
    left = min(3.6, total * size[1] / size[0])
    made = kit.figure(kit.WIDTH, total + 0.5)
    kit.show_labelled(made, [kit.resized(maps.rgb, size)], ["principal components"], (0.3, 0.2, left), 1)
    labels = [
        f"channel {c}: {kit.number(middle)} ± {kit.number(limit)}"
        for c, middle, limit in zip(maps.channels, middles, limits, strict=True)
    ]
    kit.show_labelled(made, painted, labels, (4.2, 0.2, width), columns)
    kit.colour_bar(
        made, (12.25, 0.4, 0.12, total - 0.2), low=-1, high=1, colours="RdBu_r",
        label="from the channel's mean, by its ± limit",
    )  # fmt: skip
    return kit.save(
        made, folder, f"{half}-{index:02d}.png", section=SECTIONS[half], title=f"{index}: {name}",
        caption=f"Output {_shape(maps.shape)}, its last frame. Three components hold {maps.share:.0%} of the "
        f"variance over the picture. The {len(maps.channels)} channels are those that vary most, "
        f"around their means; their colours end at {TOP} % of the points.",
    )  # fmt: skip


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
