"""Tables on stdout, with rich: one run, a sweep's summary, measured files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cogexp.record import RECORD_FILE, Record
from cogexp.terminal import number

STATUS_STYLE = {"ok": "green", "failed": "red", "oom": "red", "interrupted": "yellow"}


def console() -> Console:
    """Standard output; 110 columns where there is no terminal to ask."""
    plain = Console(highlight=False)
    return plain if plain.is_terminal else Console(highlight=False, width=110)


def show_run(record: Record, folder: Path, *, found: bool) -> None:
    """Scores, costs and files of one run, and how it ended."""
    out = console()
    out.print()
    head = Text(record.run_id, style="bold")
    head.append(f"  {record.status}", style=STATUS_STYLE[record.status])
    if found:
        head.append("  found finished, nothing was run (force=true repeats it)", style="dim")
    out.print(head)
    if record.scores:
        out.print(_scores(record))
    if record.stages:
        out.print(_costs(record))
    for name, file in record.files.items():
        out.print(Text(f"  {name:<14} {folder / file}"), soft_wrap=True)
    written = (folder / RECORD_FILE).is_file()
    shown = f"{'' if written else 'not written: '}{folder / RECORD_FILE}"
    out.print(Text(f"  {'record':<14} {shown}"), soft_wrap=True)


def _scores(record: Record) -> Table:
    sides = [
        side for side in ("native", "upscaled") if any(key.startswith(f"{side}/") for key in record.scores)
    ]
    table = Table(box=None, header_style="dim", pad_edge=True)
    table.add_column("metric")
    for side in sides:
        table.add_column(side, justify="right")
    table.add_column("", overflow="fold")
    names = dict.fromkeys(key.partition("/")[2] for key in record.scores)
    for name in names:
        cells = [number(record.scores.get(f"{side}/{name}")) for side in sides]
        reason = next((record.skipped[f"{s}/{name}"] for s in sides if f"{s}/{name}" in record.skipped), "")
        note = (reason and f"skipped: {reason}") or record.resolved.get(f"metrics.{name}", "")
        table.add_row(Text(name), *cells, Text(note, style="dim"))
    for side, artifacts in record.artifacts.items():
        if artifacts.get("level") not in (None, "none"):
            rows = artifacts.get("rows")
            text = f"{side}: {artifacts['level']} {artifacts.get('kind') or ''}".rstrip() + (
                f", rows {rows[0]}-{rows[1]}" if rows else ""
            )
            table.add_row("artifacts", *[""] * len(sides), Text(text, style="yellow"))
    return table


def _costs(record: Record) -> Table:
    table = Table(box=None, header_style="dim", pad_edge=True)
    table.add_column("stage")
    for column in ("seconds", "GPU peak GiB", "RSS GiB"):
        table.add_column(column, justify="right")
    table.add_column("")
    for name, cost in record.stages.items():
        reused = Text("from the store; cost when it ran", style="dim") if cost.get("cached") else ""
        table.add_row(
            Text(name),
            _digits(cost.get("seconds"), 1),
            number(cost.get("peak_allocated_gib")),
            _digits(cost.get("rss_gib"), 2),
            reused,
        )
    return table


def _digits(value: float | None, places: int) -> str:
    return "-" if value is None else f"{value:.{places}f}"


def show_sweep(rows: Iterable[tuple[str, Record | None, bool]]) -> None:
    """One line a job: (run id, record, whether it was there before), then every failure with its reason."""
    out, listed = console(), list(rows)
    table = Table(box=None, header_style="dim")
    for column in ("run", "status", "seconds", "reused"):
        table.add_column(column, justify="right" if column == "seconds" else "left")
    for run_id, record, found in listed:
        if record is None:
            table.add_row(Text(run_id), Text("no record", style="red"), "-", "")
            continue
        spent = sum(cost.get("seconds") or 0 for cost in record.stages.values() if not cost.get("cached"))
        reused = "whole run" if found else ", ".join(n for n, c in record.stages.items() if c.get("cached"))
        status = Text(record.status, style=STATUS_STYLE[record.status])
        table.add_row(Text(run_id), status, f"{0.0 if found else spent:.1f}", Text(reused, style="dim"))
    out.print()
    out.print(table)
    for run_id, record, _ in listed:
        if record is None or record.error:
            reason = (
                f"{record.error['stage']}: {record.error['message']}"
                if record and record.error
                else "it left no record"
            )
            out.print(Text(f"  {run_id}: {reason}", style="red"), soft_wrap=True)


def show_measured(results: list[dict[str, Any]]) -> None:
    """Measured files, a column a file, and why something was skipped."""
    table = Table(box=None, header_style="dim")
    table.add_column("metric")
    for result in results:
        table.add_column(Text(Path(result["file"]).name), justify="right", overflow="fold")
    table.add_row("size", *[f"{r['width']}x{r['height']}" for r in results])
    table.add_row("frames", *[f"{r['frames']} at {r['fps']:g} fps" for r in results])
    names = dict.fromkeys(name for result in results for name in result["scores"])
    for name in names:
        table.add_row(Text(name), *[number(result["scores"].get(name)) for result in results])
    if any(result["artifacts"] for result in results):
        table.add_row("artifacts", *[_artifacts(result["artifacts"]) for result in results])
    out = console()
    out.print(table)
    skipped: Mapping[str, str] = {n: why for result in results for n, why in result["skipped"].items()}
    for name, why in skipped.items():
        out.print(Text(f"  skipped {name}: {why}", style="dim"), soft_wrap=True)


def _artifacts(found: Mapping[str, Any]) -> str:
    if not found or found["level"] == "none":
        return "none"
    rows = f" rows {found['rows'][0]}-{found['rows'][1]}" if found.get("rows") else ""
    return f"{found['level']} {found['kind']}{rows}"
