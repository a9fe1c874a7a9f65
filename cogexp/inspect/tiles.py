"""Where the tiles of a tiled decode lie at a setting, and which pixels each of them decides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cogexp import tiles
from cogexp.inspect.modules import build_meta
from cogexp.spec import RunSpec
from cogexp.tiles import SCALE, Tile

__all__ = ["Tile", "TileMap", "tile_map"]

MANY = 6  # tiles of one size that are not worth a list


@dataclass(frozen=True, kw_only=True)
class TileMap:
    """Tiles at a size: down the rows and across the columns; `full` is the size of a full one in latents.
    `edge`: of that size only."""

    rows: tuple[Tile, ...]
    columns: tuple[Tile, ...]
    full: tuple[int, int]
    edge: bool = False

    @property
    def name(self) -> str:
        """What kind they are."""
        return "edge-aligned decode tiles" if self.edge else "default decode tiles"

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
    """The tiles that `enable_tiling()` with its defaults makes at this setting; with vae_tiling=edge ours."""
    from cogexp.engine.decode import grid_of  # diffusers: not before there is something to inspect

    grid = grid_of(build_meta("vae", spec))
    edge, size = spec.optimization.vae_tiling == "edge", spec.resolution
    laid = tiles.layout("edge" if edge else True, size.height, size.width, grid)
    high, wide = tiles.edge_tile(size.height, size.width, grid) if edge else grid.tile
    full = (high // SCALE, wide // SCALE)
    return TileMap(rows=laid.rows, columns=laid.columns, full=full, edge=edge)


def _axis_line(name: str, tiles: tuple[Tile, ...], full: int) -> str:
    """'rows: 0-199 one tile, 200-239 blended, 240-287 only the last tile (it sees 11 of 30 latent rows)'."""
    if len(tiles) == 1:
        return f"{name}: one tile, nothing meets"
    if len(tiles) > MANY and all(tile.latents == full for tile in tiles):
        shared = [tile.alone - tile.blend for tile in tiles[1:]]
        size = tiles[0].end - tiles[0].start
        return f"{name}: {len(tiles)} tiles of {size} px, blended over {min(shared)} to {max(shared)} px"
    parts = [f"0-{tiles[0].until - 1} one tile"]
    for tile in tiles[1:]:
        which = "last" if tile is tiles[-1] else "next"
        parts.append(f"{tile.blend}-{tile.alone - 1} blended")
        if tile.until > tile.alone:
            parts.append(f"{tile.alone}-{tile.until - 1} only the {which} tile")
        if tile.latents < full:
            parts[-1] += f" (it sees {tile.latents} of {full} latent {name})"
    return f"{name}: {', '.join(parts)}"
