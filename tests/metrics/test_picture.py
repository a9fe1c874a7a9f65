"""tear.png: the marked frame, the evidence beside it, the place enlarged."""

import numpy as np
import pytest

from cogexp.metrics import EvalClip
from cogexp.metrics.artifacts.detect import detect
from cogexp.metrics.artifacts.picture import BAR, MARK, tear_picture
from tests import faults
from tests.metrics.clips import shipped


@pytest.fixture(scope="module")
def torn() -> EvalClip:
    clip = shipped("bikes", 5, (512, 288))
    return EvalClip.collect([faults.shear(clip, np.ones(5, bool), 251, 288, np.full(5, 9))], 8)


def test_the_row_is_marked_and_the_evidence_stands_beside_it(torn):
    picture = tear_picture(torn, detect(torn))
    assert picture.dtype == np.uint8
    assert picture.shape[2] == 3
    head = 40
    row = picture[head + 2 * 251, :1024]  # drawn at twice its size
    assert (row == MARK).all(axis=1).mean() > 0.9
    bars = (picture[head : head + 576] == BAR).all(axis=2).sum(axis=1)
    assert abs(int(np.argmax(bars)) - 2 * 251) <= 2


def test_every_kind_can_be_drawn(torn):
    clip = shipped("bikes", 5, (512, 288))
    for changed in (
        faults.seam(clip, 288, 0, 1.0, (14, 14, 14), 2),
        faults.checkerboard(clip, 4, 8),
        faults.black(clip, 2, 1),
    ):
        evaluated = EvalClip.collect([changed], 8)
        assert tear_picture(evaluated, detect(evaluated)).shape[0] > 288


def test_a_fault_of_the_whole_frame_has_no_line():
    clip = EvalClip.collect([faults.checkerboard(shipped("bikes", 5, (512, 288)), 4, 8)], 8)
    found = detect(clip)
    assert found.kind == "checkerboard"
    assert not (tear_picture(clip, found) == MARK).all(axis=2).any()


def test_nothing_found_is_nothing_drawn():
    clip = EvalClip.collect([np.zeros((1, 288, 512, 3), np.uint8) + 90], 8)
    found = detect(clip, names=["shear"])
    with pytest.raises(ValueError, match="level none"):
        tear_picture(clip, found)
