"""What glibc keeps and gives back, seen in the process's resident memory."""

from __future__ import annotations

import numpy as np
import psutil
import pytest

from cogexp.allocator import freed_pages_stay, glibc

MIB = 2**20
LARGE = 128 * MIB

pytestmark = pytest.mark.skipif(glibc() is None, reason="only glibc has these switches")


def resident() -> int:
    return int(psutil.Process().memory_info().rss)


def touch_and_free() -> None:
    np.ones(LARGE, np.uint8)


def test_freed_memory_stays_until_the_outermost_block_ends() -> None:
    before = resident()
    with freed_pages_stay():
        with freed_pages_stay():
            touch_and_free()
        assert resident() - before > LARGE / 2
        touch_and_free()  # in the same pages
        assert resident() - before < 1.5 * LARGE
    assert resident() - before < LARGE / 2


def test_without_it_freed_memory_is_given_back() -> None:
    before = resident()
    with freed_pages_stay(on=False):
        touch_and_free()
        assert resident() - before < LARGE / 2


def test_an_error_inside_ends_the_block() -> None:
    def fails() -> None:
        touch_and_free()
        raise ValueError("inside")

    before = resident()
    with pytest.raises(ValueError, match="inside"), freed_pages_stay():
        fails()
    assert resident() - before < LARGE / 2
