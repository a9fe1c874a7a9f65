"""Which runs belong to a study: `outputs/studies/<name>.json`.

A record names the study that made the run; a second study that asks for the same run finds it done and would
not have it. Here every study lists all of its runs.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from cogexp.record import Record
from cogexp.spec import SpecError, digest
from cogexp.storage.durable import make_folder
from cogexp.storage.foreign_data import ForeignDataError, read_json
from cogexp.storage.lock import Lock
from cogexp.storage.record_schema import without_controls
from cogexp.system.text import file_name
from cogexp.whole import write_whole

FOLDER = "studies"

log = logging.getLogger("cogexp")


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """A study's name, the ids of its runs, and the words that `pick` decides it by."""

    study: str
    runs: tuple[str, ...]
    pick: tuple[str, ...] = ()


def file_of(outputs: Path, study: str) -> Path:
    """Where the manifest of `study` lies; any text makes a file name of its own."""
    safe = file_name(study)
    return outputs / FOLDER / f"{safe if safe == study else f'{safe}-{digest(study)[:6]}'}.json"


def _by_characters(outputs: Path, study: str) -> Path:
    """Where a long name in a script of several bytes a letter lay, cut after letters instead of bytes."""
    safe = file_name(study, max_bytes=1000)[:80]
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
    for file in dict.fromkeys((file_of(outputs, study), _by_characters(outputs, study))):
        try:
            found = _checked(read_json(file))
        except (FileNotFoundError, NotADirectoryError):
            continue
        except ForeignDataError as error:
            log.warning("study left out: %s: %s", file, error)
            continue
        return Manifest(study=study, runs=found.runs, pick=found.pick)
    return None


def _checked(plain: Any) -> Manifest:
    """The content of a manifest's file. ForeignDataError when it is none."""
    if not isinstance(plain, dict) or not isinstance(plain.get("study"), str):
        raise ForeignDataError("is no study of cogexp")
    for key in ("runs", "pick"):
        if not isinstance(found := plain.get(key), list) or not all(isinstance(word, str) for word in found):
            raise ForeignDataError(f"{key} must be a list of texts")
    return Manifest(study=plain["study"], runs=tuple(plain["runs"]), pick=tuple(plain["pick"]))


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
        with suppress(OSError, ForeignDataError):  # another's file in this folder is no study
            names.add(without_controls(_checked(read_json(file)).study))
    return sorted(names)
