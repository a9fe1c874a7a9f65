"""The file of a lock: who wrote it, how it gets its name, the kernel's lock on it. Standard library only."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import socket
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: the lease alone decides
    fcntl = None  # type: ignore[assignment]

_NO_KERNEL_LOCK = "none"
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


@dataclass(frozen=True, kw_only=True)
class Holder:
    """Who wrote a lock file: its random token, and for the reader the host, the process and since when."""

    token: str
    kernel: str
    device: int
    host: str
    pid: int
    since: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host} since {self.since}"


def link(staged: Path, file: Path, descriptor: int) -> bool:
    """Give `staged` the name `file` unless that is there: one step on every file system that has links."""
    try:
        os.link(staged, file)
    except FileExistsError:
        # On NFS a lost answer is asked for again, and the second one finds the first one's link.
        return os.fstat(descriptor).st_nlink == 2
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        return _exclusive_copy(staged, file)
    return True


def _exclusive_copy(staged: Path, file: Path) -> bool:
    """For file systems without hard links (FAT, some network shares): the lease alone protects the file."""
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    except FileExistsError:
        return False
    try:
        plain = json.loads(staged.read_bytes())
        os.write(descriptor, json.dumps({**plain, "kernel": _NO_KERNEL_LOCK}).encode())
    finally:
        os.close(descriptor)
    return True


def try_flock(descriptor: int) -> bool | None:
    """Take the kernel's lock: True, False when another one has it, None where there is no such thing."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def entry(token: str, device: int) -> bytes:
    """What the holder with `token` writes; device: of the file's mount."""
    since = time.strftime("%Y-%m-%d %H:%M:%S %z")
    plain = {"token": token, "kernel": kernel_id(), "device": device, "host": socket.gethostname()}
    return json.dumps({**plain, "pid": os.getpid(), "since": since}).encode()


def read(file: Path) -> Holder | None:
    """The holder that the file names; None where there is none, or it names none."""
    try:
        with file.open("rb") as opened:
            return parse(opened.read(4096))
    except OSError:
        return None


def parse(content: bytes) -> Holder | None:
    """None for what no lock wrote, such as the empty file that a power cut leaves."""
    try:
        plain = json.loads(content)
        return Holder(**{name: plain[name] for name in Holder.__dataclass_fields__})
    except (ValueError, KeyError, TypeError):
        return None


@lru_cache(maxsize=1)
def kernel_id() -> str:
    """One for each start of a kernel: its containers have it in common, and no other machine has it."""
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return secrets.token_hex(16)  # unknown: only the lease decides then
