"""Files that appear complete or not at all, and are still there after a power cut.

A file is written under a name that no other process on any machine uses, flushed to the disk, and renamed;
then its folder is flushed, which makes the name last. Standard library only.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

# Of our own staged files, and of those that earlier versions named after their process.
_STAGED = re.compile(r"\..+\.(tmp(\.\w+)?|part)")
_CLAIM_SECONDS = 86400.0  # a lock's claim lives for a moment; clocks of machines may differ by hours
# A folder cannot be flushed on every file system (network shares) nor every system (Windows).
_CANNOT_FLUSH = {errno.EINVAL, errno.EBADF, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EACCES, errno.EPERM}


def staged_name(file: Path) -> Path:
    """A hidden name beside `file`, with its ending, that is unique across processes, containers and machines.

    Process ids and host names are not: two containers on one volume have both in common.
    """
    return file.with_name(f".{file.stem[:24]}.{secrets.token_hex(8)}.tmp{file.suffix[:16]}")


def is_staged(name: str) -> bool:
    """Whether a file of this name is one that is being written, or was when its process was killed."""
    return _STAGED.fullmatch(name) is not None


def flush_file(file: Path) -> None:
    """Return when the content of `file` is on the disk. Raises OSError."""
    with file.open("r+b") as opened:
        os.fsync(opened.fileno())


def flush_folder(folder: Path) -> None:
    """Return when the names in `folder` are on the disk, where the system can do that. Raises OSError."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        if error.errno in _CANNOT_FLUSH:
            return
        raise
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT_FLUSH:
            raise
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """`folder` and what lacks above it, each name flushed. Raises OSError."""
    missing = []
    at = folder.absolute()
    while not at.exists():
        missing.append(at)
        at = at.parent
    folder.mkdir(parents=True, exist_ok=True)
    for new in reversed(missing):
        flush_folder(new.parent)


@contextlib.contextmanager
def replacing(file: Path) -> Iterator[Path]:
    """The path to write to: after the block it is flushed and takes the name `file`; after an error it goes.

    The name itself lasts once `flush_folder` was called.
    """
    staged = staged_name(file)
    try:
        yield staged
        flush_file(staged)
        staged.replace(file)
    except BaseException:
        with contextlib.suppress(OSError):
            staged.unlink(missing_ok=True)
        raise


def write_in_order(folder: Path, texts: Mapping[str, str], absent: Iterable[str] = ()) -> None:
    """Write the files {name: text} (UTF-8) of `folder`, each atomically and on the disk before the next.

    All are complete on the disk before the first name changes: a full disk (OSError) leaves what was there.
    Files named in `absent` go.
    """
    staged = {name: staged_name(folder / name) for name in texts}
    try:
        for name, text in texts.items():
            with staged[name].open("w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
        for name in absent:
            (folder / name).unlink(missing_ok=True)
        for name, path in staged.items():
            flush_folder(folder)
            os.replace(path, folder / name)
        flush_folder(folder)
    finally:
        for path in staged.values():
            path.unlink(missing_ok=True)


def remove_staged(folder: Path) -> None:
    """Remove what killed processes left half-written. Only for the one that may write into `folder`."""
    for path in folder.iterdir():
        if _left(path):
            with contextlib.suppress(OSError):
                path.unlink()


def _left(path: Path) -> bool:
    """Whether a killed process left it: a staged file, or an old claim of a lock."""
    if path.suffix == ".claim":
        with contextlib.suppress(OSError):
            return path.stat().st_mtime < time.time() - _CLAIM_SECONDS
    return is_staged(path.name)
