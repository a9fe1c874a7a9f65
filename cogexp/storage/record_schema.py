"""What the fields of a record.json may hold, checked once when one is read.

A record may come from another machine, another version or another person. What passes here has the types,
the bounds and the paths that every reader (`pick`, `report`, W&B) relies on; keys of later versions pass as
plain values.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from cogexp.storage.run_files import MAX_NAME_BYTES, path_problem
from cogexp.system.text import visible

# The problem of a value, as 'DOTTED KEY RULE'; None when there is none.
Check = Callable[[str, Any], "str | None"]

MAX_ENTRIES = 10_000  # of a mapping
MAX_TEXT = 1_000_000
MAX_KEY = 1_000
MAX_VALUES = 2_000_000  # of a list: the frames of a curve
LEVELS = ("none", "suspect", "certain")
CONTROLS = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f]"
)  # all but tab and newline: they would steer a terminal


def problem(values: Mapping[str, Any]) -> str | None:
    """What is wrong with a record's fields: 'files.native must stay inside ...'; None if nothing is."""
    return RECORD("", values)


def curves_problem(values: Any) -> str | None:
    """The same for the content of per_frame.json."""
    return _mapping(_list(_optional(_number())))("per_frame", values)


def without_controls(value: Any) -> Any:
    """`value` (checked) with U+FFFD for every control character but tab and newline."""
    if isinstance(value, str):
        return CONTROLS.sub("\ufffd", value)
    if isinstance(value, dict):
        return {without_controls(key): without_controls(item) for key, item in value.items()}
    return [without_controls(item) for item in value] if isinstance(value, list) else value


def _text(longest: int = MAX_TEXT) -> Check:
    def check(key: str, value: Any) -> str | None:
        if not isinstance(value, str):
            return f"{key} must be a text"
        return f"{key} must have at most {longest:,} characters" if len(value) > longest else None

    return check


def _one_of(choices: tuple[str, ...]) -> Check:
    return lambda key, value: None if value in choices else f"{key} must be one of {', '.join(choices)}"


def _number(low: float = -math.inf, high: float = math.inf, *, integer: bool = False) -> Check:
    kinds: tuple[type, ...] = (int,) if integer else (int, float)
    rule = f"must be a {'whole' if integer else 'finite'} number"
    if not math.isinf(low):
        rule += f" from {low:g} to {high:g}"

    def check(key: str, value: Any) -> str | None:
        try:
            legal = type(value) in kinds and math.isfinite(value) and low <= value <= high
        except OverflowError:  # an integer that no float holds
            legal = False
        return None if legal else f"{key} {rule}"

    return check


def _boolean(key: str, value: Any) -> str | None:
    return None if isinstance(value, bool) else f"{key} must be true or false"


def _optional(check: Check) -> Check:
    return lambda key, value: None if value is None else check(key, value)


def _list(check: Check, *, length: int | None = None) -> Check:
    def checked(key: str, value: Any) -> str | None:
        if not isinstance(value, list) or len(value) > MAX_VALUES:
            return f"{key} must be a list"
        if length is not None and len(value) != length:
            return f"{key} must be a list of {length}"
        return next((found for item in value if (found := check(key, item))), None)

    return checked


def _mapping(check: Check) -> Check:
    def checked(key: str, value: Any) -> str | None:
        if not isinstance(value, dict):
            return f"{key} must be an object"
        if len(value) > MAX_ENTRIES:
            return f"{key} must have at most {MAX_ENTRIES:,} entries"
        for name, item in value.items():
            if not isinstance(name, str) or len(name) > MAX_KEY:
                return f"{key} must have short texts as keys"
            if found := check(f"{key}.{visible(name[:60])}".lstrip("."), item):
                return found
        return None

    return checked


def _fields(known: Mapping[str, Check], others: Check) -> Check:
    """An object whose `known` keys, where they are there, pass their own check."""

    def check(key: str, value: Any) -> str | None:
        name = key.rpartition(".")[2]
        return known.get(name, others)(key, value)

    return lambda key, value: _mapping(check)(key, value)


def _plain(key: str, value: Any) -> str | None:
    """Any JSON value: the reader of the file bounded its depth and its numbers."""
    return None


def _scalar(key: str, value: Any) -> str | None:
    if isinstance(value, str):
        return _text()(key, value)
    if isinstance(value, (dict, list)):
        return f"{key} must be a single value"
    return None if value is None or isinstance(value, bool) else _number()(key, value)


