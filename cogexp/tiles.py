"""Where the tiles of a tiled VAE decode lie. One place for everyone: engine, planner, detectors, inspection.

Two kinds. `True` is diffusers' own `tiled_decode`: tiles begin every `tile * (1 - overlap)` latent rows and
each is blended into the one before; the last one is whatever is left, often thin, and a thin tile has other
group-norm statistics than the rest: that is the seam near the bottom edge. "edge" has tiles of one size
only: the first begins at one edge of the frame, the last ends at the other, those between are spread evenly,
and neighbours overlap by at least the share that was asked for. They have the area of a default tile and, as
long as that leaves them wide enough, the height of the frame: sky and ground are in every one of them, so
their statistics are much like the frame's, and there is no row at which tiles meet.

Rows and columns are pixels of the native frame, unless "latents" is said.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

SCALE = 8  # pixels a latent row or column


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Size of a tile (height, width) in pixels, and the least share of it that neighbours have in common."""

    tile: tuple[int, int]
    overlap: tuple[float, float]


# What `enable_tiling()` makes of a VAE for 720x480, as all of CogVideoX have it.
DEFAULT = Grid(tile=(240, 360), overlap=(1 / 6, 1 / 5))
# Share of a default tile's width that edge tiles keep at least, 108 px: frames of up to 768 rows, every
# landscape size that CogVideoX is trained for, have tiles of their whole height (1360x768: 112 px wide).
NARROWEST = 0.3


@dataclass(frozen=True, kw_only=True)
class Tile:
    """One tile on one axis. `start:end` is what it decodes, `blend:alone` is mixed with the tiles before,
    `alone:until` comes from this tile only."""

    start: int
    end: int
    blend: int
    alone: int
    until: int

    @property
    def latents(self) -> int:
        """Latent rows or columns that the tile sees; few of them make other statistics than the rest."""
        return (self.end - self.start) // SCALE


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Tiles down the rows and across the columns; one of each when the frame is decoded whole."""

    rows: tuple[Tile, ...]
    columns: tuple[Tile, ...]

    @property
    def tiled(self) -> bool:
        """False when one tile covers the frame."""
        return len(self.rows) * len(self.columns) > 1

    @property
    def largest(self) -> tuple[int, int]:
        """Height and width of the largest tile, in pixels."""
        high, wide = (max(t.end - t.start for t in axis) for axis in (self.rows, self.columns))
        return high, wide

    @property
    def said(self) -> str:
        """In words: how many tiles, and how large the largest one is."""
        if not self.tiled:
            return "no effect: one tile covers the frame, which is decoded whole"
        high, wide = self.largest
        return f"{len(self.rows) * len(self.columns)} tiles of {wide}x{high} px at most"

    @property
    def lines(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Rows and columns at which a tile begins inside the frame."""
        return tuple(tile.start for tile in self.rows[1:]), tuple(tile.start for tile in self.columns[1:])

    @property
    def decoded_pixels(self) -> int:
        """Pixels that are decoded in all; overlaps count as often as they are decoded."""
        high, wide = (sum(t.end - t.start for t in axis) for axis in (self.rows, self.columns))
        return high * wide

    @property
    def tile_pixels(self) -> int:
        """Pixels of the largest tile: what decides the memory."""
        return math.prod(self.largest)


