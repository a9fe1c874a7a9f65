"""The same clip at another size gets the same value: the tolerances that docs/metrics.md states."""

import pytest

from cogexp.metrics import measure
from tests.metrics.clips import resized, shipped

NAMES = ["temporal_flickering", "warp_error", "motion_px"]
SIZES = {"352x192": (352, 192), "720x480": (720, 480), "x2": (1024, 576), "x4": (2048, 1152)}


@pytest.fixture(scope="module", params=["bigbuckbunny", "bikes"])
def native(request):
    frames = shipped(request.param, 5, (512, 288))
    return frames, measure(frames, 8, None, NAMES).scores


@pytest.mark.parametrize("size", SIZES)
def test_size_does_not_move_a_metric(native, size):
    frames, expected = native
    scores = measure(resized(frames, *SIZES[size]), 8, None, NAMES).scores
    assert scores["temporal_flickering"] == pytest.approx(expected["temporal_flickering"], abs=0.002)
    assert scores["warp_error"] == pytest.approx(expected["warp_error"], rel=0.08)
    assert scores["motion_px"] == pytest.approx(expected["motion_px"], rel=0.05)
