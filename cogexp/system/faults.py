"""What kind of fault an exception is, whoever raised it: memory that is short; and any in one line."""

from __future__ import annotations

import errno
from collections.abc import Iterator

from cogexp.system.redact import redact

# How the libraries in use say that memory is short: torch on CPU and GPU, cuBLAS and cuDNN, C++, safetensors,
# numpy, OpenCV, x264 (through FFmpeg), this package's own words.
MEMORY_WORDS = (
    "out of memory",
    "can't allocate memory",
    "cannot allocate memory",
    "not enough memory",
    "not enough gpu memory",
    "insufficient memory",
    "memory is short",
    "unable to allocate",
    "failed to allocate",
    "bad_alloc",
    "alloc_failed",
    "malloc",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory was short on the machine or its GPU: by type, number or words, also of its causes.

    By name and text: no library is imported. A ValueError is about a request, whatever it says.
    """
    return any(map(_is_short, _chain(error)))


def one_line(error: BaseException, longest: int = 300) -> str:
    """The exception's message in one line of at most `longest` characters; its type if it has none."""
    return " ".join(str(error).split())[:longest] or type(error).__name__


def redacted_line(error: BaseException, longest: int) -> str:
    """The same without secrets. They go before it is cut: half of a secret is not known again."""
    return redact(" ".join(str(error).split()))[:longest] or type(error).__name__


def reason_of(error: BaseException) -> str:
    """Why the system refused, without the number and the file of an OSError: 'No space left on device'."""
    return getattr(error, "strerror", None) or one_line(error)


def described(error: BaseException) -> str:
    """A fault of the disk or the memory as one line: the file, where it is known, and the reason."""
    if is_out_of_memory(error):
        detail = " ".join(str(error).split())[:200]
        return f"memory is short{f': {detail}' if detail else ''}"
    name = getattr(error, "filename", None)
    return reason_of(error) if name is None else f"{name}: {reason_of(error)}"


def _is_short(error: BaseException) -> bool:
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    if isinstance(error, ValueError) or not isinstance(error, Exception):
        return False
    text = str(error).lower()
    return any(words in text for words in MEMORY_WORDS)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The exception and those that it was raised from."""
    visited: set[int] = set()
    found: BaseException | None = error
    while found is not None and id(found) not in visited:
        visited.add(id(found))
        yield found
        found = found.__cause__ or (None if found.__suppress_context__ else found.__context__)