def layout(kind: bool | str, height: int, width: int, grid: Grid = DEFAULT) -> Layout:
    """The tiles of a frame with `optimization.vae_tiling` = `kind` (False, True, "edge")."""
    sides = (height, width)
    if not kind or all(side // SCALE <= tile // SCALE for side, tile in zip(sides, grid.tile, strict=True)):
        return Layout(rows=(_whole(height),), columns=(_whole(width),))
    size = edge_tile(height, width, grid) if kind == "edge" else grid.tile
    along = _edge_tiles if kind == "edge" else _default_tiles
    rows, columns = (along(*each) for each in zip(sides, size, grid.overlap, strict=True))
    return Layout(rows=rows, columns=columns)


@functools.lru_cache(maxsize=256)
def edge_tile(height: int, width: int, grid: Grid = DEFAULT) -> tuple[int, int]:
    """Height and width of the tiles of "edge", in pixels: as tall as the area of the grid's tile and
    NARROWEST of its width allow. A frame that is taller has as few rows of them as can be.
    """
    area, least = math.prod(grid.tile) // SCALE**2, NARROWEST * grid.tile[1] / SCALE
    rows, columns = height // SCALE, width // SCALE
    high = rows
    for parts in range(1, rows + 1):
        high = next(
            high
            for high in range(-(-rows // parts), rows + 1)
            if len(edge_starts(rows, high, _shared(high, grid.overlap[0]))) <= parts
        )
        if area // high >= min(least, columns):
            break
    return SCALE * high, SCALE * min(area // high, columns)


def edge_starts(side: int, tile: int, overlap: int) -> list[int]:
    """First latents of the fewest tiles of `tile` latents over `side`, neighbours sharing >= `overlap`."""
    if tile >= side:
        return [0]
    gaps = -(-(side - tile) // max(tile - overlap, 1))
    return [round(index * (side - tile) / gaps) for index in range(gaps + 1)]


@functools.lru_cache(maxsize=256)
def weights(tiles: tuple[Tile, ...]) -> tuple[tuple[float, ...], ...]:
    """Blending weights of each tile at its own rows: ramps over what it shares with its neighbours, none at
    the edges of the frame; at every row of the frame they add up to 1."""
    total = [0.0] * max(tile.end for tile in tiles)
    ramps = []
    for index, tile in enumerate(tiles):
        size = tile.end - tile.start
        front = tiles[index - 1].end - tile.start if index else 0
        back = tile.end - tiles[index + 1].start if index + 1 < len(tiles) else 0
        ramp = [
            min(1.0, (at + 0.5) / front if front else 1.0, (size - at - 0.5) / back if back else 1.0)
            for at in range(size)
        ]
        ramps.append(ramp)
        for at, value in enumerate(ramp, tile.start):
            total[at] += value
    return tuple(
        tuple(value / total[at] for at, value in enumerate(ramp, tile.start))
        for ramp, tile in zip(ramps, tiles, strict=True)
    )


def _shared(tile: int, overlap: float) -> int:
    """Latents that neighbours have in common at least."""
    return math.ceil(round(tile * overlap, 6))


def _whole(side: int) -> Tile:
    return Tile(start=0, end=side, blend=0, alone=0, until=side)


def _edge_tiles(side: int, tile_px: int, overlap: float) -> tuple[Tile, ...]:
    tile = tile_px // SCALE
    starts = [SCALE * start for start in edge_starts(side // SCALE, tile, _shared(tile, overlap))]
    size = min(SCALE * tile, side)
    made: list[Tile] = []
    for index, start in enumerate(starts):
        until = starts[index + 1] if index + 1 < len(starts) else side
        alone = min(made[-1].end, until) if made else start
        made.append(Tile(start=start, end=start + size, blend=start, alone=alone, until=until))
    return tuple(made)


def _default_tiles(side: int, tile_px: int, overlap: float) -> tuple[Tile, ...]:
    """In the integer arithmetic of `AutoencoderKLCogVideoX.tiled_decode`."""
    latents, tile, extent = side // SCALE, tile_px // SCALE, int(tile_px * overlap)
    limit = tile_px - extent
    made: list[Tile] = []
    for index, first in enumerate(range(0, latents, int(tile * (1 - overlap)))):
        last = min(first + tile, latents)
        begin, size = index * limit, (last - first) * SCALE
        before = made[-1].end - made[-1].start if made else 0
        mixed = min(extent, size, before)
        until = begin + min(limit, size)
        made.append(
            Tile(
                start=first * SCALE,
                end=last * SCALE,
                blend=begin,
                alone=min(begin + mixed, until),
                until=until,
            )
        )
    return tuple(made)
