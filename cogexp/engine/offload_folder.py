"""Folders for weights on disk: each goes with its process, and one that a killed process left goes with the
next process that makes such a folder.

A lock tells which: the system gives it back when its process ends, however it ends. Process numbers would not
do, for containers that share a disk count their own.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:  # Windows: there only a process that ends by itself takes its folder along
    fcntl = None  # type: ignore[assignment]

PREFIX, LOCK = "cogexp-offload-", "lock"

_HELD: list[IO[str]] = []  # open files, and with them their locks


def new_folder() -> str:
    """An empty folder of this process, below the system's folder for temporary files."""
    remove_left_behind()
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    if fcntl is not None:
        # Locked before it has its name, so that nobody finds a lock that nobody holds yet.
        early = folder / f"{LOCK}.new"
        held = early.open("w", encoding="utf-8")
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        early.rename(folder / LOCK)
        _HELD.append(held)
    return str(folder)


def remove_left_behind() -> None:
    """Remove the folders whose process is gone."""
    if fcntl is None:
        return
    for file in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/{LOCK}"):
        try:
            with file.open("r+", encoding="utf-8") as found:
                fcntl.flock(found, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(file.parent, ignore_errors=True)
        except OSError:
            continue  # it is held, someone else's, or gone since
