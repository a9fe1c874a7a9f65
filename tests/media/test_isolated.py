"""A decoder that crashes, hangs or fails costs its own file only."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import numpy as np
import pytest

from cogexp.media.errors import VideoError
from cogexp.media.isolated import Isolated, crash


def counting(name: str, stop: int) -> Iterator[np.ndarray]:
    for number in range(stop):
        yield np.full(3, number)


def aborting(name: str) -> Iterator[int]:
    yield 1
    os.abort()


def hanging(name: str) -> Iterator[int]:
    yield 1
    time.sleep(3600)


def refusing(name: str) -> Iterator[int]:
    yield 1
    raise VideoError(f"cannot read {name}: it is damaged")


def hungry(name: str) -> Iterator[int]:
    yield len(bytearray(1 << 40))


def test_what_goes_wrong_in_the_child_is_one_line_and_the_next_file_is_read() -> None:
    with Isolated() as child:
        with pytest.raises(VideoError, match=r"cannot read a\.mp4: its decoder crashed"):
            list(child.items(aborting, "a.mp4"))
        with pytest.raises(VideoError, match=r"cannot read c\.mp4: it is damaged"):
            list(child.items(refusing, "c.mp4"))
        with pytest.raises(VideoError, match="asks for more memory"):
            list(child.items(hungry, "d.mp4"))
        items = child.items(counting, "e.mp4", 1000)
        next(items)
        items.close()  # left half-way: the rest must not come for the next file
        assert [int(item[0]) for item in child.items(counting, "f.mp4", 5)] == [0, 1, 2, 3, 4]
        items = child.items(hanging, "b.mp4")
        next(items)
        child._patience = 0.5
        with pytest.raises(VideoError, match=r"cannot read b\.mp4: its decoder gave nothing for 0\.5 s"):
            next(items)
    assert child._process is None


def test_how_a_child_ended() -> None:
    assert crash(-signal.SIGSEGV) == "its decoder crashed (SIGSEGV)"
    assert crash(3) == "its decoder crashed (exit code 3)"
