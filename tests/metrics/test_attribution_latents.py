"""Scenes decoded by the embedded VAE with and without tiles: whose seam it is."""

import pytest

from cogexp.metrics.evaluate import auc
from tests.metrics.latents import Verdicts, verdicts


@pytest.fixture(scope="module")
def scenes() -> list[Verdicts]:
    return [verdicts(384, 256, 1, seed, faults) for seed, faults in ((0, ["noise"]), (1, []))]


def test_the_score_tells_tiled_from_whole(scenes):
    assert auc([v.tiled.score for v in scenes], [v.whole.score for v in scenes]) >= 0.98
    assert all(v.tiled.cause == "decoder" for v in scenes)
    assert all(v.whole.cause != "decoder" for v in scenes)


def test_noise_in_the_latents_is_not_the_decoders(scenes):
    assert scenes[0].faults["noise"].cause != "decoder"
