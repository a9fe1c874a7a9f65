"""The `where=` language: conditions joined by 'and'. A tiny parser, no evaluation of code.

    where='tear.level!=certain and motion_px>0.5 and upscaler==esrgan'

A condition is NAME OP VALUE. NAME is a metric, a cost, an axis, `DETECTOR.level`, `prompt`, `seed`, `study`,
`device` or `clip_network`; levels are ordered none < suspect < certain.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from cogexp.spec import SpecError

LEVELS = ("none", "suspect", "certain")
OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}
NAME = r"[A-Za-z_][\w./-]*"
CONDITION = re.compile(
    rf"\s*(?P<name>{NAME})\s*(?P<op>==|!=|<=|>=|<|>|=)\s*(?P<value>\"[^\"]*\"|'[^']*'|[^\s<>=!'\"(),;]+)\s*"
)
JOIN = re.compile(r"and\b\s*")
MAX_LENGTH = 2000
EXAMPLE = "for example: where='tear.level!=certain and motion_px>0.5'"

Value = str | float | bool


@dataclass(frozen=True, kw_only=True)
class Condition:
    """`name op value`; the value is a number, a boolean or a word."""

    name: str
    op: str
    value: Value

    @property
    def is_level(self) -> bool:
        """Whether it asks for the level of an artifact detector."""
        return self.name.endswith(".level")

    def holds(self, found: Any) -> bool:
        """Whether `found` (not None) meets it. Booleans and words compare for equality only."""
        if self.is_level:
            return OPERATORS[self.op](LEVELS.index(found), LEVELS.index(str(self.value)))
        if isinstance(self.value, float) and isinstance(found, (int, float)) and not isinstance(found, bool):
            return OPERATORS[self.op](float(found), self.value)
        same = _word(found) == _word(self.value)
        return same if self.op == "==" else not same

    def __str__(self) -> str:
        return f"{self.name}{self.op}{_word(self.value)}"


def _word(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def parse(text: str) -> tuple[Condition, ...]:
    """The conditions of `text`; none for an empty text.

    Raises:
        SpecError: naming what could not be read.
    """
    if len(text) > MAX_LENGTH:
        raise SpecError(f"where must be at most {MAX_LENGTH} characters, got {len(text)}")
    conditions: list[Condition] = []
    at = 0
    while text[at:].strip():
        if conditions:
            at = _joined(text, at)
        match = CONDITION.match(text, at)
        if match is None:
            raise SpecError(f"where must read NAME OP VALUE, got {text[at:].strip()[:60]!r}; {EXAMPLE}")
        if match["op"] == "=":
            raise SpecError(f"where must use one of {', '.join(OPERATORS)}, got '='; nearest: ==")
        conditions.append(_checked(match["name"], match["op"], _value(match["value"])))
        at = match.end()
    return tuple(conditions)


def _joined(text: str, at: int) -> int:
    join = JOIN.match(text, at)
    if join is None:
        raise SpecError(f"where must join conditions with 'and', got {text[at:].strip()[:60]!r}; {EXAMPLE}")
    if not text[join.end() :].strip():
        raise SpecError(f"where must not end with 'and', got {text[-60:]!r}; {EXAMPLE}")
    return join.end()


def _value(word: str) -> Value:
    if word[0] in "'\"":
        return word[1:-1]
    if word in ("true", "false"):
        return word == "true"
    try:
        number = float(word)
    except ValueError:
        return word
    return number if math.isfinite(number) else word


def _checked(name: str, op: str, value: Value) -> Condition:
    condition = Condition(name=name, op=op, value=value)
    if condition.is_level:
        if value not in LEVELS:
            near = get_close_matches(str(value), LEVELS, n=1, cutoff=0.3) or ["certain"]
            raise SpecError(
                f"where {name} must be one of {', '.join(LEVELS)}, got {value!r}; nearest: {near[0]}"
            )
    elif not isinstance(value, float) and op not in ("==", "!="):
        raise SpecError(
            f"where {name}{op} needs a number, got {_word(value)!r}; words compare with == and !="
        )
    return condition


def known(name: str, choices: Iterable[str], key: str) -> None:
    """Raise SpecError unless `name` is among `choices`, with the nearest."""
    choices = list(dict.fromkeys(choices))
    if name not in choices:
        near = get_close_matches(name, choices, n=1, cutoff=0.4)
        hint = f"nearest: {near[0]}" if near else f"there are: {', '.join(choices[:12])}"
        raise SpecError(f"{key} must name something that these runs have, got {name!r}; {hint}")
