"""Text from users and files where it must not do harm: file names, terminals, messages, tables."""

from __future__ import annotations

import re

FILE_NAME_BYTES = 180  # of 255: room for a digest, a suffix and the name of a file that is being written
LONGEST_VALUE = 200
# Terminals obey these: C0 and C1 controls but tab and newline, and what reverses the order of the letters.
_STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def file_name(text: str, *, max_bytes: int = FILE_NAME_BYTES) -> str:
    """`text` as a part of a file's name: letters, digits, '.', '_', '-'; 80 of them in `max_bytes`."""
    safe = re.sub(r"[^\w.-]+", "-", text[:10_000]).strip(".-")[:80]
    return safe.encode("utf-8", "replace")[:max_bytes].decode("utf-8", "ignore")


def visible(text: str) -> str:
    """`text` with escapes ('\\x1b') for the characters that would steer a terminal."""
    return _STEERING.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


def shortened(text: str, longest: int = LONGEST_VALUE) -> str:
    """`text` with its middle left out where it is longer than `longest` characters."""
    if len(text) <= longest:
        return text
    half = (longest - 5) // 2
    return f"{text[:half]} ... {text[-half:]}"


def brief(text: str) -> str:
    """A message for the terminal: at most three lines of at most 1,000 characters, nothing that steers it."""
    return "\n".join(shortened(visible(line), 1000) for line in text.strip().splitlines()[:3])


def csv_cell(value: object) -> object:
    """A text that a spreadsheet would take for a formula, with an apostrophe before it; all else as it is."""
    if isinstance(value, str) and value.lstrip(" ")[:1] in ("=", "+", "-", "@", "\t", "\r", "\n"):
        return f"'{value}" if value.strip() not in ("-", "+") else value
    return value
