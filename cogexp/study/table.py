"""A study: rows of many records, which axes vary, the table for other tools. Standard library only."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cogexp import record as records
from cogexp.record import Record
from cogexp.spec import SpecError
from cogexp.storage.run_files import is_folder
from cogexp.study import manifest
from cogexp.study.rows import Row, flat, row_of

if TYPE_CHECKING:
    import pandas

__all__ = ["Row", "Study", "load", "study_of"]

# An axis that says nothing new where its parent decides it: scale 1 and 4 are only none and esrgan again.
PARENTS = {
    "width": "resolution",
    "height": "resolution",
    "source": "model",
    "revision": "model",
    "weights": "model",
    "dtype": "model",
    "fps": "model",
    "dynamic_cfg": "scheduler",
    "scale": "upscaler",
    "blend": "upscaler",
    "tile_px": "upscaler",
    "upscaler_weights": "upscaler",
    "upscaler_weights_sha256": "upscaler",
}


@dataclass(frozen=True, kw_only=True)
class Study:
    """Rows in a fixed order (by setting, prompt, seed), whatever order the records came in."""

    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()

    @cached_property
    def axes(self) -> tuple[str, ...]:
        """Names of the axes, in the order of the spec."""
        return tuple(dict.fromkeys(name for row in self.rows for name in row.axes))

    @cached_property
    def varying(self) -> tuple[str, ...]:
        """Axes with more than one value, without those that their parent axis decides."""
        names = [name for name in self.axes if len({repr(row.axes.get(name)) for row in self.rows}) > 1]
        return tuple(name for name in names if not self._decided(name))

    def _decided(self, name: str) -> bool:
        parent = PARENTS.get(name)
        if parent is None or parent not in self.axes:
            return False
        values: dict[str, set[str]] = {}
        for row in self.rows:
            values.setdefault(repr(row.axes.get(parent)), set()).add(repr(row.axes.get(name)))
        return all(len(found) == 1 for found in values.values())

    def settings(self) -> dict[str, list[Row]]:
        """Setting key -> its rows, in the order of the axis values."""
        groups: dict[str, list[Row]] = {}
        for row in self.rows:
            groups.setdefault(row.setting, []).append(row)
        return groups

    def metrics(self) -> tuple[str, ...]:
        """Bare names of the metrics that at least one run was asked for."""
        return tuple(dict.fromkeys(key.partition("/")[2] for row in self.rows for key in row.scores))

    def frame(self) -> pandas.DataFrame:
        """One row a run, flat columns: axes, prompt, seed, status, scores, costs, artifacts."""
        import pandas

        return pandas.DataFrame([flat(row) for row in self.rows])


def load(folder: Path | str, study: str | None = None) -> Study:
    """The runs in `folder` (with record.json files in it, in */ or in runs/*/); with `study` only its own.

    Raises:
        SpecError: there is no such folder, no record in it, or no such study.
    """
    folder = Path(folder)
    if not is_folder(folder):
        raise SpecError(f"DIR must be a folder with records, got {str(folder)!r}; for example: outputs")
    found = records.load_many(folder)
    if not found:
        raise SpecError(
            f"DIR must hold records of runs (runs/*/record.json), got {str(folder)!r} with none; "
            "make some with: python -m cogexp"
        )
    if study is not None:
        found = [replace(record, study=study) for record in manifest.of_study(found, folder, study)]
    return study_of(found)


def study_of(found: Iterable[Record]) -> Study:
    """Rows of these records. A run recorded twice counts once: the one that finished last."""
    latest: dict[str, Row] = {}
    notes = []
    for row in map(row_of, found):
        if row.run_id in latest:
            notes.append(f"{row.run_id} has several records: the one that finished last counts")
        if row.run_id not in latest or row.finished > latest[row.run_id].finished:
            latest[row.run_id] = row
    return Study(rows=tuple(sorted(latest.values(), key=_order)), notes=tuple(sorted(set(notes))))


def _order(row: Row) -> tuple[Any, ...]:
    # Numbers by size, then everything else by name: 512x288 comes after 384x224.
    axes = [(0, value, "") if _is_number(value) else (1, 0, repr(value)) for value in row.axes.values()]
    return (axes, row.setting, row.prompt, row.text, row.seed, row.run_id)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
