"""One writer at a time: an advisory lock, a file, that a dead process and a dead machine lose.

The holder's file names it by a random token, and its process keeps a kernel lock (flock) on it and renews its
time. On the same kernel the kernel lock says at once whether the holder lives, in whatever container it is.
Of a holder on another machine the file's time says it: unchanged for LEASE_SECONDS, by the observer's own
clock, means that it is gone. Neither host names nor process ids decide: containers and machines share them,
which is why filelock's SoftFileLease, which asks the process id where the host's name is the same, is not
used here. Standard library only.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from cogexp.storage import lock_file
from cogexp.storage.lock_file import kernel_id

LOCK_FILE = ".lock"  # in a run's folder
LEASE_SECONDS = 30.0
BEAT_SECONDS = 5.0  # between renewals
POLL_SECONDS = 0.2
SETTLE_SECONDS = 0.5  # after taking over an expired lock: another machine may have judged the same way


class Lock:
    """The lock `file`. `with lock:` waits for it; `on_wait` is called once, with the holder, before waiting.

    clock: seconds that only grow; sleep: waits so many. Both are there for tests.
    """

    def __init__(
        self,
        file: Path,
        *,
        on_wait: Callable[[str], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.file = file
        self._on_wait, self._clock, self._sleep = on_wait, clock, sleep
        self._token = ""
        self._descriptor = -1
        self._stop = threading.Event()
        self._observed: tuple[object, float] | None = None

    def __enter__(self) -> Lock:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def acquire(self, timeout: float | None = None) -> bool:
        """Wait for the lock, at most `timeout` seconds (None: as long as it takes); whether it is held now.

        Raises:
            OSError: the file cannot be made there.
        """
        begun, waits = self._clock(), False
        while not self.try_acquire():
            if timeout is not None and self._clock() - begun >= timeout:
                return False
            if not waits and self._on_wait is not None:
                self._on_wait(self.holder())
            waits = True
            self._sleep(POLL_SECONDS)
        return True

    def try_acquire(self) -> bool:
        """Take the lock when nobody alive holds it. Raises OSError when the file cannot be made there."""
        if self._claim():
            return True
        expired = self._remove_dead()
        if expired is None or not self._claim():
            return False
        if expired:
            self._sleep(SETTLE_SECONDS)
            if not self.held():
                self._forget()
                return False
        return True

    def held(self) -> bool:
        """Whether the file is still this lock's: a machine that slept for longer than the lease lost it."""
        found = lock_file.read(self.file)
        return bool(self._token) and found is not None and found.token == self._token

    def holder(self) -> str:
        """Who holds the lock, in words."""
        return str(lock_file.read(self.file) or "another process")

    def release(self) -> None:
        """Give the lock back; nothing happens when it is not held."""
        if not self._token:
            return
        with contextlib.suppress(OSError):
            if self.held():
                self.file.unlink(missing_ok=True)
        self._forget()

    close = release  # for contextlib.closing, where the lock is held already

    def _forget(self) -> None:
        self._stop.set()
        self._token = ""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1

    def _claim(self) -> bool:
        """Make the file, complete and kernel-locked before it has its name; False when there is one."""
        token = secrets.token_hex(16)
        staged = self.file.with_name(f".{self.file.stem[:24]}.{token}.claim")
        descriptor = os.open(staged, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            lock_file.try_flock(descriptor)
            os.write(descriptor, lock_file.entry(token, os.fstat(descriptor).st_dev))
            taken = lock_file.link(staged, self.file, descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        finally:
            with contextlib.suppress(OSError):
                os.unlink(staged)
        if not taken:
            os.close(descriptor)
            return False
        self._token, self._descriptor, self._observed = token, descriptor, None
        self._stop = threading.Event()
        threading.Thread(target=_renew, args=(self.file, token, self._stop), daemon=True).start()
        return True

    def _remove_dead(self) -> bool | None:
        """Remove the file of a holder that is gone: True when its lease said so, False when the kernel did.

        None: it lives, or was removed by another one.
        """
        try:
            descriptor = os.open(self.file, os.O_RDWR if os.access(self.file, os.W_OK) else os.O_RDONLY)
        except FileNotFoundError:
            return False
        try:
            free, status = lock_file.try_flock(descriptor), os.fstat(descriptor)
            found = (
                lock_file.parse(os.pread(descriptor, 4096, 0))
                if hasattr(os, "pread")
                else lock_file.read(self.file)
            )
            if free is False:
                self._observed = None
                return None
            # Two mounts of one network volume have two devices and may not share kernel locks.
            here = (kernel_id(), status.st_dev)
            died = bool(free) and found is not None and (found.kernel, found.device) == here
            if not died and not self._expired((status.st_ino, status.st_mtime_ns, found)):
                return None
            # Under the kernel lock nobody of this kernel can have replaced it since.
            if os.stat(self.file).st_ino != status.st_ino:
                return None
            os.unlink(self.file)
            return not died
        except FileNotFoundError:
            return False
        finally:
            os.close(descriptor)

    def _expired(self, state: object) -> bool:
        """Whether the file has been the same for the whole lease while this process watched it."""
        now = self._clock()
        if self._observed is None or self._observed[0] != state:
            self._observed = state, now
        return now - self._observed[1] >= LEASE_SECONDS


def _renew(file: Path, token: str, stop: threading.Event) -> None:
    """Until `stop`: the file's time, while it is ours. A disk that is away for a moment costs nothing."""
    while not stop.wait(BEAT_SECONDS):
        with contextlib.suppress(OSError):
            found = lock_file.read(file)
            if found is not None and found.token != token:
                return
            os.utime(file)
