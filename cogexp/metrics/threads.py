"""Threads of OpenCV: its own ones wait for work busily, and its optical flow depends on how many they are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import cv2

MOST = 8

In = TypeVar("In")
Out = TypeVar("Out")


@contextmanager
def one_each() -> Iterator[int]:
    """OpenCV computes every call on the caller's thread; says how many threads it would have used."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield before
    finally:
        cv2.setNumThreads(before)


def side_by_side(work: Callable[[In], Out], items: Iterable[In]) -> list[Out]:
    """[work(item)], in order, on as many threads as OpenCV may use.

    `work` must spend its time outside Python.
    """
    with one_each() as count, ThreadPoolExecutor(max(1, min(count, MOST)), "metrics") as pool:
        return list(pool.map(work, items))
