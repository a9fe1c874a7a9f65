"""`inspect`: shape tables of every stage of a model at a setting, two sizes, and the atlas of layers."""

from __future__ import annotations

import json
import logging
import re
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cogexp.build import Request
from cogexp.cli import inspect_layers
from cogexp.cli.requests import requests_of
from cogexp.cli.words import parse_words
from cogexp.launch.logs import show_log_lines
from cogexp.record import now
from cogexp.spec import RunSpec, SpecError, check_choice
from cogexp.system.faults import one_line
from cogexp.terminal import for_stderr

if TYPE_CHECKING:
    from cogexp.inspect.compare import Comparison

log = logging.getLogger("cogexp")

FORMATS = ("table", "md")


def command(argv: list[str]) -> int:
    """0 when all is shown, 1 when watching failed; SpecError (nothing was run) when the request is wrong."""
    as_json, argv = "--json" in argv, [word for word in argv if word != "--json"]
    options, rest = _own_words(argv, ("against", "format", *inspect_layers.KEYS))
    form = options.get("format", "table")
    check_choice("format", form, FORMATS)
    if as_json and "format" in options:
        raise SpecError(f"format must not be given with --json, got format={form}; nearest: --json alone")
    words = parse_words(rest)
    if words.multirun or words.passthrough:
        raise SpecError(
            "inspect describes one setting, got an option for runs; nearest: leave -m, --cfg and --info out"
        )
    watch = inspect_layers.wanted(options)
    # The shapes do not depend on the picture: image-to-video models have their tables without one.
    (request,) = requests_of(words, needs_first_frame=watch)
    size = _size(options["against"], request.spec) if "against" in options else None
    wish = inspect_layers.read_wish(options, request) if watch else None
    show_log_lines(request.settings.debug)
    return _show(request, size, wish, form="json" if as_json else form)


def _own_words(argv: list[str], keys: tuple[str, ...]) -> tuple[dict[str, str], list[str]]:
    """The words `key=value` that are this command's own, and the others."""
    own: dict[str, str] = {}
    rest = []
    for word in argv:
        key, separator, value = word.partition("=")
        if separator and key in keys:
            own[key] = value
        else:
            rest.append(word)
    return own, rest


def _size(text: str, spec: RunSpec) -> tuple[int, int]:
    """WxH of `against`, checked for this model."""
    from cogexp.catalog import VARIANTS
    from cogexp.inspect.compare import at_size

    match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text)
    if match is None:
        native = "x".join(map(str, VARIANTS[spec.model.name].native))
        raise SpecError(f"against must be a size WxH, got {text!r}; nearest: {native}")
    size = int(match[1]), int(match[2])
    at_size(spec, size)
    return size


def _show(
    request: Request, size: tuple[int, int] | None, wish: inspect_layers.Wish | None, *, form: str
) -> int:
    from cogexp.inspect import shapes
    from cogexp.inspect.compare import compare

    spec, progress, started = request.spec, for_stderr(), now()
    for key, text in request.resolved.items():
        if wish or key in ("model", "resolution", "resolution.frames"):
            print(f"{key}: {text}", file=sys.stderr)
    with progress.stage("tracing shapes", None):
        comparison = compare(spec, size) if size else None
        rows = comparison.this.rows if comparison else shapes(spec)
    picture = _picture(comparison, request.settings.outputs) if comparison else None
    atlas = None
    if wish:
        try:
            atlas, layers = inspect_layers.make_atlas(request, wish, rows, comparison, progress)
        except (RuntimeError, OSError, ValueError, MemoryError) as error:
            if isinstance(error, SpecError):
                raise
            log.error("inspect failed: %s", one_line(error))
            log.debug("traceback", exc_info=True)
            return 1
        inspect_layers.track(request, atlas, layers, started, progress)
    if form == "json":
        plain = _plain(spec, rows, comparison, picture)
        if atlas:
            numbers = json.loads((atlas.folder / "numbers.json").read_text(encoding="utf-8"))
            plain["files"] = plain.get("files", {}) | {"atlas": str(atlas.page)}
            plain["activations"] = numbers
        print(json.dumps(plain, allow_nan=False, indent=2))
        return 0
    if not atlas:  # the page has the tables
        _print_tables(spec, rows, comparison, form)
    for name, file in (("positions and tiles", picture), ("atlas", atlas and atlas.page)):
        if file:
            print(f"{name}: {file}", file=sys.stderr if form == "md" else sys.stdout)
    return 0


def _picture(comparison: Comparison, outputs: Path) -> Path:
    from cogexp.inspect.picture import draw

    this = comparison.this
    name = f"{this.spec.model.name}-{this.size}-against-{comparison.other.size}"
    file = outputs / "inspect" / name / "positions.png"
    draw(comparison, file)
    return file


def _print_tables(spec: RunSpec, rows: list[Any], comparison: Comparison | None, form: str) -> None:
    from cogexp.cli.tables import console
    from cogexp.inspect.tables import differences, markdown, rendered, tables

    size, out = spec.resolution, console()
    head = (
        f"{spec.model.name} at {size.name}, {size.frames} frames: one pass of each part for one clip (B = 1)"
    )
    found = tables(rows, spec) + ([differences(comparison)] if comparison else [])
    if form == "md":
        print(f"## {head}\n")
        print("\n".join(markdown(table) for table in found), end="")
        return
    out.print(head, style="bold underline")
    out.print()
    for table in found:
        for piece in rendered(table):
            out.print(piece)


def _plain(
    spec: RunSpec, rows: list[Any], comparison: Comparison | None, picture: Path | None
) -> dict[str, Any]:
    from cogexp.inspect.shapes import passes, tokens

    text, video = tokens(rows)
    plain: dict[str, Any] = {
        "model": spec.model.name,
        "width": spec.resolution.width,
        "height": spec.resolution.height,
        "frames": spec.resolution.frames,
        "tokens": {"text": text, "video": video},
        "passes": passes(spec),
        "rows": [asdict(row) for row in rows],
    }
    if comparison and picture:
        other = comparison.other
        plain["this"] = comparison.this.plain()
        plain["against"] = other.plain() | {"rows": [asdict(row) for row in other.rows]}
        plain["differing"] = [[mine.part, mine.stage] for mine, _ in comparison.differing()]
        plain["files"] = {"positions": str(picture)}
    return plain
