"""What crosses a seam: panned over it the picture changes; a still, a fade, a cut and a bar say nothing."""

import numpy as np
import pytest

from cogexp.metrics.artifacts.crossing import RAMPS, ROWS, STRIPS, crossings, over_ramps, pairs
from cogexp.metrics.artifacts.detect import DETECTORS
from cogexp.metrics.artifacts.evidence import Evidence
from cogexp.metrics.artifacts.seam_rows import EDGE, find_seam, likelihood, moving_signs
from tests import faults
from tests.metrics.clips import pan
from tests.metrics.edits import cut, fade, letterbox

Y0, GAIN, FRAMES = 200, 1.12, 13
RAMP_OF = {0: 0, 16: 1, 40: 2}  # blend in px -> the ramp that fits


@pytest.fixture(scope="module")
def clip() -> np.ndarray:
    """The camera passes downwards over a texture, 2 px a frame."""
    sideways = pan(2, FRAMES, width=288, height=512)
    return np.ascontiguousarray(sideways.transpose(0, 2, 1, 3))


def seamed(clip: np.ndarray, blend: int, gain: float = GAIN) -> np.ndarray:
    return faults.seam(clip, Y0, blend, gain, (0, 0, 0), 1)


def best(clip: np.ndarray) -> float:
    """The largest sign of what moves."""
    return max(float(sign[EDGE:-EDGE].max()) for sign in moving_signs(crossings(clip)))


@pytest.mark.parametrize("blend", [0, 16, 40])
@pytest.mark.parametrize("gain", [GAIN, 0.88])
def test_a_pan_over_a_seam_shows_its_gain_at_its_row(clip, blend, gain):
    found = crossings(seamed(clip, blend, gain))
    ratio, gains = likelihood(found.change[RAMP_OF[blend]], found.weight[RAMP_OF[blend]])
    row = int(np.argmax(ratio[EDGE:-EDGE])) + EDGE
    assert abs(2 * row - Y0) <= 6
    assert ratio[row] > 4
    # Dark levels are raised before the logarithm, so a little less than the gain is left.
    assert 0.6 < gains[row] / np.log(gain) < 1.1


def test_without_a_seam_the_same_pan_is_quiet(clip):
    assert best(clip) < 0.5
    assert best(seamed(clip, 40)) > 1.5


def test_a_still_says_nothing_though_it_has_a_seam(clip):
    still = np.repeat(seamed(clip, 0)[:1], FRAMES, axis=0)
    found = crossings(still)
    assert not found.weight.any()
    assert best(still) <= 0.0


def test_a_pan_to_the_side_says_nothing_of_rows(clip):
    sideways = pan(3, FRAMES)
    assert best(seamed(sideways, 40)) < 1.0


@pytest.mark.parametrize("edit", [fade, cut])
def test_fades_and_cuts_are_no_evidence(clip, edit):
    assert best(edit(clip)) < 1.0


@pytest.mark.parametrize("edit", [fade, cut, letterbox])
def test_edits_are_not_taken_for_a_seam(clip, edit):
    assert find_seam(Evidence(frames=edit(clip))).raw < DETECTORS["seam"].suspect


def test_one_frame_has_nothing_to_compare(clip):
    found = crossings(clip[:1])
    assert found.change.shape == found.weight.shape == (len(RAMPS), STRIPS, ROWS)
    assert not found.weight.any()


def test_frames_are_the_farther_apart_the_less_moves():
    assert pairs(12, 10.0) == [(0, 1), (6, 1), (11, 1)]
    assert {lag for _, lag in pairs(12, 2.0)} == {5}
    assert {lag for _, lag in pairs(12, 0.0)} == {8}
    assert pairs(1, 0.0) == [(0, 1)]


def test_sums_over_ramps_are_those_of_their_definition():
    rng = np.random.default_rng(0)
    upper = rng.integers(30, 100, 400)
    lower = np.minimum(upper + rng.integers(0, 25, 400), ROWS - 1)
    change = rng.normal(0, 0.1, 400)
    moved, changed = np.zeros((ROWS, ROWS)), np.zeros((ROWS, ROWS))
    np.add.at(moved, (upper, lower), 1.0)
    np.add.at(changed, (upper, lower), change)
    sums, weights = over_ramps(moved, changed)
    for k, rows in enumerate(RAMPS):
        y0 = 70
        ramp = np.mean([np.arange(ROWS) >= y0 - rows // 2 + i for i in range(rows)], axis=0)
        d = ramp[lower] - ramp[upper]
        assert sums[k, y0] == pytest.approx(float((change * d).sum()), rel=1e-4)
        assert weights[k, y0] == pytest.approx(float((d * d).sum()), rel=1e-4)


def test_a_blended_seam_is_found_in_its_rows_where_the_picture_moves(clip):
    without, found = (find_seam(Evidence(frames=frames)) for frames in (clip, seamed(clip, 40)))
    assert found.rows is not None
    assert abs(found.rows[0] - Y0) <= 20
    assert found.raw > without.raw + 2
    assert len(found.profile) == clip.shape[1]
    assert int(np.argmax(found.profile)) in (found.rows[0] - 1, found.rows[0], found.rows[0] + 1)


def test_a_small_picture_and_a_single_frame_are_judged_or_passed_over():
    assert find_seam(Evidence(frames=pan(1, 4, width=96, height=48))).raw == 0.0
    assert np.isfinite(find_seam(Evidence(frames=pan(1, 1, width=96, height=72))).raw)
    assert np.isfinite(find_seam(Evidence(frames=pan(1, 4, width=150, height=333))).raw)
