"""Tile geometry: known answers, all of 990 combinations, and a picture that comes through tiles unchanged."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from cogexp import tiles
from cogexp.engine import decode

TILES_PX = (64, 80, 96, 112, 128, 144, 160, 192, 240, 256)
OVERLAPS = (0.0, 0.05, 0.1, 1 / 8, 1 / 6, 1 / 5, 1 / 4, 0.3, 1 / 3, 0.4, 0.5)
SIZES = (
    (96, 64),
    (80, 208),
    (128, 128),
    (144, 256),
    (256, 144),
    (176, 272),
    (304, 96),
    (384, 224),
    (512, 288),
)
COMBINATIONS = [(tile, overlap, size) for tile in TILES_PX for overlap in OVERLAPS for size in SIZES]


def test_default_tiles_of_diffusers_at_512x288() -> None:
    laid = tiles.layout(True, 288, 512)
    assert laid.lines == ((200,), (288,))
    assert [tile.latents for tile in laid.rows] == [30, 11]
    assert laid.decoded_pixels == (240 + 88) * (360 + 224)
    assert tiles.layout(True, 480, 720).lines == ((200, 400), (288, 576))


@pytest.mark.parametrize("kind", [False, True, "edge"])
def test_a_frame_that_is_one_tile_is_decoded_whole(kind: bool | str) -> None:
    laid = tiles.layout(kind, 240, 352)
    assert not laid.tiled
    assert laid.lines == ((), ())
    assert laid.tile_pixels == laid.decoded_pixels == 240 * 352
    assert laid.said.startswith("no effect: one tile")


@pytest.mark.parametrize(
    ("size", "tile", "count"),
    [
        ((512, 288), (288, 296), (1, 2)),
        ((720, 480), (480, 176), (1, 5)),
        ((480, 720), (720, 120), (1, 5)),
        ((1360, 768), (768, 112), (1, 16)),
        ((384, 224), (224, 384), (1, 1)),  # as large as one default tile, of which it would have four
        ((1920, 1088), (600, 144), (2, 17)),  # tiles of the whole height would be 72 px wide
    ],
)
def test_edge_tiles_have_the_height_of_the_frame(
    size: tuple[int, int], tile: tuple[int, int], count: tuple[int, int]
) -> None:
    laid = tiles.layout("edge", size[1], size[0])
    assert (len(laid.rows), len(laid.columns)) == count
    assert laid.tile_pixels == tile[0] * tile[1] <= 240 * 360, "no more memory"
    assert tiles.edge_tile(size[1], size[0]) == tile


def test_edge_tiles_at_512x288() -> None:
    laid = tiles.layout("edge", 288, 512)
    assert [(tile.start, tile.end) for tile in laid.rows] == [(0, 288)]
    assert [(tile.start, tile.end) for tile in laid.columns] == [(0, 296), (216, 512)]
    assert laid.lines == ((), (216,))
    assert laid.decoded_pixels == 2 * 296 * 288
    assert laid.said == "2 tiles of 296x288 px at most"


def test_990_combinations() -> None:
    """One size, both edges, the overlap that was asked for, as few as can be, weights that add up to 1; the
    height of the frame unless that makes them narrow, and no more pixels than a tile that was asked for."""
    assert len(COMBINATIONS) == 990
    for tile, overlap, (width, height) in COMBINATIONS:
        grid = tiles.Grid(tile=(tile, tile), overlap=(overlap, overlap))
        laid = tiles.layout("edge", height, width, grid)
        high, wide = tiles.edge_tile(height, width, grid)
        assert laid.tile_pixels == high * wide <= tile**2
        assert high == height or tile**2 // height < max(tiles.NARROWEST * tile, 8) + 8
        assert wide >= min(tiles.NARROWEST * tile, width)
        for side, full, along in ((height, high, laid.rows), (width, wide, laid.columns)):
            assert along[0].start == 0
            assert along[-1].end == along[-1].until == side
            assert {each.end - each.start for each in along} == {full}
            assert all(a.end - b.start >= overlap * full - 1e-6 for a, b in itertools.pairwise(along))
            step = full // 8 - math.ceil(round(full // 8 * overlap, 6))
            assert len(along) == 1 + max(math.ceil((side // 8 - full // 8) / step), 0)
            total = np.zeros(side)
            for each, weights in zip(along, tiles.weights(along), strict=True):
                assert min(weights) >= 0
                total[each.start : each.end] += weights
            np.testing.assert_allclose(total, 1, atol=1e-9)


def test_990_combinations_have_the_right_size_and_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Through a decoder that only enlarges, a tiled picture is the untiled one."""

    def enlarge(vae: Any, z: torch.Tensor, lean: bool) -> Iterator[torch.Tensor]:
        yield z.repeat_interleave(8, dim=3).repeat_interleave(8, dim=4)

    monkeypatch.setattr(decode, "_in_groups", enlarge)
    vae: Any = SimpleNamespace(num_latent_frames_batch_size=2)
    draw = torch.Generator().manual_seed(0)
    pictures = {(w, h): torch.rand(1, 1, 1, h // 8, w // 8, generator=draw) for w, h in SIZES}
    for tile, overlap, (width, height) in COMBINATIONS:
        z = pictures[width, height]
        laid = tiles.layout("edge", height, width, tiles.Grid(tile=(tile, tile), overlap=(overlap, overlap)))
        (made,) = decode._edge(vae, z, laid, lean=False)
        (whole,) = enlarge(vae, z, lean=False)
        assert made.shape == whole.shape == (1, 1, 1, height, width)
        assert (made - whole).abs().max() < 1e-5
