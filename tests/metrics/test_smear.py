"""Smear on pictures whose answer is known."""

from functools import partial

import cv2
import numpy as np
import pytest

from cogexp.metrics.artifacts.detect import DETECTORS
from cogexp.metrics.artifacts.rows import row_steps, sampled
from cogexp.metrics.artifacts.smear import column_texture
from tests import faults
from tests.metrics.clips import finding_of, rich_pan

Y0, T = 246, 9
ALL = np.ones(T, bool)


found = partial(finding_of, "smear")


@pytest.fixture(scope="module")
def soft() -> np.ndarray:
    """A blurred clip: neighbouring rows differ little anyway."""
    return np.stack([cv2.GaussianBlur(frame, (0, 0), 2) for frame in rich_pan(T)])


@pytest.mark.parametrize("stretch", [False, True])
def test_a_smear_in_a_blurred_clip_is_found_with_its_row(soft, stretch):
    finding = found(faults.compressed(faults.smear(soft, ALL, Y0, stretch), 23))
    assert finding.raw > DETECTORS["smear"].certain
    assert abs(finding.rows[0] - Y0) <= 4
    assert finding.rows[1] == 287


def test_blur_alone_is_no_smear(soft):
    assert found(faults.compressed(soft, 23)).raw < DETECTORS["smear"].usual


def test_a_smear_in_some_frames_of_a_long_clip_names_those(soft):
    long = np.concatenate([soft, soft[::-1], soft])
    hit = (np.arange(27) >= 9) & (np.arange(27) < 20)
    assert set(found(faults.smear(long, hit, Y0, False)).frames) == set(sampled(27, 12)) & set(range(9, 20))


def test_rows_are_compared_at_a_distance_and_not_across_frames():
    luma = (np.arange(10, dtype=np.uint8) ** 2)[None, :, None].repeat(4, axis=2).repeat(2, axis=0)
    assert row_steps(luma)[1].tolist() == [0, *(2 * y - 1 for y in range(1, 10))]
    assert row_steps(luma, 2)[1].tolist() == [0, 0, *(4 * y - 4 for y in range(2, 10))]


def test_texture_along_a_row_leaves_out_its_first_pixel():
    luma = np.array([[[0, 2, 2, 8], [100, 100, 100, 100], [9, 0, 9, 0]]], np.uint8)
    assert column_texture(luma)[0] == pytest.approx([8 / 3, 0, 9])
