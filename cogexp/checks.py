"""Reading one section of a nested mapping, strictly: every error names the dotted key and what is legal."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from cogexp.spec import SpecError
from cogexp.storage.digests import sha256_of
from cogexp.storage.record_schema import without_controls
from cogexp.storage.run_files import expanded, is_file, is_folder
from cogexp.system.faults import reason_of
from cogexp.system.text import shortened

LONGEST_TEXT = 20_000
MAX_BITS = 1023  # of a whole number: the largest that a float holds


def known_keys(mapping: Mapping[str, Any], prefix: str, known: tuple[str, ...]) -> None:
    """Raise SpecError for the first key that is not in `known`, naming the nearest."""
    for key in mapping:
        if key not in known:
            near = get_close_matches(str(key), known, n=1, cutoff=0.5)
            hint = f"nearest: {prefix}{near[0]}" if near else f"known: {', '.join(known)}"
            raise SpecError(f"{prefix}{key} is not a key of cogexp; {hint}")


def shown(value: object) -> str:
    """A value as a user would recognise it: null for None, lower-case booleans, quotes around text."""
    if value is None:
        return "null"
    if isinstance(value, int) and value.bit_length() > MAX_BITS:
        return f"a number of about {value.bit_length() * 0.30103:.0f} digits"
    return str(value).lower() if isinstance(value, bool) else shortened(repr(value))


class Section:
    """Typed access to one group of the configuration.

    Nothing is converted except a whole float to an int; `true` is not a number and `50` is not a text.
    """

    def __init__(
        self, config: Mapping[str, Any], name: str, keys: tuple[str, ...], groups: tuple[str, ...] = ()
    ) -> None:
        section = config.get(name, {}) if name else config
        if not isinstance(section, Mapping):
            raise SpecError(
                f"{name} must be one of the files of conf/{name}, or a group of keys, got {shown(section)}; "
                f"for example: {name}.{keys[0]}=..."
            )
        self.prefix = f"{name}." if name else ""
        known_keys(section, self.prefix, keys + groups)
        self._section = section

    def _wrong(self, key: str, rule: str, value: object, remedy: str) -> SpecError:
        return SpecError(f"{self.prefix}{key} must be {rule}, got {shown(value)}; {remedy}")

    def boolean(self, key: str, default: bool) -> bool:
        """true or false."""
        value = self._section.get(key, default)
        if isinstance(value, bool):
            return value
        nearest = "true" if str(value).lower() in ("1", "yes", "on", "y") else "false"
        raise self._wrong(key, "true or false", value, f"nearest: {nearest}")

    def boolean_or_auto(self, key: str) -> bool | None:
        """true, false, or None for auto."""
        value = self._section.get(key, "auto")
        if value == "auto":
            return None
        if isinstance(value, bool):
            return value
        raise self._wrong(key, "true, false or auto", value, "nearest: auto")

    def boolean_or_choice(self, key: str, default: bool, texts: tuple[str, ...]) -> bool | str:
        """true, false or one of `texts`: a flag with more than two values."""
        value = self._section.get(key, default)
        if isinstance(value, bool) or value in texts:
            return value
        near = get_close_matches(str(value).lower(), texts, n=1, cutoff=0.5)
        yes = "true" if str(value).lower() in ("1", "yes", "on", "y") else "false"
        rule = f"true, false or {' or '.join(texts)}"
        raise self._wrong(key, rule, value, f"nearest: {near[0] if near else yes}")

    def integer(self, key: str, default: int) -> int:
        """A whole number."""
        return _whole(self, key, self._section.get(key, default), "a whole number", default)

    def integer_or_auto(self, key: str, default: int) -> int:
        """A whole number; auto gives `default`."""
        value = self._section.get(key, "auto")
        return default if value == "auto" else _whole(self, key, value, "a whole number or auto", "auto")

    def rate_or_auto(self, key: str, default: float) -> float:
        """A rate as a number or a ratio (24, 23.976, 30000/1001), whole ones as int; auto gives `default`."""
        value = self._section.get(key, "auto")
        if value == "auto":
            return default
        wrong = self._wrong(key, "a number, a ratio or auto", value, f"nearest: {default:g}, or 30000/1001")
        if isinstance(value, str):
            found = re.fullmatch(r"\s*(\d{1,9})\s*/\s*(\d{1,9})\s*", value)
            if not found or not int(found[2]):
                raise wrong
            value = int(found[1]) / int(found[2])
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise wrong
        return int(value) if math.isfinite(value) and value == int(value) else value

    def number(self, key: str, default: float) -> float:
        """A finite number."""
        value = self._section.get(key, default)
        if not _is_number(value):
            raise self._wrong(key, "a number", value, f"nearest: {default:g}")
        return float(value)

    def number_or_auto(self, key: str, default: float) -> float:
        """A finite number; auto gives `default`."""
        value = self._section.get(key, "auto")
        if value == "auto":
            return default
        if not _is_number(value):
            raise self._wrong(key, "a number or auto", value, "nearest: auto")
        return float(value)

    def text(self, key: str, default: str | None = None) -> str:
        """A text; without a default it must be given."""
        value = self._section.get(key, default)
        if isinstance(value, str):
            return self._checked_text(key, value)
        nearest = f"nearest: {default}" if default else f"for example: {self.prefix}{key}=\"'two wolves'\""
        remedy = nearest if value is None else f"quote it: {self.prefix}{key}=\"'{value}'\""
        raise self._wrong(key, "a text", value, remedy)

    def _checked_text(self, key: str, value: str) -> str:
        """Refuse what would cost time and space wherever it is shown, or steer a terminal."""
        if len(value) > LONGEST_TEXT:
            remedy = f"shorten it; a model reads a few hundred words, this has {len(value):,} characters"
            raise self._wrong(key, f"a text of at most {LONGEST_TEXT:,} characters", value, remedy)
        if without_controls(value) != value:
            raise self._wrong(key, "a text without control characters", value, "leave them out")
        return value

    def optional_text(self, key: str) -> str | None:
        """A text or null."""
        return None if self._section.get(key) is None else self.text(key)

    def names(self, key: str) -> tuple[str, ...]:
        """One name, or a list of names."""
        value = self._section.get(key, "default")
        if isinstance(value, str):
            return (value,)
        if isinstance(value, (list, tuple)) and all(isinstance(name, str) for name in value):
            return tuple(value)
        raise self._wrong(key, "a name or a list of names", value, "nearest: default")


def _is_number(value: Any) -> bool:
    """A number that a float holds."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value.bit_length() <= MAX_BITS
    return isinstance(value, float)


