"""Shape tables for people: rich tables in a terminal, or Markdown. One table a part, notes below it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cogexp.catalog import VARIANTS
from cogexp.inspect.compare import Comparison
from cogexp.inspect.row import PARTS, Row, of_part, parameters, tflops
from cogexp.inspect.shapes import passes
from cogexp.spec import RunSpec

if TYPE_CHECKING:
    from rich.console import RenderableType

TITLES = {
    "text_encoder": "text encoder",
    "vae_encoder": "VAE encoder (video in)",
    "transformer": "transformer",
    "vae_decoder": "VAE decoder (video out)",
}
COLUMNS = ("stage", "input", "output", "parameters", "TFLOP", "share")


@dataclass(frozen=True, kw_only=True)
class Table:
    """A titled table of text cells with its numbered notes."""

    title: str
    header: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    notes: list[str]


def shape_text(shape: tuple[int, ...]) -> str:
    """'[B, 226, 4096]': the batch is one clip, whatever it is."""
    first = "B" if shape[0] == 1 else str(shape[0])
    return f"[{', '.join([first, *map(str, shape[1:])])}]"


def tables(rows: list[Row], spec: RunSpec) -> list[Table]:
    """A table for each part, in the order of the data."""
    return [_part_table(part, of_part(rows, part), spec) for part in PARTS]


def _part_table(part: str, rows: list[Row], spec: RunSpec) -> Table:
    notes: list[str] = []
    cells = []
    for row in rows:
        mark = ""
        if row.note:
            notes.append(row.note)
            mark = f" ({len(notes)})"
        cells.append(
            (
                row.stage + mark,
                shape_text(row.input),
                shape_text(row.output),
                f"{row.parameters:,}" if row.parameters else "",
                _compute(row.flops / 1e12),
                f"{row.flops_share:.1%}" if row.flops_share >= 0.0005 else "",
            )
        )
    return Table(title=_title(part, rows, spec), header=COLUMNS, rows=cells, notes=notes)


def _title(part: str, rows: list[Row], spec: RunSpec) -> str:
    often, steps = passes(spec)[part], spec.sampler.steps
    guided = " and without the prompt" if spec.sampler.guidance > 1 else ""
    times = {
        "text_encoder": f"{often} in a run" + (" (prompt and negative prompt)" if often > 1 else ""),
        "vae_encoder": "the first frame in a run"
        if VARIANTS[spec.model.name].image_to_video
        else "none in a run",
        "transformer": f"{often} in a run ({steps} steps{', with' if guided else ''}{guided})",
        "vae_decoder": "1 in a run",
    }
    count, compute = f"{parameters(rows):,} parameters", f"one pass {_compute(tflops(rows))} TFLOP"
    return f"{TITLES[part]}: {count}; {compute}, passes: {times[part]}"


def _compute(value: float) -> str:
    """TFLOP with the digits that matter; nothing where there is no matrix product."""
    if not value:
        return ""
    if value >= 0.1:
        return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
    return f"{value:.3f}" if value >= 0.0005 else "<0.001"


def differences(comparison: Comparison) -> Table:
    """Rows whose shapes differ between two settings."""
    this, other = comparison.this, comparison.other
    cells = []
    for mine, theirs in comparison.differing():
        ratio = f"{mine.flops / theirs.flops:.2f}x" if theirs.flops else ""
        stage = f"{TITLES[mine.part].partition(' (')[0]}: {mine.stage}"
        cells.append((stage, shape_text(mine.output), shape_text(theirs.output), ratio))
    header = ("stage", f"output at {this.size}", f"output at {other.size}", "compute")
    notes = [
        f"video tokens: {this.video_tokens:,} against {other.video_tokens:,}",
        *(f"positions, {axis.describe()}" for axis in this.positions.axes),
        *(f"{this.tiles.name}, {line}" for line in this.tiles.describe()),
    ]
    title = f"{this.size} against {other.size}: {len(cells)} rows differ, {comparison.same()} are the same"
    return Table(title=title, header=header, rows=cells, notes=notes)


def markdown(table: Table) -> str:
    """The table as Markdown, numbers right-aligned."""
    rule = ["---"] * 3 + ["---:"] * (len(table.header) - 3)
    lines = [f"### {table.title}", ""]
    lines += [f"| {' | '.join(cells)} |" for cells in (table.header, tuple(rule), *table.rows)]
    return "\n".join([*lines, "", *_numbered(table), ""])


def rendered(table: Table) -> Iterator[RenderableType]:
    """The table for a rich console: title, table, notes."""
    from rich.padding import Padding
    from rich.table import Table as RichTable
    from rich.text import Text

    yield Text(table.title, style="bold")
    grid = RichTable(box=None, header_style="dim", pad_edge=True)
    for index, name in enumerate(table.header):
        grid.add_column(name, justify="left" if index < 3 else "right", overflow="fold")
    for cells in table.rows:
        grid.add_row(*(Text(cell) for cell in cells))
    yield grid
    for line in _numbered(table):
        yield Padding(Text(line.rstrip(), style="dim"), (0, 0, 0, 2))
    yield Text()


def _numbered(table: Table) -> list[str]:
    """Notes with the numbers that the stages carry; a comparison's are a plain list."""
    if table.header == COLUMNS:
        return [f"({number}) {note}  " for number, note in enumerate(table.notes, 1)]
    return [f"- {note}" for note in table.notes]
