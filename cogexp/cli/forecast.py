"""The table before a sweep starts, and all that `--plan` prints: jobs, stages, expected time and disk."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from cogexp.cli import tables
from cogexp.launch.basic import duration
from cogexp.study.forecast import Forecast

UNKNOWN = "unknown"
NAMES = {
    "encode": "encode the prompt",
    "denoise": "denoise",
    "decode": "decode",
    "upscale": "upscale",
    "measure": "measure",
    "write": "write",
}


def show(ahead: Forecast, study: str | None) -> None:
    """The forecast on stdout."""
    out = tables.console()
    out.print()
    head = Text(f"study {study}: " if study else "", style="bold")
    duplicates = ahead.asked - len(ahead.specs) - len(ahead.done)
    head.append(f"{len(ahead.specs)} runs to do")
    parts = [f"{len(ahead.done)} done before and skipped"]
    parts += [f"{duplicates} asked for twice"] if duplicates else []
    head.append(f", {', '.join(parts)}", style="dim")
    out.print(head)
    if not ahead.specs:
        return
    table = Table(box=None, header_style="dim")
    for column, side in (
        ("stage", "left"),
        ("times", "right"),
        ("not needed", "right"),
        ("expected", "right"),
    ):
        table.add_column(column, justify=side)
    for stage, seconds in ahead.stage_seconds.items():
        times = ahead.counts.get(stage, len(ahead.specs))
        spared = len(ahead.specs) - times
        table.add_row(NAMES[stage], str(times), str(spared or ""), _time(seconds))
    table.add_row("load a model", str(ahead.loads), "", _time(ahead.load_seconds))
    out.print(table)
    out.print(Text(f"  time   {_total(ahead)}"), soft_wrap=True)
    out.print(Text(f"  disk   {_disk(ahead)}"), soft_wrap=True)


def _time(seconds: float | None) -> str:
    return UNKNOWN if seconds is None else duration(seconds)


def _total(ahead: Forecast) -> str:
    basis = (
        f"from {ahead.measured_runs} finished run{'s' * (ahead.measured_runs > 1)} on this device"
        if ahead.measured_runs
        else "from a roofline of this card: rough"
    )
    if ahead.total_seconds is not None:
        return f"about {duration(ahead.total_seconds)} one after the other ({basis})"
    known = [value for value in ahead.stage_seconds.values() if value is not None]
    if not known:
        return f"{UNKNOWN}: no finished run of this model on this device"
    return f"{UNKNOWN}; the stages that are known take {duration(sum(known))} ({basis})"


def _disk(ahead: Forecast) -> str:
    runs = UNKNOWN if ahead.disk_gb is None else f"about {_gb(ahead.disk_gb)}"
    text = f"clips {runs}, store {_gb(ahead.store_gb)}; {_gb(ahead.free_gb)} are free"
    short = (ahead.disk_gb or 0.0) + ahead.store_gb > ahead.free_gb
    return text + (": too little, give store_gb a smaller value or free some" if short else "")


def _gb(size: float) -> str:
    return f"{size:.1f} GB" if size >= 0.95 else f"{1000 * size:.0f} MB"