# Where a number that is no whole one may be rounded to; elsewhere more rules decide, and the default is said.
ROUNDED = {
    "sampler.steps": (1, 1000), "metrics.height": (64, 2160), "metrics.batch": (1, 1024),
    "seed": (0, 2**31), "resolution.fps": (1, 120),
}  # fmt: skip


def _whole(section: Section, key: str, value: object, rule: str, default: int | str) -> int:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        nearest = default
        if (
            isinstance(value, float)
            and math.isfinite(value)
            and (limits := ROUNDED.get(section.prefix + key))
        ):
            nearest = min(max(round(value), limits[0]), limits[1])
        raise section._wrong(key, rule, value, f"nearest: {nearest}")
    return value


@dataclass(frozen=True)
class UserFile:
    """A file of the user's: where it is, and the digest of its content, which is what counts."""

    path: str
    sha256: str


def require_file(key: str, value: str, suffixes: tuple[str, ...]) -> UserFile:
    """An existing file with one of `suffixes`, or SpecError that names a near one in the same folder."""
    path = expanded(value)
    if path.suffix.lower() not in suffixes:
        raise SpecError(
            f"{key} must be a {' or '.join(suffixes)} file, got {value!r}; nearest: a file of that kind"
        )
    if not is_file(path):
        folder = path.parent
        siblings = [f.name for f in folder.iterdir() if f.suffix in suffixes] if is_folder(folder) else []
        near = get_close_matches(path.name, siblings, n=1, cutoff=0.4)
        hint = f"nearest: {folder / near[0]}" if near else f"no such file in {str(folder)!r}"
        raise SpecError(f"{key} must be an existing file, got {value!r}; {hint}")
    try:
        return UserFile(str(path.absolute()), sha256_of(path))
    except OSError as error:
        raise SpecError(
            f"{key} must be a file that can be read, got {value!r}: {reason_of(error)}; nearest: another file"
        ) from None
