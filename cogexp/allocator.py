"""On a CPU: let malloc keep what is freed, instead of giving it back and faulting it in again.

glibc serves large blocks with mmap and returns them at once; a decoder that makes hundreds of them spends a
third of its time on page faults. With mmap and trimming off, the same pages serve again. Only glibc has these
switches; elsewhere nothing happens.
A decoding gives them back at its end, so that the memory of the next stage can be told. Between two decodings
of one process that costs more than the decoding itself where a virtual machine's memory comes from its host:
an engine that wants speed keeps them for as long as it works.
"""

from __future__ import annotations

import ctypes
import functools
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# malloc.h
TRIM_THRESHOLD, MMAP_MAX = -1, -4
NEVER = 2**31 - 1
DEFAULT_TRIM_THRESHOLD, DEFAULT_MMAP_MAX = 128 * 1024, 65536


@functools.lru_cache(maxsize=1)
def glibc() -> ctypes.CDLL | None:
    """The C library of this process when it is glibc."""
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "gnu_get_libc_version") else None


_inside = 0  # blocks that this process is in


@contextmanager
def freed_pages_stay(on: bool = True) -> Iterator[None]:
    """Inside the block freed memory stays in the process; after the outermost one it is given back."""
    global _inside
    library = glibc() if on else None
    if library is None:
        yield
        return
    _inside += 1
    if _inside == 1:
        library.mallopt(MMAP_MAX, 0)
        library.mallopt(TRIM_THRESHOLD, NEVER)
    try:
        yield
    finally:
        _inside -= 1
        if not _inside:
            _give_back(library)


def _give_back(library: ctypes.CDLL) -> None:
    library.mallopt(MMAP_MAX, DEFAULT_MMAP_MAX)
    library.mallopt(TRIM_THRESHOLD, DEFAULT_TRIM_THRESHOLD)
    library.malloc_trim(0)
