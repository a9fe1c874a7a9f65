"""Decoding the same latents twice: what goes away is the decoder's, what stays the denoiser's."""

import numpy as np
import pytest

from cogexp.metrics.artifacts.attribution import attribute
from tests import faults
from tests.metrics.clips import pan, shipped

HIT = np.ones(5, bool)


@pytest.fixture(scope="module")
def clean() -> np.ndarray:
    return shipped("bikes", 5, (512, 288))


def jitter(clip: np.ndarray) -> np.ndarray:
    """The rounding differences of two decodings."""
    noise = np.random.default_rng(0).integers(-1, 2, clip.shape) * (
        np.random.default_rng(1).random(clip.shape) < 0.2
    )
    return np.clip(clip.astype(int) + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("gain", [1.05, 1.1, 0.9])
def test_a_soft_seam_that_goes_away_is_the_decoders(clean, gain):
    found = attribute(faults.seam(clean, 240, 16, gain, (0, 0, 0), 1), jitter(clean))
    assert found.cause == "decoder"
    assert abs(found.rows[0] - 240) <= 8
    assert found.rows[1] == 287
    assert found.score > 0


def test_a_seam_along_a_column_is_found_by_column(clean):
    found = attribute(faults.seam(clean, 288, 0, 1.1, (0, 0, 0), 2), jitter(clean))
    assert found.cause == "decoder"
    assert abs(found.columns[0] - 288) <= 8
    assert found.rows is None


def test_a_tear_that_stays_is_the_denoisers(clean):
    torn = faults.shear(clean, HIT, 251, 288, np.full(5, 9))
    found = attribute(torn, jitter(torn))
    assert found.cause == "denoiser"
    assert found.rows is None
    assert found.score == 0


def test_two_equal_decodings_without_a_fault_say_nothing(clean):
    found = attribute(clean, jitter(clean))
    assert found.cause == "unknown"
    assert found.rows is None
    assert found.columns is None


def test_the_profile_has_a_value_for_each_latent_row_and_column(clean):
    changed = clean.copy()
    changed[:, 80:88] = np.clip(changed[:, 80:88].astype(int) + 20, 0, 255)
    found = attribute(changed, clean)
    assert len(found.row_profile) == 36
    assert len(found.column_profile) == 64
    assert int(np.argmax(found.row_profile)) == 10
    assert found.rows == (80, 87)


def test_other_sizes_are_refused():
    with pytest.raises(ValueError, match="one size"):
        attribute(pan(0, frames=2), pan(0, frames=3))
