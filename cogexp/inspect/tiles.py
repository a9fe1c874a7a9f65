"""Where the tiles of a tiled decode lie, and which pixels each of them decides.

Follows `AutoencoderKLCogVideoX.tiled_decode` (diffusers): tiles start every `tile * (1 - overlap)` latent
rows, each is blended into the one before over `tile_px * overlap` rows, the last one is whatever is left.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cogexp.inspect.modules import build_meta
from cogexp.spec import RunSpec

SCALE = 8  # pixels a latent row or column


@dataclass(frozen=True, kw_only=True)
class Tile:
    """One tile on one axis, px. `start:end` is what it decodes, `blend:alone` is mixed with the tile before,
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
class TileMap:
    """Default tiling at a size: the tiles down the rows and across the columns."""

    rows: tuple[Tile, ...]
    columns: tuple[Tile, ...]
    full: tuple[int, int]

    def describe(self) -> list[str]:
        """A line for each axis, for people."""
        return [
            _axis_line(name, tiles, full)
            for name, tiles, full in (
                ("rows", self.rows, self.full[0]),
                ("columns", self.columns, self.full[1]),
            )
        ]

    def plain(self) -> dict[str, Any]:
        """For JSON: [start, end, blend, alone, until] px of each tile."""
        return {
            name: [[t.start, t.end, t.blend, t.alone, t.until] for t in tiles]
            for name, tiles in (("rows", self.rows), ("columns", self.columns))
        }


def tile_map(spec: RunSpec) -> TileMap:
    """The tiles that `enable_tiling()` with its defaults makes at this setting."""
    vae = build_meta("vae", spec)
    height, width = spec.resolution.height, spec.resolution.width
    tall = (vae.tile_latent_min_height, vae.tile_sample_min_height, vae.tile_overlap_factor_height)
    wide = (vae.tile_latent_min_width, vae.tile_sample_min_width, vae.tile_overlap_factor_width)
    if height // SCALE <= tall[0] and width // SCALE <= wide[0]:
        whole = tuple((Tile(start=0, end=side, blend=0, alone=0, until=side),) for side in (height, width))
        return TileMap(rows=whole[0], columns=whole[1], full=(tall[0], wide[0]))
    return TileMap(rows=_tiles(height, *tall), columns=_tiles(width, *wide), full=(tall[0], wide[0]))


def _tiles(side: int, tile: int, tile_px: int, overlap: float) -> tuple[Tile, ...]:
    """Tiles along an axis of `side` px, in diffusers' own integer arithmetic."""
    latents, extent = side // SCALE, int(tile_px * overlap)
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


def _axis_line(name: str, tiles: tuple[Tile, ...], full: int) -> str:
    """'rows: 0-199 one tile, 200-239 blended, 240-287 only the last tile (it sees 11 of 30 latent rows)'."""
    if len(tiles) == 1:
        return f"{name}: one tile, nothing meets"
    parts = [f"0-{tiles[0].until - 1} one tile"]
    for tile in tiles[1:]:
        which = "last" if tile is tiles[-1] else "next"
        parts.append(f"{tile.blend}-{tile.alone - 1} blended")
        if tile.until > tile.alone:
            parts.append(f"{tile.alone}-{tile.until - 1} only the {which} tile")
        if tile.latents < full:
            parts[-1] += f" (it sees {tile.latents} of {full} latent {name})"
    return f"{name}: {', '.join(parts)}"
