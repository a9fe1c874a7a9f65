"""Signals: each is an interruption, and none cuts a block short that must come to its end."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from cogexp.system import interrupts


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    with interrupts.preserved():
        yield


@pytest.mark.parametrize("number", interrupts.SIGNALS)
def test_each_is_an_interruption_with_its_name(number: signal.Signals) -> None:
    signal.signal(number, signal.SIG_DFL)
    interrupts.install()
    with pytest.raises(KeyboardInterrupt, match=number.name):
        signal.raise_signal(number)
    if number != signal.SIGINT:
        signal.raise_signal(number)  # a second one changes nothing


def test_an_ignored_hangup_stays_ignored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    interrupts.install()
    signal.raise_signal(signal.SIGHUP)


@pytest.mark.parametrize("number", interrupts.SIGNALS)
def test_it_waits_for_the_end_of_the_block(number: signal.Signals) -> None:
    signal.signal(number, signal.SIG_DFL)
    interrupts.install()
    done = False

    def record() -> None:
        nonlocal done
        with interrupts.deferred():
            signal.raise_signal(number)
            done = True

    with pytest.raises(KeyboardInterrupt):
        record()
    assert done


def test_without_handlers_of_ours_the_default_comes_after_the_block() -> None:
    code = (
        "import signal; from cogexp.system import interrupts\n"
        "with interrupts.deferred():\n signal.raise_signal(signal.SIGTERM); print('recorded', flush=True)\n"
        "print('not reached')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("recorded\n", -signal.SIGTERM)


def test_a_second_ctrl_c_leaves_at_once_even_with_a_closed_stderr() -> None:
    code = (
        "import os, signal; from cogexp.system import interrupts\n"
        "interrupts.install(); os.close(2)\n"
        "try:\n signal.raise_signal(signal.SIGTERM)\n"
        "except KeyboardInterrupt:\n signal.raise_signal(signal.SIGINT)\n"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == interrupts.EXIT_CODE
