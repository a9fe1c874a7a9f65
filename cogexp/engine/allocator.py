"""On a CPU: let malloc keep what a decode frees, instead of giving it back and faulting it in again.

glibc serves large blocks with mmap and returns them at once; a decoder that makes hundreds of them spends a
third of its time on page faults. With mmap and trimming off, the same pages serve again. Only glibc has these
switches; elsewhere nothing happens.
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


@contextmanager
def freed_pages_stay(on: bool = True) -> Iterator[None]:
    """Inside the block freed memory stays in the process; afterwards it is given back."""
    library = glibc() if on else None
    if library is None:
        yield
        return
    library.mallopt(MMAP_MAX, 0)
    library.mallopt(TRIM_THRESHOLD, NEVER)
    try:
        yield
    finally:
        library.mallopt(MMAP_MAX, DEFAULT_MMAP_MAX)
        library.mallopt(TRIM_THRESHOLD, DEFAULT_TRIM_THRESHOLD)
        library.malloc_trim(0)
