"""The one error of reading and writing clips."""

from __future__ import annotations


class VideoError(Exception):
    """A video that cannot be read or written. One line for the user: the file and the reason."""
