"""Batches from worker processes, in order, through memory-mapped files (arrays are too big for pipes)."""

from __future__ import annotations

import shutil
import tempfile
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, wait
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from cogexp.nano.training.orders import NO_PIXELS, Batch, Order, fill, render_order

_MEMORY_DISK = Path("/dev/shm")
_SPARE_BYTES = 6 * 2**30


class Renderer:
    """Renders orders ahead of time with `workers` processes; 0 renders in this process, on demand."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._pool: ProcessPoolExecutor | None = None
        self._folder: Path | None = None

    def __enter__(self) -> Renderer:
        if self.workers:
            # spawn: a forked child of a process that uses CUDA or threads is not safe.
            self._pool = ProcessPoolExecutor(self.workers, get_context("spawn"), initializer=_quiet)
            self._folder = Path(tempfile.mkdtemp(prefix="nano-batches-", dir=_roomy_folder()))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def batches(self, orders: Iterable[Order]) -> Iterator[Batch]:
        """One batch an order, in their order. A batch's pixels are valid until the next one is asked for."""
        if self._pool is None or self._folder is None:
            yield from (render_order(order) for order in orders)
            return
        free = deque(self._folder / f"slot{i}" for i in range(self.workers + 3))
        waiting: deque[tuple[Order, Path, Future[Any]]] = deque()
        source = iter(orders)
        try:
            while True:
                while free and (order := next(source, None)) is not None:
                    slot = free.popleft()
                    waiting.append((order, slot, self._pool.submit(_work, order, str(slot))))
                if not waiting:
                    return
                order, slot, future = waiting.popleft()
                batch: Batch = future.result()
                yield replace(batch, pixels=np.memmap(slot, np.uint8, "c", shape=order.shape))
                free.append(slot)
        finally:
            # The reader stopped early: nobody may still write into files that the next reader uses.
            for _, _, future in waiting:
                future.cancel()
            wait([future for _, _, future in waiting])


def _roomy_folder() -> str | None:
    """Memory-backed when there is room in it (containers often allow 64 MB only), else the usual place."""
    if _MEMORY_DISK.is_dir() and shutil.disk_usage(_MEMORY_DISK).free > _SPARE_BYTES:
        return str(_MEMORY_DISK)
    return None


def _quiet() -> None:
    """One thread a worker: the workers are the parallelism."""
    import cv2

    cv2.setNumThreads(1)


def _work(order: Order, slot: str) -> Batch:
    """In a worker: render into the slot's file, made or resized as needed; the pixels stay there."""
    path = Path(slot)
    size = int(np.prod(order.shape))
    if not path.exists() or path.stat().st_size < size:
        with path.open("wb") as file:
            file.truncate(size)
    pixels = np.memmap(path, np.uint8, "r+", shape=order.shape)
    return replace(fill(order, pixels), pixels=NO_PIXELS)
