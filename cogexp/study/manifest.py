"""Which runs belong to a study: `outputs/studies/<name>.json`.

A record names the study that made the run; a second study that asks for the same run finds it done and would
not have it. Here every study lists all of its runs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from cogexp.record import Record
from cogexp.spec import SpecError, digest
from cogexp.storage.durable import make_folder
from cogexp.storage.lock import Lock
from cogexp.whole import write_whole

FOLDER = "studies"


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """A study's name, the ids of its runs, and the words that `pick` decides it by."""

    study: str
    runs: tuple[str, ...]
    pick: tuple[str, ...] = ()


def file_of(outputs: Path, study: str) -> Path:
    """Where the manifest of `study` lies; any text makes a file name of its own."""
    safe = re.sub(r"[^\w.-]+", "-", study).strip(".-")[:80]
    return outputs / FOLDER / f"{safe if safe == study else f'{safe}-{digest(study)[:6]}'}.json"


def write(outputs: Path, manifest: Manifest) -> Manifest:
    """Add the runs to those that the study has already; what it has then. Atomic, one writer at a time."""
    file = file_of(outputs, manifest.study)
    make_folder(file.parent)
    with Lock(file.with_suffix(".lock")):
        before = read(outputs, manifest.study)
        runs = tuple(dict.fromkeys([*(before.runs if before else ()), *manifest.runs]))
        pick = manifest.pick or (before.pick if before else ())
        plain = {"study": manifest.study, "runs": runs, "pick": pick}
        write_whole(file, json.dumps(plain, ensure_ascii=False, indent=1) + "\n")
    return Manifest(study=manifest.study, runs=runs, pick=pick)


def read(outputs: Path, study: str) -> Manifest | None:
    """The manifest of `study`; None when there is none, or none that can be read."""
    try:
        plain = json.loads(file_of(outputs, study).read_text(encoding="utf-8"))
        return Manifest(study=study, runs=tuple(plain["runs"]), pick=tuple(plain["pick"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def of_study(records: Sequence[Record], outputs: Path, study: str) -> list[Record]:
    """Those of `records` that belong to `study`: listed by its manifest, or made for it.

    Raises:
        SpecError: none does.
    """
    manifest = read(outputs, study)
    listed = set(manifest.runs) if manifest else set()
    found = [record for record in records if record.study == study or record.run_id in listed]
    if not found:
        known = _known(records, outputs)
        near = get_close_matches(study, known, n=1, cutoff=0.4)
        hint = f"nearest: {near[0]}" if near else f"there are: {', '.join(known) or 'none'}"
        raise SpecError(f"study must name a study of these runs, got {study!r}; {hint}")
    return found


def _known(records: Iterable[Record], outputs: Path) -> list[str]:
    names = {record.study for record in records if record.study}
    for file in (outputs / FOLDER).glob("*.json"):
        try:
            names.add(str(json.loads(file.read_text(encoding="utf-8"))["study"]))
        except (OSError, ValueError, KeyError, TypeError):
            continue  # another's file in this folder is no study
    return sorted(names)
