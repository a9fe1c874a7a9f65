"""The record of one run: what was asked, what came out, what it cost. On disk it is the truth.

`record.json` is written last and atomically, with the sizes and digests of the run's files: what it calls ok
was on the disk before it, and what became of the files since is seen. Curves (`per_frame`) lie beside it in
`per_frame.json`, so that reading a thousand records stays quick. Only the standard library here.

Numbers that are not finite never reach the disk: a Record turns them into None when it is made and says so in
`skipped` (a score under its own key, anything else under its dotted path). They are not refused, because a
detector's NaN must not cost the record of an hour's run. Only the spec may hold none: it could not run again.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from cogexp.storage import digests as stored
from cogexp.storage import per_frame_file, record_schema
from cogexp.storage.durable import flush_folder, make_folder, write_in_order
from cogexp.storage.foreign_data import MEGABYTE, ForeignDataError, read_json
from cogexp.storage.plain_values import plain
from cogexp.system.redact import redact

RECORD_FILE = "record.json"
PER_FRAME_FILE = "per_frame.json"
STATUSES = ("ok", "failed", "oom", "interrupted")
RECORD_BYTES = 16 * MEGABYTE  # more is no record

logger = logging.getLogger("cogexp")


class RecordError(ValueError):
    """A record that cannot be read or written. One line for the user; names the file or key."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """One run. Values are plain JSON values (numpy and torch scalars, tuples and paths are converted).

    `scores` and `skipped` are keyed '<native|upscaled>/<metric>'; where a score is None `skipped` says why.
    `stages[name]` holds seconds, cached, peak_allocated_gib, peak_reserved_gib, rss_gib. `files` are relative
    to the run's folder; `digests[file]` is {size, sha256} of each and of the curves. `error` is {type,
    message, stage}, None exactly when status is 'ok'. `started` and `finished` are ISO 8601, UTC.
    `per_frame[key]` is a value a frame (or pair), None where there is none.
    """

    run_id: str
    status: str
    error: dict[str, Any] | None = None
    spec: dict[str, Any]
    resolved: dict[str, Any] = field(default_factory=dict)
    scores: dict[str, float | None] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    artifacts: dict[str, Any] = field(default_factory=dict)
    stages: dict[str, dict[str, Any]] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    digests: dict[str, dict[str, Any]] = field(default_factory=dict)
    device: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    git: dict[str, Any] | None = None
    started: str
    finished: str
    study: str | None = None
    per_frame: dict[str, list[float | None]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check status and types, convert to plain values, null what is not finite, redact the error."""
        not_finite: dict[str, str] = {}
        for item in dataclasses.fields(self):
            try:
                value = plain(getattr(self, item.name), item.name, not_finite)
            except TypeError as error:
                raise RecordError(f"record.{error}") from None
            expected = FIELD_TYPES.get(item.name, dict)
            if not isinstance(value, expected):
                raise RecordError(f"record.{item.name} has the wrong type: {type(value).__name__}")
            object.__setattr__(self, item.name, value)
        if self.status not in STATUSES:
            raise RecordError(f"record.status must be one of {', '.join(STATUSES)}, got {self.status!r}")
        for key, score in self.scores.items():
            if not (score is None or isinstance(score, (int, float))):
                raise RecordError(f"record.scores.{key} must be a number or null, got {score!r}")
        if (self.error is None) != (self.status == "ok"):
            raise RecordError(
                f"record.error must be given exactly when the run was not ok; status is {self.status}"
            )
        if self.error is not None:
            keys = {"type": "", "message": "", "stage": None, **self.error}
            object.__setattr__(self, "error", {**keys, "message": redact(str(keys["message"]))})
        for path, reason in not_finite.items():
            if path.startswith("spec."):
                raise RecordError(f"record.{path} must be finite: {reason}")
            self.skipped.setdefault(path.removeprefix("scores."), reason)

    def to_dict(self) -> dict[str, Any]:
        """What record.json holds: every field but `per_frame`, a copy that the caller may change."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "per_frame"}
        copied: dict[str, Any] = json.loads(json.dumps(values, allow_nan=False))
        return copied

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], per_frame: Mapping[str, Any] | None = None) -> Record:
        """The inverse of `to_dict`. A later version's keys are ignored; a missing key raises RecordError."""
        if not isinstance(values, Mapping):
            raise RecordError(f"not a record of cogexp: expected an object, got {type(values).__name__}")
        known = [f.name for f in dataclasses.fields(cls) if f.name != "per_frame"]
        missing = [name for name in known if name not in values and name not in LATER_KEYS]
        if missing:
            raise RecordError(f"not a record of cogexp: {', '.join(missing)} missing")
        values = {name: values[name] for name in known if name in values}
        if problem := record_schema.problem(values):
            raise RecordError(f"record.{problem}")
        values = record_schema.without_controls(values)
        return cls(**values, per_frame=dict(per_frame or {}))


