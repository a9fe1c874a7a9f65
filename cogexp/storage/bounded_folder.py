"""A folder of stage results that is bounded in size: the least recently used go first.

What killed processes left counts, and is collected when it is older than any save takes. Another process may
read, save or remove at the same time: a file that is gone is no fault.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cogexp.storage.durable import is_staged

STAGE = ".safetensors"
DAMAGED = ".damaged"
LEFTOVER_SECONDS = 3600.0  # a save takes seconds; clocks of machines that share a folder may differ


@dataclass(frozen=True, kw_only=True, order=True)
class Entry:
    """One file, ordered by what goes first: set aside as damaged, then the least recently used."""

    rank: int
    used: float
    path: Path
    size: int
    leftover: bool = False


def make_room(folder: Path, size: int, limit: int) -> None:
    """Collect leftovers, then remove files until `size` more bytes fit under `limit`."""
    found = list(entries(folder))
    total = sum(entry.size for entry in found)
    for entry in found:
        if entry.leftover and time.time() - entry.used > LEFTOVER_SECONDS and _removed(entry.path):
            total -= entry.size
    for entry in sorted(entry for entry in found if not entry.leftover):
        if total + size <= limit:
            return
        if _removed(entry.path):
            total -= entry.size


def entries(folder: Path) -> Iterator[Entry]:
    """What is in `folder`/*/: results, damaged ones, and files of saves under way or killed."""
    for path in folder.glob("*/*"):
        # ".tmp...": safetensors' own; "....tmp": of earlier versions
        leftover = is_staged(path.name) or path.name.startswith(".tmp") or path.suffix == ".tmp"
        if not leftover and path.suffix not in (STAGE, DAMAGED):
            continue
        with contextlib.suppress(OSError):
            about = path.lstat()
            rank = 0 if path.suffix == DAMAGED else 1
            yield Entry(rank=rank, used=about.st_mtime, path=path, size=about.st_size, leftover=leftover)


def set_aside(file: Path) -> None:
    """Give a damaged file another name, under which nothing finds it; where that fails it stays."""
    with contextlib.suppress(OSError):
        os.replace(file, file.with_suffix(DAMAGED))


def touch(file: Path) -> None:
    """Used now. Another user's file, or one on a disk that takes no writes, keeps its time."""
    with contextlib.suppress(OSError):
        os.utime(file)


def _removed(path: Path) -> bool:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return False
    return True
