"""`export [DIR] --to csv|parquet [FILE]`: one row a run, for other tools."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from cogexp.cli.pick import split_folder
from cogexp.cli.words import Parser
from cogexp.launch.logs import show_log_lines
from cogexp.spec import SpecError, check_choice
from cogexp.storage.durable import replacing
from cogexp.storage.run_files import expanded, is_folder
from cogexp.study import load
from cogexp.system.faults import reason_of
from cogexp.system.text import csv_cell

FORMATS = ("csv", "parquet")
PARQUET_HINT = "pip install 'cogexp[parquet]'"


def command(argv: list[str]) -> int:
    """0 when the table was written (CSV without FILE goes to stdout), 2 when the request was wrong."""
    parser = Parser(add_help=False, allow_abbrev=False)
    parser.add_argument("--to")
    parser.add_argument("words", nargs="*")
    options = parser.parse_intermixed_args(argv)
    words, file = list(options.words), None
    # Of the words a folder is DIR and the other one is FILE.
    others = [word for word in words if not is_folder(word) and Path(word).suffix]
    if others:
        file = expanded(others[-1])
        words.remove(others[-1])
    to = options.to or (file.suffix.lstrip(".") if file else "csv")
    check_choice("--to", to, FORMATS)
    folder, rest = split_folder(words, "export")
    study = next((word.partition("=")[2] for word in rest if word.startswith("study=")), None)
    if any(not word.startswith("study=") for word in rest):
        raise SpecError(f"export takes DIR and FILE, got {rest[0]!r}; for example: export outputs --to csv")
    if to == "parquet" and file is None:
        raise SpecError("--to parquet needs a FILE, got none; for example: export outputs runs.parquet")
    if to == "parquet" and importlib.util.find_spec("pyarrow") is None:
        raise SpecError(f"--to parquet needs pyarrow, which is not installed; {PARQUET_HINT}, or --to csv")
    show_log_lines(False)
    frame = load(folder, study).frame()
    if to == "csv":  # opened in a spreadsheet, a text that begins with '=' would be computed
        # Column by column: DataFrame.map came with pandas 2.1.
        frame = frame.apply(lambda column: column.map(csv_cell)).rename(columns=csv_cell)
    if file is None:
        sys.stdout.write(frame.to_csv(index=False))
        return 0
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file) as staged:
            if to == "csv":
                frame.to_csv(staged, index=False)
            else:
                frame.to_parquet(staged, index=False)
    except OSError as error:
        raise SpecError(f"FILE must be writable, got {str(file)!r}: {reason_of(error)}") from None
    print(f"{len(frame)} runs, {len(frame.columns)} columns: {file}", file=sys.stderr)
    return 0
