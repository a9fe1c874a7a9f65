"""What glibc keeps and gives back, by its own books, in a process that does nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from cogexp.allocator import glibc

MIB = 2**20
LARGE = 128 * MIB  # above the largest threshold from which malloc may choose mmap

pytestmark = pytest.mark.skipif(glibc() is None, reason="only glibc has these switches")

# Not the resident memory: the kernel takes pages away and hands them out as it sees fit.
BOOKS = f"""
import contextlib, ctypes, json
from cogexp.allocator import freed_pages_stay, glibc
library, LARGE = glibc(), {LARGE}
library.malloc.restype, library.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
library.free.restype, library.free.argtypes = None, [ctypes.c_void_p]
mallinfo = getattr(library, "mallinfo2", None) or library.mallinfo
number = ctypes.c_size_t if hasattr(library, "mallinfo2") else ctypes.c_int
NAMES = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()
class Books(ctypes.Structure):
    _fields_ = [(name, number) for name in NAMES]
mallinfo.restype = Books
def take_and_free():
    "Where a large block lay, what was mapped for it, and what malloc holds free afterwards."
    before = mallinfo()
    place = library.malloc(LARGE)
    mapped = mallinfo().hblkhd - before.hblkhd
    library.free(place)
    return dict(place=place, mapped=mapped, free=mallinfo().fordblks)
def free_now():
    return mallinfo().fordblks
shown = []
"""


def books(script: str) -> list[dict[str, int]]:
    """What `script` shows, run after BOOKS in a process of its own with malloc as glibc has it."""
    other = ("LD_PRELOAD", "GLIBC_TUNABLES", "MALLOC_")
    known = {key: value for key, value in os.environ.items() if not key.startswith(other)}
    command = [sys.executable, "-c", f"{BOOKS}\n{script}\nprint(json.dumps(shown))"]
    done = subprocess.run(command, env=known, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found: list[dict[str, int]] = json.loads(done.stdout)
    return found


def test_freed_memory_stays_until_the_outermost_block_ends() -> None:
    first, second, third, after = books(
        "with freed_pages_stay():\n"
        "    with freed_pages_stay():\n"
        "        shown += [take_and_free(), take_and_free()]\n"
        "    shown.append(take_and_free())\n"
        "shown.append(dict(free=free_now()))"
    )
    for one in (first, second, third):
        assert one["mapped"] == 0
        assert one["free"] >= LARGE
        assert one["place"] == first["place"], "the same pages serve again"
    assert after["free"] < LARGE / 2


def test_without_it_and_after_it_freed_memory_is_given_back() -> None:
    for one in books(
        "shown.append(take_and_free())\n"
        "with freed_pages_stay(on=False): shown.append(take_and_free())\n"
        "with freed_pages_stay(): take_and_free()\n"
        "shown.append(take_and_free())"
    ):
        assert one["mapped"] >= LARGE
        assert one["free"] < LARGE / 2


def test_an_error_inside_ends_the_block() -> None:
    inside, after = books(
        "with contextlib.suppress(ValueError), freed_pages_stay():\n"
        "    shown.append(take_and_free())\n"
        "    raise ValueError('inside')\n"
        "shown.append(take_and_free())"
    )
    assert inside["free"] >= LARGE
    assert after["mapped"] >= LARGE
    assert after["free"] < LARGE / 2