LATER_KEYS = ("study", "digests")  # older records lack them
FIELD_TYPES: dict[str, type | tuple[type, ...]] = {
    "run_id": str,
    "status": str,
    "started": str,
    "finished": str,
    "error": (dict, type(None)),
    "git": (dict, type(None)),
    "study": (str, type(None)),
}  # all others are dict


def write(record: Record, folder: Path) -> Path:
    """Write per_frame.json and then record.json, each atomically; the path of record.json.

    Both are complete on disk before either name changes: a full disk (OSError) leaves what was there before.
    What else lies in the folder is on the disk before record.json is.
    """
    make_folder(folder)
    texts = {RECORD_FILE: json.dumps(record.to_dict(), allow_nan=False, ensure_ascii=False, indent=2) + "\n"}
    if record.per_frame:
        texts = {PER_FRAME_FILE: per_frame_file.text_of(record.per_frame), **texts}
    absent = () if record.per_frame else (PER_FRAME_FILE,)  # curves of an earlier attempt
    write_in_order(folder, texts, absent)
    return folder / RECORD_FILE


def with_digests(record: Record, folder: Path) -> Record:
    """The record with sizes and digests of its files, which lie in `folder`, and of its curves.

    Raises:
        OSError: a file is missing, empty or cannot be read.
    """
    found = stored.digests_of(folder, record.files.values())
    if record.per_frame:
        found[PER_FRAME_FILE] = stored.digest_of_text(per_frame_file.text_of(record.per_frame))
    return dataclasses.replace(record, digests=found)


def retire(folder: Path) -> None:
    """Remove the run's record for good: its files are about to change. Raises OSError."""
    (folder / RECORD_FILE).unlink(missing_ok=True)
    flush_folder(folder)


def read(folder_or_file: Path, *, per_frame: bool = True) -> Record:
    """The record of a run's folder (or of the file itself). RecordError, one line, if it cannot be used.

    Unreadable curves do not make the record unreadable: they are left out with a warning.
    """
    path = folder_or_file / RECORD_FILE if os.path.isdir(folder_or_file) else folder_or_file
    found: dict[str, Any] = {}
    beside = path.with_name(PER_FRAME_FILE)
    if per_frame and beside.is_file():
        try:
            found = per_frame_file.read(beside)
        except (FileNotFoundError, ForeignDataError) as error:
            logger.warning("per-frame curves left out: %s: %s", beside, error)
    try:
        return Record.from_dict(_load_json(path), found)
    except RecordError as error:
        raise RecordError(str(error) if str(path) in str(error) else f"{path}: {error}") from None


def load_many(folder: Path, *, per_frame: bool = False) -> list[Record]:
    """All readable records in `folder`, `folder`/* or `folder`/runs/*, by path; a warning for each other."""
    records = []
    for pattern in (RECORD_FILE, f"*/{RECORD_FILE}", f"runs/*/{RECORD_FILE}"):
        for path in sorted(folder.glob(pattern)):
            try:
                records.append(read(path, per_frame=per_frame))
            except RecordError as error:
                logger.warning("record left out: %s", error)
    return records


def stamp(folder: Path) -> int | None:
    """When the run's record was last written (ns, by the clock of its file system), None without one."""
    try:
        return (folder / RECORD_FILE).stat().st_mtime_ns
    except OSError:
        return None


def read_if_whole(folder: Path) -> Record | None:
    """The record without its per-frame values, or None when there is no readable one."""
    try:
        return read(folder, per_frame=False)
    except (RecordError, OSError):
        return None


def is_done(folder: Path) -> bool:
    """True only for a folder with a readable record of this very run whose status is ok and whose files are
    there and those that were recorded."""
    found = read_if_whole(folder)
    if found is None or found.status != "ok":
        return False
    if found.run_id != folder.name:
        problem = f"it is the record of {found.run_id}"
    else:
        problem = stored.problem(folder, found.files.values(), found.digests)
    if problem:
        _warn_once(f"{folder} is recorded as ok but is not finished: {problem}")
    return not problem


@functools.lru_cache(maxsize=1000)
def _warn_once(text: str) -> None:
    logger.warning(text)


def now() -> str:
    """The time for `started` and `finished`: ISO 8601, UTC, milliseconds."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


def _load_json(path: Path) -> Any:
    """The JSON in `path`; RecordError when there is none, or when it is not JSON (NaN is not)."""
    try:
        return read_json(path, max_bytes=RECORD_BYTES)
    except FileNotFoundError:
        raise RecordError(f"{path}: there is no record here") from None
    except ForeignDataError as error:
        raise RecordError(f"{path}: unreadable ({error})") from None
