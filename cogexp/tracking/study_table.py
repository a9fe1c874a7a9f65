"""One W&B table a study: a row a run, with its setting, scores, costs, clips. Plain values, no W&B here."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cogexp.record import Record
from cogexp.storage.run_files import inside
from cogexp.tracking import payload

CLIPS = ("native", "upscaled")
FIRST = ("run_id", "status", "resolution", "width", "height", "model", "upscaler", "prompt", "seed")
COSTS = ("cost/seconds", "cost/peak_allocated_gib")
MOST_CLIPS = 64  # rows with clips: a table's clips are uploaded once more than those of the runs


@dataclass(frozen=True, kw_only=True)
class StudyTable:
    """Columns and rows; a cell of a clip's column is a file or None. `run_id` names the study's state."""

    name: str
    run_id: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    clips: int


def table_of(name: str, found: Sequence[tuple[Record, Path]]) -> StudyTable:
    """The table of a study's runs; `found` holds each record with its folder.

    What differs between the runs has a column, what nobody measured has none. The first seed of every setting
    and prompt has its clips in the table first, up to MOST_CLIPS rows; the others' cells are empty.
    """
    configs = [payload.config(record.spec) for record, _ in found]
    numbers = [payload.numbers(record) for record, _ in found]
    swept = [
        key for key in dict.fromkeys(key for config in configs for key in config)
        if key not in ("spec", "prompt_text", *FIRST) and len({repr(c.get(key)) for c in configs}) > 1
    ]  # fmt: skip
    scores = sorted({key for held in numbers for key in held if key.startswith("delivered/")})
    costs = [key for key in COSTS if any(key in held for held in numbers)]
    shown = set(sorted(range(len(found)), key=lambda i: (configs[i].get("seed", 0), i))[:MOST_CLIPS])
    rows = []
    for index, (record, folder) in enumerate(found):
        config = {**configs[index], "run_id": record.run_id, "status": record.status}
        files = [_clip(record, folder, clip) if index in shown else None for clip in CLIPS]
        rows.append(
            (
                *(config.get(key) for key in (*FIRST, *swept)),
                *(numbers[index].get(key) for key in (*scores, *costs)),
                *files,
            )
        )
    state = "".join(sorted(f"{record.run_id} {record.finished}\n" for record, _ in found))
    digest = hashlib.sha256(f"{name}\n{state}".encode()).hexdigest()[:8]
    slug = "".join(letter if letter.isalnum() and letter.isascii() else "-" for letter in name[:40])
    return StudyTable(
        name=name,
        run_id=f"study-{slug}-{digest}",
        columns=(*FIRST, *swept, *scores, *costs, *CLIPS),
        rows=tuple(rows),
        clips=sum(row[-1] is not None or row[-2] is not None for row in rows),
    )


def _clip(record: Record, folder: Path, name: str) -> Path | None:
    return inside(folder, record.files[name]) if name in record.files else None
