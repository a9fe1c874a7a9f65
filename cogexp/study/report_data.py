"""What the report's page is told, as plain JSON values: axes, runs, the decision's table, costs."""

from __future__ import annotations

import shlex
import statistics
from pathlib import Path
from typing import Any

from cogexp import record as records
from cogexp.record import Record
from cogexp.storage.foreign_data import ForeignDataError, read_text
from cogexp.storage.run_files import inside
from cogexp.study.pick import Choice
from cogexp.study.report_media import Media
from cogexp.study.rows import Row
from cogexp.study.table import Study
from cogexp.study.words import columns, plain, to_json

DIGITS = 5
STAGES = ("load", "encode", "denoise", "decode", "upscale", "measure", "write")
CLIPS = ("native", "upscaled")
MACHINE_KEYS = ("versions", "git", "device", "resolved")


def page_data(
    study: Study, choice: Choice | None, found: list[tuple[Row, Record, Path]], media: Media
) -> dict[str, Any]:
    """All of it. `found` holds each run's row, record and folder."""
    shared: list[dict[str, Any]] = []
    runs = [_run(row, record, home, study, media, shared) for row, record, home in found]
    return {
        "axes": list(study.varying),
        "stages": sorted({stage for run in runs for stage in run["stages"]}, key=_place),
        "runs": runs,
        "shared": shared,
        "choice": _choice(choice),
        "costs": _costs(study, found),
        "held": media.held,
    }


def runs_of(study: Study, folder: Path) -> list[tuple[Row, Record, Path]]:
    """Each row with its record and the folder that it lies in."""
    found = []
    for row in study.rows:
        home = next((p for p in (folder / "runs" / row.run_id, folder / row.run_id) if p.is_dir()), folder)
        try:
            found.append((row, records.read(home), home))
        except records.RecordError:  # removed since the study was loaded
            continue
    return found


def command_of(home: Path) -> str:
    """What repeats a run, to paste into a shell."""
    return f"python -m cogexp --config-path {shlex.quote(home.as_posix())} force=true"


def _choice(choice: Choice | None) -> dict[str, Any] | None:
    if choice is None or not choice.table:
        return None
    rows = to_json(choice)["table"]
    for index, row in enumerate(rows):
        row["mark"] = (
            ("best" if choice.decisive else "leads") if index == 0 else "tied" if row["tied"] else ""
        )
    bare = choice.objective.partition("/")[2] or choice.objective
    return {"table": rows, "objective": choice.objective, "bare": bare, "metrics": columns(choice)}


def _run(
    row: Row, record: Record, home: Path, study: Study, media: Media, shared: list[dict[str, Any]]
) -> dict[str, Any]:
    artifacts = row.artifacts.get(row.delivered) or row.artifacts.get("native") or {}
    size = record.spec.get("resolution") or {}
    return {
        "id": row.run_id,
        "axes": {name: row.axes.get(name) for name in study.varying},
        "size": [size.get("width", 16), size.get("height", 9)],
        "fps": size.get("fps"),
        "prompt": row.prompt,
        "text": row.text,
        "seed": row.seed,
        "status": row.status,
        "error": row.error,
        "delivered": row.delivered,
        "scores": row.scores,
        "skipped": row.skipped,
        "seconds": row.costs.get("seconds"),
        "stages": {name: _stage(record.stages[name]) for name in sorted(record.stages, key=_place)},
        "peak": row.costs.get("peak_allocated_gib"),
        "level": artifacts.get("level"),
        "found": _found(artifacts),
        "cause": artifacts.get("cause"),
        "poster": media.poster(record, home),
        **{clip: media.link(record, home, clip) for clip in CLIPS},
        "tear": media.link(record, home, "tear"),
        "sheet": media.link(record, home, "contact_sheet", embeds=False),
        "log": media.path(home, "log.txt", embeds=False),
        "record": media.path(home, records.RECORD_FILE, embeds=False),
        "per_frame": {name: _rounded(curve) for name, curve in record.per_frame.items()},
        "command": command_of(home),
        "config": _config(home),
        "shared": _shared(record, shared),
        "started": record.started,
    }


def _config(home: Path) -> str | None:
    """The run's config.yaml; None without one that can be shown."""
    file = inside(home, "config.yaml")
    try:
        return read_text(file) if file else None
    except (OSError, ForeignDataError):
        return None


def _place(stage: str) -> tuple[int, str]:
    return (STAGES.index(stage) if stage in STAGES else len(STAGES), stage)


def _stage(cost: dict[str, Any]) -> dict[str, Any]:
    return {"seconds": cost.get("seconds"), "cached": bool(cost.get("cached")), "peak": _peak(cost)}


def _peak(cost: dict[str, Any]) -> float | None:
    return cost.get("peak_allocated_gib")


def _found(artifacts: dict[str, Any]) -> str | None:
    if not artifacts.get("level"):
        return None
    kind = f" {artifacts['kind']}" if artifacts.get("kind") else ""
    rows = f", rows {artifacts['rows'][0]}-{artifacts['rows'][1]}" if artifacts.get("rows") else ""
    return f"{artifacts['level']}{kind}{rows}"


def _shared(record: Record, shared: list[dict[str, Any]]) -> int:
    """Index of what many runs have in common: machine, versions, commit, automatic choices."""
    own = {key: value for key in MACHINE_KEYS if (value := getattr(record, key))}
    if own not in shared:
        shared.append(own)
    return shared.index(own)


def _rounded(curve: list[float | None]) -> list[float | None]:
    return [None if value is None else float(f"{value:.{DIGITS}g}") for value in curve]


def _costs(study: Study, found: list[tuple[Row, Record, Path]]) -> dict[str, Any]:
    """By setting: mean seconds and largest peak of each stage; and the seconds that were really spent."""
    of = {row.run_id: record for row, record, _ in found}
    settings = []
    for rows in study.settings().values():
        stages: dict[str, dict[str, list[float]]] = {}
        for record in (of[row.run_id] for row in rows if row.run_id in of and row.status == "ok"):
            for name, cost in record.stages.items():
                held = stages.setdefault(name, {"seconds": [], "peak": []})
                for key, value in (("seconds", cost.get("seconds")), ("peak", _peak(cost))):
                    if value is not None:
                        held[key].append(value)
        settings.append(
            {
                "axes": {name: plain(rows[0].axes.get(name)) for name in study.varying},
                "runs": len(rows),
                "ok": sum(row.status == "ok" for row in rows),
                "stages": {
                    name: {
                        "seconds": statistics.fmean(held["seconds"]) if held["seconds"] else None,
                        "peak": max(held["peak"], default=None),
                    }
                    for name, held in stages.items()
                },
            }
        )
    spent = [
        cost["seconds"] for record in of.values() for cost in record.stages.values()
        if cost.get("seconds") is not None and not cost.get("cached")
    ]  # fmt: skip
    return {"settings": settings, "spent": sum(spent), "reused": _reused(of)}


def _reused(of: dict[str, Record]) -> float:
    """Seconds that the store saved."""
    return sum(
        cost["seconds"] for record in of.values() for cost in record.stages.values()
        if cost.get("cached") and cost.get("seconds") is not None
    )  # fmt: skip
