"""`measure FILE...`: the metrics of any video, as a table or as JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cogexp.build import build
from cogexp.cli import compose, tables
from cogexp.cli.runs import show_log_lines
from cogexp.cli.words import Parser, parse_words
from cogexp.spec import MetricsSpec, SpecError
from cogexp.system import interrupts
from cogexp.system.faults import reason_of
from cogexp.terminal import Progress, for_stderr

if TYPE_CHECKING:
    from cogexp.media.isolated import Isolated

LONG = 256  # frames from which on a file has a bar of its own
# Names in a folder that are taken for clips; a named file is read whatever it is called.
CLIPS = (
    ".mp4 .mov .m4v .mkv .webm .avi .mpg .mpeg .vob .ts .m2ts .mts .flv .wmv .asf .ogv .3gp .mxf .dv "
    ".h264 .264 .h265 .hevc .m2v .m1v .ivf .y4m .gif .apng .webp .avif"
)


def command(argv: list[str]) -> int:
    """0 when every file was measured, 1 when one could not be read, 2 when the request was wrong."""
    before, after = (argv[: argv.index("--")], argv[argv.index("--") + 1 :]) if "--" in argv else (argv, [])
    parser = Parser(add_help=False, allow_abbrev=False)
    parser.add_argument("--prompt")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("words", nargs="*")
    # Files and overrides may come in any order around the options.
    options = parser.parse_intermixed_args(before)
    overrides = [w for w in options.words if "=" in w and not os.path.exists(w)]
    files = clips_of([Path(w) for w in [*options.words, *after] if w not in overrides])
    # The files may show anything, so no network of the embedded model's own world unless it is asked for.
    general = f"metrics.clip_model={MetricsSpec().clip_model}"
    words = parse_words(["model=nano", general, *overrides])
    request = build(compose.compose_jobs(words)[0])
    show_log_lines(request.settings.debug)
    interrupts.install()
    return _measure_all(files, options.prompt, options.json, request)


def clips_of(paths: list[Path]) -> list[Path]:
    """The files named, a folder as the clips in it (not in folders below). Raises SpecError."""
    if not paths:
        raise SpecError("measure needs at least one video file, got none; for example: measure clip.mp4")
    files: list[Path] = []
    for path in paths:
        if not os.path.exists(path):  # false for a name that can be none (too long, a null byte)
            raise SpecError(f"measure needs video files, got {str(path)!r}, which does not exist")
        if not path.is_dir():
            files.append(path)
            continue
        try:
            inside = sorted(f for f in path.iterdir() if f.suffix.lower() in CLIPS.split() and not f.is_dir())
        except OSError as error:
            raise SpecError(f"measure cannot read the folder {str(path)!r}: {reason_of(error)}") from error
        inside = [f for f in inside if not f.name.startswith(".")]
        if not inside:
            raise SpecError(f"measure needs video files, got the folder {str(path)!r}, which holds none")
        files += inside
    return list(dict.fromkeys(files))


def _measure_all(files: list[Path], prompt: str | None, as_json: bool, request: Any) -> int:
    from cogexp.media.isolated import Isolated
    from cogexp.video import VideoError

    progress, results = for_stderr(), []
    with Isolated() as decoder, progress.stage("measure", len(files)) as advance:
        decoder.start()
        for done, file in enumerate(files, 1):
            try:
                results.append(_measured(file, prompt, request, decoder, progress))
            except VideoError as error:
                progress.say(str(error))
                continue
            advance(done)
    if as_json:
        print(json.dumps(results, allow_nan=False, ensure_ascii=False, indent=2))
    elif results:
        tables.show_measured(results)
    return 1 if len(results) < len(files) else 0


def _measured(
    file: Path, prompt: str | None, request: Any, decoder: Isolated, progress: Progress
) -> dict[str, Any]:
    """One file's row; what could not be read of it is said. Raises VideoError."""
    from cogexp.metrics.streaming import measure_file

    spec = request.spec.metrics
    with ExitStack() as bar:
        shown: list[Callable[[int], None]] = []

        def advance(count: int, total: int) -> None:
            if total > LONG and not shown:
                shown.append(bar.enter_context(progress.stage(file.name[:18], total)))
            for each in shown:
                each(count)

        facts, found, warnings = measure_file(
            file,
            prompt,
            spec.names,
            decoder=decoder,
            height=spec.height,
            advance=advance,
            device=request.settings.device,
            clip_model=spec.clip_model,
            batch=spec.batch,
        )
    aspect = facts.pixel_aspect
    if aspect != 1:
        warnings.append(f"{file}: its pixels are {aspect.numerator}:{aspect.denominator}; measured as stored")
    for warning in warnings:
        progress.say(warning)
    return {
        "file": str(file),
        "frames": facts.frames,
        "width": facts.width,
        "height": facts.height,
        "fps": facts.fps,
        "pixel_aspect": f"{aspect.numerator}:{aspect.denominator}",
        "scores": found.scores,
        "skipped": found.skipped,
        "artifacts": found.artifacts,
        "notes": found.notes,
        "warnings": warnings,
    }
