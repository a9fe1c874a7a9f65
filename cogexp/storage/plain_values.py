"""Values of a record as plain JSON values, without importing the libraries that they come from."""

from __future__ import annotations

import math
import numbers
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def plain(value: Any, path: str, not_finite: dict[str, str]) -> Any:
    """`value` as plain JSON values: numpy and torch scalars, tuples and paths are converted.

    A number that is not finite becomes None; `not_finite` then says so under its dotted path.

    Raises:
        TypeError: a value of another kind, named by its dotted path.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _encodable(value)
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        if math.isfinite(value):
            return float(value)
        not_finite[path.partition("[")[0]] = (
            f"the value was {float(value)}, not a finite number; kept as null"
        )
        return None
    if isinstance(value, Mapping):
        return {_encodable(str(key)): plain(item, f"{path}.{key}", not_finite) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item, f"{path}[{i}]", not_finite) for i, item in enumerate(value)]
    if isinstance(value, os.PathLike):
        return Path(value).as_posix()
    if hasattr(value, "tolist"):  # numpy and torch, without importing them
        return plain(value.tolist(), path, not_finite)
    raise TypeError(f"{path} must be a plain value, got {type(value).__name__}")


def _encodable(text: str) -> str:
    """With '?' for half characters, as in file names that are not UTF-8: no file in UTF-8 can hold them."""
    return text.encode("utf-8", "replace").decode()
