"""Scenes decoded by the embedded VAE with and without tiles at 512x288: whose fault it is.

What holds for any weights of the VAE is held here: how the verdicts compare, not how large a seam is.
"""

import pytest

from tests.metrics.latents import Verdicts, verdicts

SCENES = (0, 3)


@pytest.fixture(scope="module")
def scenes() -> list[Verdicts]:
    return [verdicts(512, 288, 1, seed, ["repeat"]) for seed in SCENES]


def test_every_tiled_decoding_ranks_above_every_whole_one(scenes):
    assert min(v.tiled.score for v in scenes) > max(v.whole.score for v in scenes) + 0.2


def test_what_tiles_change_is_the_decoders_and_lies_where_the_last_tile_is_alone(scenes):
    named = [v.tiled for v in scenes if v.tiled.cause == "decoder"]
    assert named
    for verdict in named:
        assert verdict.rows is None or verdict.rows[0] >= 200
        assert verdict.columns is None or verdict.columns[0] >= 288
        assert verdict.rows or verdict.columns


def test_two_whole_decodings_are_never_the_decoders(scenes):
    assert all(v.whole.cause != "decoder" for v in scenes)
    assert all(max(v.whole.row_profile) < 0.2 for v in scenes)


def test_a_fault_in_the_latents_is_the_denoisers_decoded_whole_and_in_tiles(scenes):
    for v in scenes:
        assert v.faults["repeat"].cause == "denoiser"
        assert v.tiled_faults["repeat"].cause == "denoiser"
