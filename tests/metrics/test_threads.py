"""Threads of OpenCV."""

from itertools import pairwise

import cv2
import numpy as np
import pytest

from cogexp.metrics.motion import adjacent_flow
from cogexp.metrics.threads import one_each, side_by_side
from tests.metrics.clips import pan


def test_the_number_of_threads_is_put_back_after_a_failure():
    before = cv2.getNumThreads()
    with pytest.raises(ZeroDivisionError), one_each():
        _ = cv2.getNumThreads() // 0
    assert cv2.getNumThreads() == before
    with one_each() as count:
        assert cv2.getNumThreads() == 1
    assert cv2.getNumThreads() == before == count


def test_results_come_in_order_and_a_failure_is_raised():
    assert side_by_side(lambda i: i * i, range(40)) == [i * i for i in range(40)]
    with pytest.raises(ZeroDivisionError):
        side_by_side(lambda i: 1 // i, range(3))


@pytest.mark.parametrize("count", [1, 3])
def test_flow_is_that_of_the_library_on_one_thread(count):
    """Whatever number of threads OpenCV may use."""
    gray = pan(2, 4)[..., 1]
    cv2.setNumThreads(1)
    engine = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    expected = np.stack([engine.calc(a, b, None) for a, b in pairwise(gray)])
    cv2.setNumThreads(count)
    try:
        assert np.array_equal(adjacent_flow(gray).forward, expected)
    finally:
        cv2.setNumThreads(-1)
