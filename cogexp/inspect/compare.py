"""Two sizes of one model side by side: what differs in tables, positions and decode tiles."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from cogexp.catalog import VARIANTS, size_problem
from cogexp.inspect.positions import Positions, positions
from cogexp.inspect.row import PARTS, Row, of_part, tflops
from cogexp.inspect.shapes import shapes, tokens
from cogexp.inspect.tiles import TileMap, tile_map
from cogexp.spec import ResolutionSpec, RunSpec, SpecError


@dataclass(frozen=True, kw_only=True)
class View:
    """One setting as it is looked at: table, positions and tiles."""

    spec: RunSpec
    rows: list[Row]
    positions: Positions
    tiles: TileMap

    @property
    def size(self) -> str:
        """'512x288'."""
        return self.spec.resolution.name

    @property
    def video_tokens(self) -> int:
        """Video tokens that the transformer sees."""
        return tokens(self.rows)[1]

    def part_tflops(self, part: str) -> float:
        """TFLOP of one pass of a part at batch 1."""
        return tflops(of_part(self.rows, part))

    def plain(self) -> dict[str, Any]:
        """For JSON, without the rows."""
        text, video = tokens(self.rows)
        return {
            "width": self.spec.resolution.width,
            "height": self.spec.resolution.height,
            "frames": self.spec.resolution.frames,
            "tokens": {"text": text, "video": video},
            "tflops": {part: round(self.part_tflops(part), 4) for part in PARTS},
            "positions": {"kind": self.positions.kind}
            | {axis.name: axis.plain() for axis in self.positions.axes},
            "tiles": self.tiles.plain(),
        }


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """`this` is the setting that was asked for, `other` is what it is held against."""

    this: View
    other: View

    def differing(self) -> list[tuple[Row, Row]]:
        """Rows whose shapes differ, each with its counterpart."""
        return [
            pair
            for pair in self._pairs()
            if (pair[0].input, pair[0].output) != (pair[1].input, pair[1].output)
        ]

    def same(self) -> int:
        """How many rows are the same in both."""
        return len(self.this.rows) - len(self.differing())

    def _pairs(self) -> list[tuple[Row, Row]]:
        return list(zip(self.this.rows, self.other.rows, strict=True))


def at_size(spec: RunSpec, size: tuple[int, int]) -> RunSpec:
    """The same setting at another width and height.

    Raises:
        SpecError: the model cannot run at that size; the key is `against`.
    """
    width, height = size
    try:
        resolution: ResolutionSpec = replace(spec.resolution, width=width, height=height)
    except SpecError as error:
        raise SpecError(f"against={width}x{height}: {error}") from None
    if problem := size_problem(VARIANTS[spec.model.name], width, height):
        raise SpecError(f"against {problem}")
    return replace(spec, resolution=resolution)


def look(spec: RunSpec) -> View:
    """Everything that is compared, for one setting."""
    return View(spec=spec, rows=shapes(spec), positions=positions(spec), tiles=tile_map(spec))


def compare(spec: RunSpec, size: tuple[int, int]) -> Comparison:
    """The setting and the same setting at `size` (width, height)."""
    other = at_size(spec, size)
    return Comparison(this=look(spec), other=look(other))
