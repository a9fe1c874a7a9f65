"""JSON, YAML and text that this process did not write: read once, bounded in size, depth and time.

Only regular files are opened (a named pipe would wait for its writer for ever), only UTF-8 is text, and a
document is measured before anything walks through it: ten lines of YAML aliases stand for a billion values.
"""

from __future__ import annotations

import json
import math
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from cogexp.system.faults import one_line, reason_of

MEGABYTE = 1_000_000
MAX_DEPTH = 32
MAX_YAML_VALUES = 20_000
MAX_YAML_BYTES = MEGABYTE // 4  # PyYAML reads some 100 kB a second
MAX_DIGITS = 309  # of a whole number: the largest that a float holds


class ForeignDataError(ValueError):
    """A file that cannot be used; one line that says what is wrong with it, without its content."""


def read_bytes(path: Path, *, max_bytes: int) -> bytes:
    """The content of a regular file of at most `max_bytes`.

    Raises:
        FileNotFoundError: there is nothing at `path`.
        ForeignDataError: it is no regular file, is larger, or cannot be read.
    """
    try:
        # Not blocking: to open a pipe waits for its other end.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        raise ForeignDataError(f"cannot be read ({reason_of(error)})") from None
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise ForeignDataError("is not a regular file")
    with os.fdopen(descriptor, "rb") as file:
        if status.st_size > max_bytes:
            raise ForeignDataError(f"has {status.st_size:,} bytes, and {max_bytes:,} are the most")
        try:
            content = file.read(max_bytes + 1)
        except OSError as error:
            raise ForeignDataError(f"cannot be read ({reason_of(error)})") from None
    if len(content) > max_bytes:
        raise ForeignDataError(f"has more than {max_bytes:,} bytes")
    return content


def read_text(path: Path, *, max_bytes: int = MEGABYTE) -> str:
    """The same as UTF-8 text.

    Raises:
        FileNotFoundError, ForeignDataError: as `read_bytes`; bytes that are not UTF-8 too.
    """
    try:
        return read_bytes(path, max_bytes=max_bytes).decode("utf-8")
    except UnicodeDecodeError as error:
        raise ForeignDataError(f"is not UTF-8 text (byte {error.start})") from None


def read_json(path: Path, *, max_bytes: int = 16 * MEGABYTE) -> Any:
    """The JSON in a file: finite numbers, at most MAX_DEPTH levels, text without lone surrogates.

    Raises:
        FileNotFoundError, ForeignDataError: as `read_text`; what is not such JSON too.
    """
    return parse_json(read_text(path, max_bytes=max_bytes))


def parse_json(text: str) -> Any:
    """The same of a text.

    Raises:
        ForeignDataError: it is not such JSON.
    """
    try:
        found = json.loads(text, parse_constant=_refuse, parse_float=_finite, parse_int=_bounded)
    except RecursionError:
        raise ForeignDataError(f"is nested deeper than {MAX_DEPTH} levels") from None
    except ValueError as error:
        raise ForeignDataError(f"no JSON ({one_line(error, 120)})") from None
    _check_depth(found)
    if "\\u" in text:  # only an escape makes half a character
        found = without_surrogates(found)
    return found


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:20]} is too large for a number")
    return number


def _bounded(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise ValueError(f"a whole number has {len(text)} digits")
    number = int(text)
    if number.bit_length() > 1023:
        raise ValueError("a whole number is larger than a float holds")
    return number


def _check_depth(found: Any) -> None:
    """Level by level: no recursion, whatever the depth."""
    level, depth = [found], 0
    while level := [child for value in level for child in _children(value)]:
        depth += 1
        if depth > MAX_DEPTH:
            raise ForeignDataError(f"is nested deeper than {MAX_DEPTH} levels")


def _children(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from (item for item in value.values() if isinstance(item, (dict, list)))
    elif isinstance(value, list):
        yield from (item for item in value if isinstance(item, (dict, list)))


def without_surrogates(value: Any) -> Any:
    """`value` (plain JSON, of bounded depth) with '?' for half characters, which no file can hold."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {without_surrogates(key): without_surrogates(item) for key, item in value.items()}
    return [without_surrogates(item) for item in value] if isinstance(value, list) else value


def read_yaml(path: Path, *, as_text: bool = False, max_bytes: int = MAX_YAML_BYTES) -> Any:
    """The YAML in a file as plain values; `as_text` leaves every scalar the text that it is.

    Aliases and merges are allowed as long as the document stays small when they are written out.

    Raises:
        FileNotFoundError, ForeignDataError: as `read_text`; what is not such YAML too.
    """
    return parse_yaml(read_text(path, max_bytes=max_bytes), as_text=as_text)


def parse_yaml(text: str, *, as_text: bool = False) -> Any:
    """The same of a text.

    Raises:
        ForeignDataError: it is not such YAML.
    """
    import yaml

    try:
        loader = _bounded_loader(yaml.BaseLoader if as_text else yaml.SafeLoader)(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _written_out(node, {}, set())
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except ForeignDataError:
        raise
    # A constructor may meet any text: int('0x'), a date of month 13, a key that is a list.
    except (
        yaml.YAMLError,
        ValueError,
        TypeError,
        OverflowError,
        RecursionError,
        AttributeError,
        KeyError,
    ) as e:
        raise ForeignDataError(f"is not YAML ({one_line(e, 120)})") from None


def _bounded_loader(base: Any) -> Any:
    """PyYAML's loader that stops at MAX_DEPTH, before a deep document costs time."""

    class Bounded(base):
        depth = 0

        def compose_node(self, parent: Any, index: Any) -> Any:
            self.depth += 1
            if self.depth > MAX_DEPTH:
                raise ForeignDataError(f"is nested deeper than {MAX_DEPTH} levels")
            try:
                return super().compose_node(parent, index)
            finally:
                self.depth -= 1

    return Bounded


def _written_out(node: Any, known: dict[int, int], above: set[int]) -> int:
    """How many values the node stands for once its aliases are written out.

    Raises:
        ForeignDataError: more than MAX_YAML_VALUES, or a node that holds itself.
    """
    if id(node) in above:
        raise ForeignDataError("is YAML that holds itself")
    if id(node) in known:
        return known[id(node)]
    above.add(id(node))
    count = 1
    if isinstance(node.value, list):
        for child in node.value:
            count += sum(
                _written_out(n, known, above) for n in (child if isinstance(child, tuple) else (child,))
            )
    above.discard(id(node))
    if count > MAX_YAML_VALUES:
        raise ForeignDataError(f"is YAML with more than {MAX_YAML_VALUES:,} values")
    known[id(node)] = count
    return count
