"""The files of a run's folder, and nothing outside it: what may be shown, embedded or uploaded."""

from __future__ import annotations

import os
import stat
from pathlib import Path, PurePosixPath

from cogexp.storage.durable import make_folder

MAX_NAME_BYTES = 255
MAX_PATH_BYTES = 1024


def path_problem(name: str) -> str | None:
    """Why `name` is no path inside a run's folder; None when it is one. Looks at the text only."""
    if not name or len(name.encode("utf-8", "replace")) > MAX_PATH_BYTES or not name.isprintable():
        return "must be the name of a file"
    if "\\" in name or ":" in name or name.startswith("/"):
        return "must be relative to the run's folder"
    parts = PurePosixPath(name).parts
    if not parts or ".." in parts or any(len(part.encode("utf-8")) > MAX_NAME_BYTES for part in parts):
        return "must stay inside the run's folder"
    return None


def inside(folder: Path, name: str) -> Path | None:
    """The regular file `name` of a run's folder; None without one, or when a link leads out of the folder."""
    if path_problem(name):
        return None
    file = folder / name
    try:
        if not stat.S_ISREG(file.stat().st_mode):
            return None
        home = os.path.realpath(folder)
        return file if os.path.realpath(file).startswith(home + os.sep) else None
    except (OSError, ValueError):
        return None


def own_folder(folder: Path) -> None:
    """Make a run's folder, its name flushed; links in its place or in it go: nothing is written through them.

    Before anything else is written there, the lock too.

    Raises:
        OSError: it cannot be made.
    """
    if folder.is_symlink():
        folder.unlink()
    make_folder(folder)
    for entry in os.scandir(folder):
        if entry.is_symlink():
            os.unlink(entry.path)


def expanded(word: str) -> Path:
    """The path that a user's word names, '~' written out; as it is where there is no such user."""
    try:
        return Path(word).expanduser()
    except RuntimeError:
        return Path(word)


def is_folder(word: str | Path) -> bool:
    """Whether it is a folder. A word that can be no path at all (too long, a null byte) is none."""
    return os.path.isdir(word)


def is_file(word: str | Path) -> bool:
    """Whether it is a regular file; as `is_folder`."""
    return os.path.isfile(word)
