"""`pick [DIR]`: the recommended setting under constraints, as a table, Markdown or JSON."""

from __future__ import annotations

import json
from pathlib import Path

from rich.table import Table
from rich.text import Text

from cogexp.cli import tables
from cogexp.cli.words import Parser
from cogexp.launch.logs import show_log_lines
from cogexp.spec import SpecError
from cogexp.storage.run_files import expanded, is_folder
from cogexp.study import Choice, load, pick
from cogexp.study.query import read_query
from cogexp.study.words import bounded, columns, digits, figure, label, markdown, plain, to_json

DEFAULT_DIR = "outputs"


def command(argv: list[str]) -> int:
    """0 with an answer, also when that is 'not decided'; 2 when the request was wrong."""
    parser = Parser(add_help=False, allow_abbrev=False)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("words", nargs="*")
    options = parser.parse_intermixed_args(argv)
    folder, words = split_folder(options.words, "pick")
    query = read_query(words)
    if options.json and options.markdown:
        raise SpecError("pick takes --json or --markdown, got both")
    show_log_lines(False)
    choice = pick(load(folder, query.study), query)
    if options.json:
        print(json.dumps(to_json(choice), allow_nan=False, ensure_ascii=False, indent=2))
    elif options.markdown:
        print(markdown(choice), end="")
    else:
        show(choice)
    return 0


def split_folder(words: list[str], name: str) -> tuple[Path, list[str]]:
    """(DIR, the key=value words). DIR is a word without '=', or an existing folder; else 'outputs'."""
    folders = [word for word in words if "=" not in word or is_folder(word)]
    if len(folders) > 1:
        raise SpecError(f"{name} takes one DIR, got {', '.join(folders)}; for example: {name} {DEFAULT_DIR}")
    folder = expanded(folders[0] if folders else DEFAULT_DIR)
    return folder, [word for word in words if word not in folders]


def show(choice: Choice) -> None:
    """The table, what was left out and why, remarks, and the recommendation last."""
    out = tables.console()
    out.print()
    if choice.table:
        table = _table(choice)
        if not out.is_terminal:  # a pipe has no width to keep to, and digits must not be cut
            out.width = max(out.width, out.measure(table, options=out.options.update(max_width=400)).maximum)
        out.print(table)
        out.print(
            Text("  * on the Pareto front of quality, VRAM and seconds; brackets: 95 % interval", style="dim")
        )
    for item in choice.excluded:
        out.print(Text(f"  left out  {label(item.axes)}: {item.reason}", style="yellow"), soft_wrap=True)
    for note in choice.notes:
        out.print(Text(f"  note  {note}", style="dim"), soft_wrap=True)
    out.print()
    out.print(Text(choice.sentence, style="bold green" if choice.decisive else "bold"), soft_wrap=True)


def _table(choice: Choice) -> Table:
    names = columns(choice)
    table = Table(box=None, header_style="dim", pad_edge=True)
    table.add_column("", no_wrap=True)
    for name in choice.table[0].axes:
        table.add_column(name, no_wrap=True)
    for name in (*names, "peak GiB", "behind by"):
        table.add_column(name, justify="right", overflow="fold")
    for index, row in enumerate(choice.table):
        mark = ("best" if choice.decisive else "leads") if index == 0 else "tied" if row.tied else ""
        cells = [
            f"{'*' if row.pareto else ' '} {mark}",
            *map(plain, row.axes.values()),
            *(figure(row, name, choice.objective) for name in names),
            digits(row.peak_allocated_gib),
            bounded(row.behind) if row.behind else "",
        ]
        table.add_row(*map(Text, cells), style="bold" if index == 0 else "")
    return table