def _scalars(key: str, value: Any) -> str | None:
    return _list(_scalar)(key, value) if isinstance(value, list) else _scalar(key, value)


def _path(key: str, value: Any) -> str | None:
    why = path_problem(value) if isinstance(value, str) else "must be a text"
    return f"{key} {why}" if why else None


def _folder_name(key: str, value: Any) -> str | None:
    legal = isinstance(value, str) and not path_problem(value) and "/" not in value
    if legal and len(value.encode()) <= MAX_NAME_BYTES and value.strip("."):
        return None
    return f"{key} must be the name of a folder"


_positive, _cost = _number(1, 100_000, integer=True), _optional(_number(0, 1e12))
_finding: dict[str, Check] = {
    "level": _optional(_one_of(LEVELS)),
    "kind": _optional(_text(MAX_KEY)),
    "score": _optional(_number()),
    "rows": _optional(_list(_number(), length=2)),
    "cause": _optional(_text(MAX_KEY)),
}
_detector = _fields(_finding, _plain)
_group = _mapping(_scalars)
_spec: dict[str, Check] = {
    "model": _fields({"name": _text(MAX_KEY)}, _scalars),
    "resolution": _fields(
        {"width": _positive, "height": _positive, "frames": _positive, "fps": _number(0.001, 100_000)},
        _scalars,
    ),
    "sampler": _group,
    "optimization": _group,
    "upscaler": _fields({"name": _text(MAX_KEY)}, _scalars),
    "prompt": _fields(
        {"name": _text(), "text": _text(), "negative": _text(), "image": _optional(_text())}, _scalars
    ),
    "metrics": _group,
    "seed": _number(0, 2**63 - 1, integer=True),
}
_stage: dict[str, Check] = {
    "seconds": _cost,
    "cached": _optional(_boolean),
    "peak_allocated_gib": _cost,
    "peak_reserved_gib": _cost,
    "rss_gib": _cost,
}
RECORD = _fields(
    {
        "run_id": _folder_name,
        "status": _text(MAX_KEY),
        "error": _optional(
            _fields({"type": _text(), "message": _text(), "stage": _optional(_text(MAX_KEY))}, _plain)
        ),
        "spec": _fields(_spec, _plain),
        "resolved": _mapping(_text()),
        "scores": _mapping(_optional(_number())),
        "skipped": _mapping(_text()),
        "artifacts": _mapping(_fields({**_finding, "detectors": _optional(_mapping(_detector))}, _plain)),
        "stages": _mapping(_fields(_stage, _scalars)),
        "files": _mapping(_path),
        "device": _fields({"type": _optional(_text(MAX_KEY)), "gpu": _optional(_text(MAX_KEY))}, _scalars),
        "versions": _mapping(_optional(_text(MAX_KEY))),
        "git": _optional(_mapping(_scalars)),
        "started": _text(MAX_KEY),
        "finished": _text(MAX_KEY),
        "study": _optional(_text(MAX_KEY * 10)),
    },
    _plain,
)

_required_spec = ("model", "resolution", "sampler", "optimization")
BENCH = _fields(
    {
        "bench_id": _folder_name,
        "status": _text(MAX_KEY),
        "error": _optional(_mapping(_scalar)),
        "spec": _fields(_spec, _plain),
        "steps": _positive,
        "step_seconds": _list(_number(0, 1e12)),
        "encode_seconds": _cost,
        "decode_seconds": _cost,
        "step": _cost,
        "clip_seconds": _cost,
        "memory": _mapping(_number(0, 1e12)),
        "reserved": _mapping(_number(0, 1e12)),
        "planned": _mapping(_number(0, 1e12)),
        "plan_error": _optional(_number()),
        "peak_gib": _cost,
        "resolved": _mapping(_text()),
        "device": _fields({"type": _optional(_text(MAX_KEY)), "gpu": _optional(_text(MAX_KEY))}, _scalars),
        "versions": _mapping(_optional(_text(MAX_KEY))),
        "git": _optional(_mapping(_scalars)),
        "started": _text(MAX_KEY),
        "finished": _text(MAX_KEY),
    },
    _plain,
)


def bench_problem(values: Any) -> str | None:
    """The same as `problem` for the content of a bench.json."""
    if isinstance(values, dict) and isinstance(values.get("spec"), dict):
        lacking = [name for name in _required_spec if name not in values["spec"]]
        if lacking:
            return f"spec must have {', '.join(lacking)}"
    return BENCH("", values)
