"""Files from a hub of models or a server: large ones resume where they were cut off, all are checked.

huggingface_hub deletes an unfinished file; here it stays beside its place, under its own name, until it is
whole and has the digest that its server tells.
"""

from __future__ import annotations

import json
import operator
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cogexp.system.hashing import sha256_of_open
from cogexp.system.network import Cause, NetworkError, explained

ANSWER_SECONDS = 5.0
UNFINISHED = ".unfinished"
MOST_HEADER_BYTES = 100_000_000  # the limit of the safetensors format


def snapshot(repo: str, revision: str | None, patterns: Sequence[str], *, remedy: str) -> Path:
    """The folder of a model's files that match `patterns`, in the hub's cache; what is there is kept.

    Raises:
        NetworkError: with `remedy`, when something is lacking and cannot be had.
    """
    from huggingface_hub import HfApi, constants, snapshot_download

    with _one_line(), explained(repo, host_of(constants.ENDPOINT), remedy):
        # One quick question first: the download itself would retry for minutes without a network.
        info = HfApi().model_info(repo, revision=revision, timeout=ANSWER_SECONDS, files_metadata=True)
        _large_files(repo, info, patterns)
        return Path(snapshot_download(repo, revision=revision, allow_patterns=list(patterns)))


def fetch_file(url: str, target: Path, digest: str, *, remedy: str) -> None:
    """One file, checked against the beginning of its SHA-256 in hex.

    Raises:
        NetworkError: with `remedy`, when it cannot be had.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with _one_line(), explained(target.name, host_of(url), remedy):
        _resume(url, target, digest, size=None, headers=None)


def host_of(url: str) -> str:
    """The server that a URL names, as messages call it."""
    return urlsplit(url).netloc or url


def has_digest(file: Path, digest: str) -> bool:
    """Whether the SHA-256 of `file` begins with `digest`."""
    with file.open("rb") as stream:
        return sha256_of_open(stream).startswith(digest)


def damage(file: Path) -> str | None:
    """What is wrong with a .safetensors file, by its header and size; None for a whole one."""
    if not file.is_file():
        return "is not a file"
    size = file.stat().st_size
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if length > min(size, MOST_HEADER_BYTES):
            return "is not a safetensors file"
        try:
            header = json.loads(stream.read(length))
            ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
            end = max((operator.index(one) for one in ends), default=0)
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
            return "is not a safetensors file"
    return None if 8 + length + end == size else "is cut off"


def _large_files(repo: str, info: Any, patterns: Sequence[str]) -> None:
    """Put those files of a snapshot whose digest the hub tells where huggingface_hub looks for them."""
    from huggingface_hub import constants, hf_hub_url
    from huggingface_hub.file_download import repo_folder_name
    from huggingface_hub.utils import build_hf_headers, filter_repo_objects

    folder = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=repo, repo_type="model")
    large = {file.rfilename: file for file in info.siblings or () if file.lfs is not None}
    for name in filter_repo_objects(large, allow_patterns=list(patterns)):
        size, digest = int(large[name].lfs.size), str(large[name].lfs.sha256)
        blob, placed = folder / "blobs" / digest, folder / "snapshots" / info.sha / name
        if _has_size(placed, size):
            continue
        placed.unlink(missing_ok=True)  # half a file
        if not _has_size(blob, size):
            blob.unlink(missing_ok=True)
            blob.parent.mkdir(parents=True, exist_ok=True)
            url = hf_hub_url(repo, name, revision=info.sha)
            _resume(url, blob, digest, size=size, headers=build_hf_headers())


def _has_size(file: Path, size: int) -> bool:
    return file.is_file() and file.stat().st_size == size


def _resume(url: str, target: Path, digest: str, *, size: int | None, headers: dict[str, str] | None) -> None:
    """Go on with an unfinished file, or begin it; `target` appears when it is whole."""
    from filelock import FileLock

    part = target.with_name(target.name + UNFINISHED)
    lock = part.with_name(f"{part.name}.lock")
    with FileLock(lock):
        if not _is_whole(target, digest, size):  # another process may have loaded it meanwhile
            _fill(part, url, digest, size, headers)
            os.replace(part, target)
    # Only now: whoever still waits for the removed file finds the target whole. After a fault it stays, or a
    # waiting process and a new one would hold two locks of one name and write into one file.
    with suppress(OSError):
        lock.unlink()


def _is_whole(target: Path, digest: str, size: int | None) -> bool:
    if size is not None and not _has_size(target, size):
        return False
    return target.is_file() and has_digest(target, digest)


def _fill(part: Path, url: str, digest: str, size: int | None, headers: dict[str, str] | None) -> None:
    """Load what `part` lacks. One that proves wrong is removed, so that the next start begins it anew."""
    from huggingface_hub.file_download import http_get

    have = part.stat().st_size if part.is_file() else 0
    if size is not None and have > size:
        part.unlink()
        have = 0
    if have and size in (None, have) and has_digest(part, digest):
        return
    name = part.name.removesuffix(UNFINISHED)
    with part.open("ab") as file:
        http_get(url, file, resume_size=have, headers=headers, expected_size=size, displayed_filename=name)
    if not has_digest(part, digest):
        part.unlink()
        text = f"{name} from {host_of(url)} is not what was announced (SHA-256 {digest[:8]}...)"
        raise NetworkError(
            f"{text}; python -m cogexp fetch with the same words begins it anew",
            Cause(kind="damaged", text=text),
        )


@contextmanager
def _one_line() -> Iterator[None]:
    """Without the client's own lines about each of its trials: what comes of them is said in one."""
    from huggingface_hub.utils import logging

    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)
