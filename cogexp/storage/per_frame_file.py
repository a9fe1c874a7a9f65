"""per_frame.json: the curves of a run's metrics, a value a frame (or pair), None where there is none."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cogexp.storage import record_schema
from cogexp.storage.foreign_data import MEGABYTE, ForeignDataError, read_json

MOST_BYTES = 128 * MEGABYTE


def text_of(per_frame: Mapping[str, Any]) -> str:
    """What the file holds."""
    return json.dumps(per_frame, allow_nan=False) + "\n"


def read(file: Path) -> dict[str, Any]:
    """The curves of a file.

    Raises:
        FileNotFoundError: there is none.
        ForeignDataError: it holds no curves.
    """
    found = read_json(file, max_bytes=MOST_BYTES)
    if problem := record_schema.curves_problem(found):
        raise ForeignDataError(problem)
    return dict(found)
