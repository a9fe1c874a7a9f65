"""Which files a finished run has: their sizes and SHA-256 digests, and whether they are still those.

Standard library only.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from cogexp.storage.run_files import path_problem
from cogexp.system.faults import reason_of
from cogexp.system.hashing import sha256_of_open

_MOST_KNOWN = 20_000
# (device, inode, size, times of change) -> digest: a sweep asks several times whether a run is done.
_known: dict[tuple[int, ...], str] = {}


def digests_of(folder: Path, files: Iterable[str]) -> dict[str, dict[str, Any]]:
    """{file: {size, sha256}} of `files`, which are relative to `folder`; size in bytes.

    Raises:
        OSError: one of them is missing, empty or cannot be read.
    """
    found = {}
    for file in files:
        path = folder / file
        size = path.stat().st_size
        if not size:
            raise OSError(f"{path} is empty")
        found[file] = {"size": size, "sha256": sha256_of(path)}
    return found


def digest_of_text(text: str) -> dict[str, Any]:
    """{size, sha256} of the file that holds `text` in UTF-8."""
    content = text.encode("utf-8")
    return {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def problem(folder: Path, files: Iterable[str], digests: Mapping[str, Any]) -> str:
    """Why the files in `folder` are not those of the record; '' when they are.

    `digests` as from `digests_of`. A file without one, of an older record, must be there and not be empty.
    Sizes are compared before anything is read.
    """
    names = list(dict.fromkeys([*files, *digests]))
    for name in names:
        if path_problem(name):
            return f"{name} is no file of this run"
        path = folder / name
        try:
            size = path.stat().st_size if path.is_file() else -1
        except OSError as error:
            return f"{name} cannot be read: {reason_of(error)}"
        if size < 1:
            return f"{name} is {'missing' if size < 0 else 'empty'}"
        if name in digests and _entry(digests, name, "size") != size:
            return f"{name} has {size} bytes, {_entry(digests, name, 'size')} were recorded"
    for name in names:
        if name in digests:
            try:
                if sha256_of(folder / name) != _entry(digests, name, "sha256"):
                    return f"{name} is another file than the recorded one"
            except OSError as error:
                return f"{name} cannot be read: {reason_of(error)}"
    return ""


def _entry(digests: Mapping[str, Any], name: str, key: str) -> Any:
    return digests[name].get(key) if isinstance(digests[name], Mapping) else None


def sha256_of(path: Path) -> str:
    """The digest of a file's content, in hexadecimal; read once as long as the file stays as it is."""
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        key = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        if key not in _known:
            if len(_known) >= _MOST_KNOWN:
                _known.clear()
            _known[key] = sha256_of_open(file)
        return _known[key]
