"""`report [DIR]`: one HTML file from many records, and with --grid a mosaic as a video and a picture."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from cogexp.cli.pick import split_folder
from cogexp.cli.runs import show_log_lines
from cogexp.cli.words import Parser
from cogexp.spec import SpecError
from cogexp.storage.run_files import expanded, is_folder
from cogexp.study.query import KEYS, Query, read_query
from cogexp.study.report import Grid, write_report
from cogexp.terminal import for_stderr


def command(argv: list[str]) -> int:
    """0 when the files were written (their paths are printed), 2 when the request was wrong."""
    parser = Parser(add_help=False, allow_abbrev=False)
    parser.add_argument("--out")
    parser.add_argument("--embed", action="store_true")
    parser.add_argument("--grid", nargs="+")
    parser.add_argument("words", nargs="*")
    options = parser.parse_intermixed_args(argv)
    names, more = _grid_words(options.grid)
    folder, words = split_folder([*options.words, *more], "report")
    asked, held = _held(words) if options.grid is not None else (words, {})
    query = read_query(asked)
    if find_spec("jinja2") is None:
        raise SpecError("report needs jinja2, which is not installed; pip install 'cogexp[report]'")
    show_log_lines(False)
    file = expanded(options.out) if options.out else folder / "reports" / "report.html"
    grid = None
    if options.grid is not None:
        grid = _checked(folder, query, names, held)
    for remark in write_report(folder, file, query, embed=options.embed, grid=grid):
        for_stderr().say(remark)
    print(file)
    if grid is not None:
        _mosaic(folder, query, names, held, file)
    return 0


def _grid_words(given: list[str] | None) -> tuple[list[str], list[str]]:
    """(axis names, what else came behind --grid: key=value words, and DIR if it is a folder that exists)."""
    words = given or []
    others = [word for word in words if "=" in word or is_folder(word)]
    return [word for word in words if word not in others], others


def _held(words: list[str]) -> tuple[list[str], dict[str, str]]:
    """Words of pick, and the values at which dimensions of the grid are held."""
    mine = [word for word in words if word.partition("=")[0] not in KEYS]
    return [word for word in words if word not in mine], dict(word.split("=", 1) for word in mine)


def _checked(folder: Path, query: Query, names: list[str], held: dict[str, str]) -> Grid:
    from cogexp.study import load
    from cogexp.study.mosaic import check_names

    check_names(load(folder, query.study), names, held)
    return Grid(rows=names[0], columns=names[1], fixed=tuple(held.items()))


def _mosaic(folder: Path, query: Query, names: list[str], held: dict[str, str], report: Path) -> None:
    """The two files beside the report, named after it and the axes."""
    from cogexp.study import load, mosaic_picture
    from cogexp.study.mosaic import arrange
    from cogexp.study.report import choice_of
    from cogexp.study.report_data import runs_of
    from cogexp.video import VideoError

    study, progress = load(folder, query.study), for_stderr()
    mosaic = arrange(study, runs_of(study, folder), choice_of(study, query)[0], names, held)
    for remark in mosaic_picture.unwritable(mosaic):
        progress.say(remark)
    base = report.with_name(f"{report.stem}-{names[0]}-{names[1]}")
    video, picture = base.with_suffix(".mp4"), base.with_suffix(".png")
    try:
        with progress.stage("mosaic", mosaic_picture.frames_of(mosaic)) as advance:
            mosaic_picture.write_mosaic(mosaic, video, picture, advance)
    except VideoError as error:
        raise SpecError(str(error)) from None
    print(video)
    print(picture)
