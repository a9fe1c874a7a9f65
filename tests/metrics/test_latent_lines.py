"""Lines in the latents of rendered scenes, encoded by the embedded VAE: what a denoiser may leave."""

import numpy as np
import pytest

from cogexp.metrics.artifacts.attribution import attribute
from cogexp.metrics.artifacts.latent_lines import shift_gain, torn_rows
from tests.metrics.clips import pan
from tests.metrics.latents import FAULTS, encoded

SEEDS = (0, 3, 5)


@pytest.fixture(scope="module")
def scenes():
    return [encoded(512, 288, 1, seed) for seed in SEEDS]


def rows_of(latents):
    return torn_rows(latents[0].numpy())


def test_clean_latents_have_no_line(scenes):
    assert [rows_of(latents) for latents in scenes] == [None] * len(SEEDS)


def test_a_shear_and_a_smear_are_found_at_their_latent_row(scenes):
    for latents in scenes:
        assert rows_of(FAULTS["shear"](latents)) == (8 * 27, 287)
        first, last = rows_of(FAULTS["smear"](latents))
        assert abs(first - 8 * 30) <= 8
        assert last == 287


def test_a_slanted_line_is_no_shear():
    slanted = np.stack([np.roll(np.eye(1, 32, 10)[0], y) for y in range(16)])[None, None]
    assert shift_gain(slanted.astype(np.float32)).max() <= 0


def test_small_latents_say_nothing():
    assert torn_rows(np.zeros((1, 16, 4, 4), np.float32)) is None


def test_a_torn_latent_is_the_denoisers_whatever_the_pictures_say(scenes):
    clip = pan(1, 2)
    torn = FAULTS["shear"](scenes[0])[0].numpy()
    found = attribute(clip, clip, latents=torn)
    assert found.cause == "denoiser"
    assert found.latent_rows == (216, 287)
    assert attribute(clip, clip, latents=scenes[0][0].numpy()).cause == "unknown"
