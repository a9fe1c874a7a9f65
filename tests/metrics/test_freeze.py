"""Freeze: repeated frames of a video, not the held pictures of a slide show."""

import numpy as np
import pytest

from cogexp.metrics.artifacts.detect import DETECTORS
from cogexp.metrics.artifacts.evidence import Evidence
from cogexp.metrics.artifacts.freeze import find_freeze, lengths, shift
from tests import faults
from tests.metrics.clips import pan, texture

T = 13
FREEZE = DETECTORS["freeze"]


def raw(clip: np.ndarray) -> float:
    return find_freeze(Evidence(frames=clip)).raw


def slides(holds: tuple[int, ...]) -> np.ndarray:
    return np.concatenate([np.repeat(texture(seed=k, sigma=9)[None], n, axis=0) for k, n in enumerate(holds)])


@pytest.mark.parametrize(
    ("first", "count", "every"), [(1, 2, 0), (4, 5, 0), (11, 2, 0), (0, 0, 2), (0, 0, 4)]
)
def test_a_video_that_repeats_frames_is_frozen(first, count, every):
    assert raw(faults.freeze(pan(3, T), first, count, every)) > FREEZE.certain


def test_a_video_whose_frames_are_all_shown_three_times_is_frozen():
    assert raw(np.repeat(pan(3, T), 3, axis=0)) > FREEZE.certain


@pytest.mark.parametrize("holds", [(4, 4, 5), (1, 3, 2, 3, 4), (2, 1, 3, 2, 5)])
def test_a_slide_show_is_not(holds):
    assert raw(slides(holds)) < FREEZE.suspect


def test_a_film_with_a_cut_that_freezes_is_still_frozen():
    film = np.concatenate([pan(3, 5, seed=1), pan(3, T - 5, seed=2)])
    assert raw(faults.freeze(film, 7, 3)) > FREEZE.certain


@pytest.mark.parametrize(("interval", "phase"), [(5, 0), (5, 3), (6, 2)])
def test_a_converted_rate_is_named_and_is_no_freeze(interval, phase):
    film = pan(3, 40, width=256)
    order = np.cumsum([0, *(i % interval != phase for i in range(39))])
    converted = film[order]
    found = find_freeze(Evidence(frames=converted))
    assert found.raw < FREEZE.suspect
    assert f"every {interval}th frame repeats" in found.note
    frozen = converted.copy()
    at = phase + 2 * interval + 3  # not on the cadence
    frozen[at] = frozen[at - 1]
    assert find_freeze(Evidence(frames=frozen)).raw > FREEZE.certain
    assert find_freeze(Evidence(frames=film)).note == ""


def test_runs_and_shifts():
    assert lengths(np.array([True, True, False, True])).tolist() == [2, 2, 1, 1]
    before, after = (
        texture(seed=3, sigma=20)[:, x : x + 480, 1] for x in (0, 4)
    )  # half a cell: 480 / 64 = 7.5
    assert shift(before, before) == 0
    assert 0.1 < shift(before, after) < 0.6
    assert shift(before, texture(seed=4, sigma=20)[:, :480, 1]) > 1
