"""`report [DIR]`: one HTML file from many records, and with --grid a mosaic as a video and a picture."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from cogexp.cli import compose
from cogexp.cli.pick import split_folder
from cogexp.launch.logs import show_log_lines
from cogexp.spec import SpecError
from cogexp.study.query import read_query
from cogexp.study.report import write_report
from cogexp.terminal import for_stderr


def command(argv: list[str]) -> int:
    """0 when the file was written (its path is printed), 2 when the request was wrong."""
    parser = compose.Parser(add_help=False, allow_abbrev=False)
    parser.add_argument("--out")
    parser.add_argument("--embed", action="store_true")
    parser.add_argument("words", nargs="*")
    options = parser.parse_intermixed_args(argv)
    folder, words = split_folder(options.words, "report")
    query = read_query(words)
    if find_spec("jinja2") is None:
        raise SpecError("report needs jinja2, which is not installed; pip install 'cogexp[report]'")
    show_log_lines(False)
    file = Path(options.out).expanduser() if options.out else folder / "reports" / "report.html"
    for remark in write_report(folder, file, query, embed=options.embed):
        for_stderr().say(remark)
    print(file)
    return 0
