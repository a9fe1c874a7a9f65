"""The one error of reading and writing clips."""

from __future__ import annotations


class VideoError(Exception):
    """A video that cannot be read or written. One line for the user: the file and the reason."""


def first_line(error: BaseException) -> str:
    """An error of a library in one line."""
    reason = getattr(error, "strerror", None) or str(error)
    return next(iter(reason.splitlines()), type(error).__name__)
