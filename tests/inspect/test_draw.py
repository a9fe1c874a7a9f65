"""Heat, tiles and names of the atlas's pictures."""

from __future__ import annotations

import numpy as np
import pytest

from cogexp.inspect.draw import attention, heat, kit


def test_a_map_that_differs_by_rounding_alone_does_not_glow() -> None:
    frame = np.full((60, 80, 3), 128, np.uint8)
    flat = 0.5 + 1e-8 * np.random.default_rng(0).standard_normal((6, 8))
    assert np.ptp(heat.overlay(frame, flat, *heat.ends(flat)).astype(int)) <= 1


def test_heat_glows_where_it_is_and_nowhere_else() -> None:
    frame = np.full((60, 80, 3), 128, np.uint8)
    hot = np.zeros((6, 8))
    hot[1, 2] = 1.0
    made = heat.overlay(frame, hot, 0.0, 1.0).astype(int)
    assert made[15, 25].sum() > 2 * made[50, 70].sum()
    assert np.unravel_index(made.sum(2).argmax(), (60, 80)) == pytest.approx((15, 25), abs=6)
    assert np.ptp(made[50, 70]) == 0  # the frame stays grey


def test_blocks_are_grouped_in_order() -> None:
    assert attention.block_groups(tuple(range(8))) == [(0, 1), (2, 3), (4, 5), (6, 7)]
    assert attention.block_groups((0, 20, 41)) == [(0,), (20,), (41,)]


def test_tiles_lie_where_they_should() -> None:
    tiles = np.zeros((2, 3, 4, 5, 3), np.uint8)
    tiles[1, 2] = 200
    made = kit.canvas(tiles, above=10)
    assert made.shape == (2 * (4 + kit.GAP + 10) - kit.GAP, 3 * (5 + kit.GAP) - kit.GAP, 3)
    assert (made[-4:, -5:] == 200).all()
    assert (made == 200).sum() == 60


@pytest.mark.parametrize(("text", "name"), [("Wolf's", "wolf-s"), ("늑대", "ub291ub300"), ("../..", "word")])
def test_names_of_files_are_harmless(text: str, name: str) -> None:
    assert kit.slug(text) == name
