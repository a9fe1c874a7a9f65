"""Files of strangers are decoded in a child process: a decoder that aborts, hangs or eats the memory ends
that child, and the file is refused in one line.

One child serves many files and is started again after a crash. What it yields waits in a pipe until it is
taken, so nothing piles up.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any

from cogexp.media.errors import VideoError

PATIENCE_S = 120.0  # without a single frame
MEMORY = 6 << 30  # bytes that a file may take in the child (Linux, macOS): 8K with its reference frames fits


class Isolated:
    """Runs generators in a child process.

    with Isolated() as child:
        for item in child.items(frames_of, path):
            ...
    """

    def __init__(self, *, patience_s: float = PATIENCE_S) -> None:
        self._patience = patience_s
        self._process: Any = None
        self._pipe: Connection | None = None

    def __enter__(self) -> Isolated:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """Start the child beforehand, so that it is ready when the first file comes."""
        if self._process is not None and self._process.is_alive():
            return
        self.close()
        context = multiprocessing.get_context("spawn")
        self._pipe, far = context.Pipe()
        self._process = context.Process(target=_serve, args=(far,), name="cogexp-decoder", daemon=True)
        self._process.start()
        far.close()

    def items(self, function: Callable[..., Iterable[Any]], name: object, *arguments: Any) -> Iterator[Any]:
        """What `function(name, *arguments)` yields, a function at the top of a module. `name`: of the file.

        Raises VideoError: what the function raised; a child that crashed or was silent for too long.
        """
        self.start()
        assert self._pipe is not None
        finished = False
        try:
            self._pipe.send((function, name, arguments))
            while True:
                if not self._pipe.poll(self._patience):
                    raise VideoError(
                        f"cannot read {name}: its decoder gave nothing for {self._patience:g} s and was ended"
                    )
                what, value = self._pipe.recv()
                if what == "item":
                    yield value
                    continue
                finished = True
                if what == "error":
                    raise VideoError(value)
                return
        except (EOFError, OSError) as error:
            self._process.join(5)
            raise VideoError(f"cannot read {name}: {crash(self._process.exitcode)}") from error
        finally:
            if not finished:
                self.close()  # it still works on this file

    def close(self) -> None:
        """End the child."""
        if self._pipe is not None:
            self._pipe.close()
        if self._process is not None:
            self._process.kill()
            self._process.join()
        self._pipe = self._process = None


def crash(code: int | None) -> str:
    """Why a child's pipe is closed."""
    if code is not None and code < 0:
        with contextlib.suppress(ValueError):
            return f"its decoder crashed ({signal.Signals(-code).name})"
    return f"its decoder crashed (exit code {code})"


def _serve(pipe: Connection) -> None:
    """The child: one request after another until the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends it
    _quieten()
    limited = False
    with contextlib.suppress(EOFError, OSError):
        while True:
            function, name, arguments = pipe.recv()  # imports what the function needs
            if not limited:
                limited = _limit()
            try:
                for item in function(name, *arguments):
                    pipe.send(("item", item))
            except VideoError as error:
                pipe.send(("error", str(error)))
            except MemoryError:
                pipe.send(("error", f"cannot read {name}: it asks for more memory than a clip may"))
            except BrokenPipeError:
                return
            else:
                pipe.send(("end", None))


def _quieten() -> None:
    """What C libraries print while they crash is not for the user: the reason comes from the exit code."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    os.close(nowhere)


def _limit() -> bool:
    """No more memory than MEMORY beyond what the libraries have reserved, and no core file; always True."""
    import psutil

    try:
        import resource
    except ImportError:  # Windows
        return True
    with contextlib.suppress(ValueError, OSError):
        most = psutil.Process().memory_info().vms + MEMORY
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (most if hard < 0 else min(most, hard), hard))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    return True
