"""The lock: one holder, whatever the others' process ids; a dead process and a dead machine lose it."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import socket
from pathlib import Path
from typing import Any

import pytest

from cogexp.storage import lock as locks
from cogexp.storage import lock_file
from cogexp.storage.lock import LEASE_SECONDS, Lock
from tests.waiting import until

FORK = multiprocessing.get_context("fork")


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def of_another_machine(file: Path, **changes: Any) -> None:
    """A lock file as a machine with the same host name and process id as this one writes it."""
    plain = {"token": "theirs", "kernel": "another", "device": 1, "host": socket.gethostname()}
    file.write_text(json.dumps({**plain, "pid": os.getpid(), "since": "now", **changes}))


def hold(file: Path, ready: Any) -> None:
    """Hold the lock until killed, as process 1 of a container with this machine's name would."""
    os.getpid = lambda: 1  # type: ignore[assignment]
    lock = Lock(file)
    lock.acquire()
    ready.send("held")
    signal.pause()


def test_only_one_holds_it(tmp_path: Path) -> None:
    first, second = Lock(tmp_path / ".lock"), Lock(tmp_path / ".lock")
    with first:
        assert first.held()
        assert not second.try_acquire()
        assert str(os.getpid()) in second.holder()
    assert second.try_acquire()
    second.release()
    assert list(tmp_path.iterdir()) == []


def test_a_killed_process_loses_it_at_once_and_a_living_one_never(tmp_path: Path) -> None:
    file, (here, there) = tmp_path / ".lock", FORK.Pipe()
    child = FORK.Process(target=hold, args=(file, there))
    child.start()
    assert here.poll(60)
    clock = Clock()
    lock = Lock(file, clock=clock, sleep=clock.sleep)
    assert not lock.acquire(timeout=10 * LEASE_SECONDS), "its process lives, however long it takes"
    os.kill(child.pid or 0, signal.SIGKILL)
    child.join()
    assert lock.try_acquire()
    lock.release()


def test_a_dead_machine_loses_it_after_the_lease_by_the_observers_own_clock(tmp_path: Path) -> None:
    file, clock, waits = tmp_path / ".lock", Clock(), []
    of_another_machine(file)
    os.utime(file, (0, 0))  # whatever that machine's clock says
    lock = Lock(file, on_wait=waits.append, clock=clock, sleep=clock.sleep)
    lock.acquire()
    assert clock.now >= LEASE_SECONDS
    assert waits == [f"process {os.getpid()} on {socket.gethostname()} since now"]
    lock.release()


def test_a_machine_that_renews_it_keeps_it(tmp_path: Path) -> None:
    file, clock = tmp_path / ".lock", Clock()
    of_another_machine(file)

    def renewed(seconds: float) -> None:
        clock.sleep(seconds)
        os.utime(file, (clock.now, clock.now))

    lock = Lock(file, clock=clock, sleep=renewed)
    assert not lock.acquire(timeout=5 * LEASE_SECONDS)
    assert json.loads(file.read_text())["token"] == "theirs"


def test_the_holder_renews_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "BEAT_SECONDS", 0.01)
    with Lock(tmp_path / ".lock") as lock:
        os.utime(lock.file, (0, 0))
        until(lambda: lock.file.stat().st_mtime, "the renewal")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"token": 1}'])
def test_what_a_power_cut_left_of_it_goes_after_the_lease(tmp_path: Path, content: str) -> None:
    file, clock = tmp_path / ".lock", Clock()
    file.write_text(content)
    lock = Lock(file, clock=clock, sleep=clock.sleep)
    assert lock.acquire(timeout=2 * LEASE_SECONDS)
    assert clock.now >= LEASE_SECONDS
    lock.release()


def test_one_that_was_taken_over_is_not_given_back(tmp_path: Path) -> None:
    with Lock(tmp_path / ".lock") as slept:
        of_another_machine(slept.file)
        assert not slept.held()
    assert slept.file.exists(), "it is another one's now"


def test_without_hard_links_and_kernel_locks_the_lease_alone_protects_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    monkeypatch.setattr(lock_file, "fcntl", None)
    clock = Clock()
    first, second = (Lock(tmp_path / ".lock", clock=clock, sleep=clock.sleep) for _ in range(2))
    assert first.try_acquire()
    assert not second.acquire(timeout=LEASE_SECONDS / 2)
    first.release()
    assert second.acquire(timeout=0)
    second.release()


def add_one(file: Path, times: int) -> None:
    os.getpid = lambda: 7  # type: ignore[assignment]
    for _ in range(times):
        with Lock(file.with_suffix(".lock"), sleep=lambda _: None):
            file.write_text(str(int(file.read_text()) + 1))


def test_three_processes_of_one_id_lose_no_count(tmp_path: Path) -> None:
    file = tmp_path / "count.txt"
    file.write_text("0")
    children = [FORK.Process(target=add_one, args=(file, 40)) for _ in range(3)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert file.read_text() == "120"
