"""Standard output and error whose faults end no work: a closed pipe, a full disk, a closed descriptor.

What is made goes on; what could not be written is counted, and the exit code of a command whose answer is its
output says so.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO

from cogexp.system.faults import reason_of

BROKEN_PIPE_CODE = 128 + 13  # what a shell shows for a program that SIGPIPE ended


class Guarded:
    """A text stream that keeps its first fault instead of raising it. Everything else is the stream's own.

    stream: None for a descriptor that was closed before the process began. `unwritten` counts lines.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self.fault: Exception | None = None
        self.unwritten = 0

    def write(self, text: str) -> int:
        """Write, or count the lines that could not be written. Characters that it has not are escaped."""
        try:
            return self._open().write(text)
        except UnicodeEncodeError:
            name = self._open().encoding or "ascii"
            return self.write(text.encode(name, "backslashreplace").decode(name))
        except (OSError, ValueError) as fault:  # ValueError: the stream was closed
            self._note(fault)
            self.unwritten += text.count("\n")
            return len(text)

    def writelines(self, lines: Any) -> None:
        """Each as `write` does."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """What the stream holds goes out, or the fault is kept."""
        try:
            self._open().flush()
        except (OSError, ValueError) as fault:
            self._note(fault)

    def isatty(self) -> bool:
        """Whether a person sees it."""
        try:
            return self._stream is not None and self._stream.isatty()
        except ValueError:
            return False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._open(), name)

    def _open(self) -> TextIO:
        if self._stream is None:
            raise OSError(errno.EBADF, "it is closed")
        return self._stream

    def _note(self, fault: Exception) -> None:
        self.fault = self.fault or fault

    def let_go(self) -> None:
        """Send what a faulty stream still holds nowhere: the interpreter would try again when it ends."""
        if self.fault is None or self._stream is None:
            return
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)


def guard() -> tuple[Guarded, Guarded]:
    """Guard this process's output and error from here on; what they are then."""
    keep_descriptors()
    for name in ("stdout", "stderr"):
        if not isinstance(getattr(sys, name), Guarded):
            setattr(sys, name, Guarded(getattr(sys, name)))
    return sys.stdout, sys.stderr  # type: ignore[return-value]


@contextlib.contextmanager
def guarded() -> Iterator[tuple[Guarded, Guarded]]:
    """Output and error, guarded inside the block."""
    before = sys.stdout, sys.stderr
    out, err = guard()
    try:
        yield out, err
    finally:
        for stream, was in zip((out, err), before, strict=True):
            stream.flush()
            if stream is not was:
                stream.let_go()
        sys.stdout, sys.stderr = before


def keep_descriptors() -> None:
    """Open 0, 1 and 2 to nowhere where they are closed: the next file to be opened would become one of them,
    and what a library writes to its standard error would land in a clip or a record.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            with contextlib.suppress(OSError):
                opened = os.open(os.devnull, os.O_RDWR)
                if opened != number:
                    os.dup2(opened, number)
                    os.close(opened)
                os.set_inheritable(number, True)


def say(text: str) -> None:
    """One line on standard error, which never fails."""
    stream = sys.stderr if isinstance(sys.stderr, Guarded) else Guarded(sys.stderr)
    print(text, file=stream, flush=True)


def unwritten() -> int:
    """Lines that standard error did not take so far, where it is guarded."""
    return sys.stderr.unwritten if isinstance(sys.stderr, Guarded) else 0


def exit_code(code: int, out: Guarded, *, answers: bool) -> int:
    """The exit code, given what became of standard output. `answers`: what was asked for is the output.

    A closed pipe is what `| head` does and is passed over in silence, as by other tools.
    """
    out.flush()
    if out.fault is None:
        return code
    if isinstance(out.fault, BrokenPipeError):
        return code or (BROKEN_PIPE_CODE if answers else 0)
    say(f"cogexp: standard output could not be written: {reason_of(out.fault)}")
    return code or int(answers)
