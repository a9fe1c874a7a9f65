"""Flicker: what is taken back counts, a light in the scene and a cut count little but never nothing."""

import numpy as np
import pytest

from cogexp.metrics.artifacts.detect import DETECTORS
from cogexp.metrics.artifacts.evidence import Evidence
from cogexp.metrics.artifacts.flicker import LIGHT_COUNTS, UNEVEN_COUNTS, find_flicker, reversals, weights
from tests import faults
from tests.metrics.clips import shipped

T = 13


@pytest.fixture(scope="module")
def bunny() -> np.ndarray:
    return shipped("bigbuckbunny", T, (512, 288))


def raw(clip: np.ndarray) -> float:
    return find_flicker(Evidence(frames=clip)).raw


def spiked(clip: np.ndarray, gain: float) -> np.ndarray:
    gains = np.ones(T)
    gains[6] = gain
    return faults.flicker(clip, gains)


def test_the_size_of_a_flicker_is_what_is_said(bunny):
    assert raw(spiked(bunny, 1.06)) == pytest.approx(100 * np.log(1.06), rel=0.25)


def test_lightning_ranks_below_a_slight_flicker(bunny):
    dark = (bunny * 0.4).astype(np.uint8)
    lightning = spiked(dark, 2.2)
    assert raw(lightning) < raw(spiked(dark, 1.12))
    assert raw(lightning) > 0


def test_a_fade_is_no_flicker(bunny):
    assert raw(faults.flicker(bunny, np.linspace(1, 0.4, T))) < DETECTORS["flicker"].suspect / 2


def test_weights_of_cuts_and_of_light():
    change, spread = np.array([0.01, 0.8, 0.01, 0.0, 0.0, 0.0, 0.1]), np.array([0.01] * 6 + [0.4])
    assert weights(change, spread) == pytest.approx([LIGHT_COUNTS] * 4 + [1, 1, UNEVEN_COUNTS])


def test_a_lamp_that_lights_a_part_of_the_picture_is_no_flicker(bunny):
    """It brightens what is near to it by much and what is far by little, in one frame."""
    shade = np.linspace(1.0, 0.0, bunny.shape[2])[None, :, None] ** 2
    lamp = (bunny * 0.6).astype(np.uint8)
    lamp[6] = (lamp[6] * (1 + 0.6 * shade)).astype(np.uint8)
    assert raw(lamp) < DETECTORS["flicker"].suspect
    assert raw(spiked(lamp, 1.06)) > DETECTORS["flicker"].suspect


def test_less_is_said_where_less_is_taken_back():
    even = np.zeros(3)
    whole, part, little = (reversals(np.array([0.2, -back, 0.0]), even)[0] for back in (0.2, 0.05, 0.02))
    assert whole == pytest.approx(0.2)
    assert part == pytest.approx(0.05)
    assert 0 < little < 0.02 / 8
