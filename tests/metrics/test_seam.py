"""The seam detector's parts: what steps alike, what goes on across a line, what is too large for a seam."""

import numpy as np
import pytest

from cogexp.metrics.artifacts.seam import SCALE, goes_on, seam_profile, stands_out, steps, surprises
from tests import faults
from tests.metrics.clips import pan, shipped

Y0 = 171


@pytest.fixture(scope="module")
def mean() -> np.ndarray:
    return pan(2, 6).astype(np.float32).mean(0)


@pytest.fixture(scope="module")
def bunny() -> np.ndarray:
    return shipped("bigbuckbunny", 9, (512, 288)).astype(np.float32).mean(0)


def seamed(picture: np.ndarray, **changes: object) -> np.ndarray:
    options = {"place": Y0, "blend": 0, "gain": 1.1, "offset": (0, 0, 0), "axis": 1, **changes}
    return faults.seam(picture[None], **options)[0].astype(np.float32)


def test_a_step_is_the_difference_of_means_and_a_surprise_leaves_slopes_out():
    slope = np.repeat(np.arange(40, dtype=np.float32)[:, None] * 2, 4, axis=1)
    slope[20:] += 10
    assert steps(slope, 1)[10, 0] == pytest.approx(2)
    assert steps(slope, 2)[20, 0] == pytest.approx(10 + 4)
    assert surprises(slope, 1)[20, 0] == pytest.approx(10)
    assert surprises(slope, 1)[10, 0] == pytest.approx(0)


@pytest.mark.parametrize(
    "changes", [{"gain": 0.9}, {"gain": 1.12}, {"gain": 1.0, "offset": (9, 0, -9)}, {"blend": 4}]
)
def test_a_seam_of_brightness_or_hue_is_evidence_at_its_row(bunny, changes):
    without, with_it = (seam_profile(picture, ()) for picture in (bunny, seamed(bunny, **changes)))
    gained = with_it - without
    assert abs(int(np.argmax(gained)) - Y0) <= 2
    assert gained.max() > 0.5


def test_a_step_that_is_large_is_a_thing_in_the_picture(mean):
    seam, shadow = (seam_profile(seamed(mean, gain=gain), ())[Y0] for gain in (0.87, 0.5))
    assert seam > 2
    assert shadow < 0.1


def test_at_the_edge_of_a_plain_bar_the_texture_does_not_go_on(mean):
    barred = mean.copy()
    barred[Y0:] = barred[:Y0].mean()
    level = (SCALE * np.log(barred.mean(2) + 16)).astype(np.float32)
    assert goes_on(level)[Y0] < 0.1
    whole = (SCALE * np.log(mean.mean(2) + 16)).astype(np.float32)
    assert goes_on(whole)[Y0] > 0.8


def test_rows_that_step_alike_are_measured_by_the_clips_own(mean):
    rng = np.random.default_rng(0)
    quiet = rng.normal(0, 0.1, (100, 8)).astype(np.float32)
    quiet[60] += 5
    assert int(np.argmax(stands_out(quiet, 0.2))) == 60
    loud = quiet + rng.normal(0, 1, (100, 1)).astype(np.float32) * 4
    assert stands_out(loud, 0.2)[60] < stands_out(quiet, 0.2)[60]


def test_a_known_boundary_counts_for_more(mean):
    picture = seamed(mean, gain=1.05)
    assert seam_profile(picture, (Y0,))[Y0] > seam_profile(picture, ())[Y0]
