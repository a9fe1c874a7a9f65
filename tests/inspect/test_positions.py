"""Positions and decode tiles: known answers, diffusers' own grids, and a decode that shows its tiles."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from cogexp.inspect.modules import build_meta
from cogexp.inspect.positions import positions
from cogexp.inspect.tiles import Tile, tile_map
from cogexp.spec import OptimizationSpec
from tests.inspect.test_shapes import spec_of


def test_5b_stretches_512x288_over_the_trained_range() -> None:
    found = positions(spec_of("cogvideox-5b", 512, 288))
    assert found.kind == "rope"
    assert len(found.rows.used) == 18
    assert round(found.rows.step, 2) == 1.38
    assert round(found.columns.step, 2) == 1.41
    # get_resize_crop_region_for_grid((18, 32), 45, 30) is rows 2..27 and columns 0..45, without the end.
    assert found.rows.used == pytest.approx(np.linspace(2, 27 * 17 / 18, 18), abs=2e-3)
    assert found.columns.used == pytest.approx(np.linspace(0, 45 * 31 / 32, 32), abs=2e-3)
    assert found.frames.used == found.frames.trained == tuple(range(13))
    assert "stretched" in found.rows.verdict


def test_2b_uses_the_top_left_of_the_trained_field() -> None:
    found = positions(spec_of("cogvideox-2b", 512, 288))
    assert found.kind == "sincos"
    assert found.rows.used == tuple(range(18))
    assert found.columns.used == tuple(range(32))
    assert found.rows.trained == tuple(range(30))
    assert found.columns.trained == tuple(range(45))
    assert found.rows.verdict == "the first 18 of 30 trained positions"
    wider = positions(spec_of("cogvideox-2b", 768, 432))
    assert wider.columns.verdict == "3 positions beyond the trained end"


def test_1_5_slices_from_the_origin() -> None:
    found = positions(spec_of("cogvideox-1.5-5b", 768, 432))
    assert found.rows.used == tuple(range(27))
    assert found.columns.used == tuple(range(48))
    assert found.columns.trained == tuple(range(85))
    assert found.frames.used == tuple(range(11))


@pytest.mark.parametrize(
    ("model", "size"), [("cogvideox-5b", (720, 480)), ("cogvideox-5b-i2v", (720, 480)), ("nano", (512, 288))]
)
def test_the_native_size_is_as_trained(model: str, size: tuple[int, int]) -> None:
    for axis in positions(spec_of(model, *size)).axes:
        assert axis.used == axis.trained == tuple(range(len(axis.used)))
        assert axis.verdict == "as trained"


def test_longer_clips_leave_the_trained_time() -> None:
    assert positions(spec_of("cogvideox-5b", 720, 480, frames=65)).frames.verdict == (
        "4 positions beyond the trained end"
    )


def test_a_size_above_the_native_one_squeezes_5b() -> None:
    found = positions(spec_of("cogvideox-5b", 1440, 960))
    assert found.rows.step == pytest.approx(0.5, abs=0.01)
    assert found.rows.verdict == "squeezed, neighbours are 0.50 apart instead of 1"


def test_tiles_at_512x288() -> None:
    found = tile_map(spec_of("cogvideox-5b", 512, 288))
    assert found.rows == (
        Tile(start=0, end=240, blend=0, alone=0, until=200),
        Tile(start=200, end=288, blend=200, alone=240, until=288),
    )
    assert found.rows[1].latents == 11
    assert [(t.blend, t.alone, t.until) for t in found.columns[1:]] == [(288, 360, 512)]
    assert "200-239 blended, 240-287 only the last tile (it sees 11 of 30 latent rows)" in found.describe()[0]


def test_one_tile_when_it_covers_the_picture() -> None:
    found = tile_map(spec_of("nano", 256, 144))
    assert len(found.rows) == len(found.columns) == 1
    assert found.describe()[0] == "rows: one tile, nothing meets"


def test_edge_tiles_have_no_thin_one() -> None:
    spec = spec_of("cogvideox-5b", 512, 288)
    edge = OptimizationSpec(vae_tiling="edge")
    found = tile_map(replace(spec, optimization=edge))
    assert found.describe() == [
        "rows: one tile, nothing meets",
        "columns: 0-215 one tile, 216-295 blended, 296-511 only the last tile",
    ]
    large = tile_map(replace(spec_of("cogvideox-1.5-5b", 1360, 768), optimization=edge))
    assert large.describe()[1] == "columns: 16 tiles of 112 px, blended over 24 to 32 px"


class _ShowsItsTile(torch.nn.Module):
    """Decodes a tile to the number of its first latent row (or column), everywhere."""

    def forward(self, z: torch.Tensor, conv_cache: Any = None) -> tuple[torch.Tensor, None]:
        batch, _, frames, height, width = z.shape
        return torch.full((batch, 3, frames, height * 8, width * 8), float(z.flatten()[0])), None


@pytest.mark.parametrize("size", [(512, 288), (720, 480), (768, 432), (416, 256), (720, 208), (1360, 768)])
@pytest.mark.parametrize("axis", ["rows", "columns"])
def test_the_real_tiled_decode_has_these_tiles(size: tuple[int, int], axis: str) -> None:
    spec = spec_of("cogvideox-2b", *size)
    vae = build_meta("vae", spec)
    vae.decoder = _ShowsItsTile()
    vae.enable_tiling()
    height, width = size[1] // 8, size[0] // 8
    ramp = torch.arange(height)[:, None] if axis == "rows" else torch.arange(width)[None, :]
    z = ramp.float().expand(height, width)[None, None, None].repeat(1, 16, 1, 1, 1)
    decoded = vae.decode(z).sample[0, 0, 0]
    assert decoded.shape == (size[1], size[0])
    line = decoded[:, 0] if axis == "rows" else decoded[0, :]
    tiles = getattr(tile_map(spec), axis)
    assert tiles[-1].until == len(line)
    for before, tile in zip((None, *tiles), tiles, strict=False):
        assert (line[tile.alone : tile.until] == tile.start / 8).all()
        if before is not None:
            mixed = line[tile.blend + 1 : tile.alone]
            assert ((mixed > before.start / 8) & (mixed < tile.start / 8)).all()
