"""`measure FILE...`: the metrics of any video, as a table or as JSON."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from cogexp.build import build
from cogexp.cli import compose, tables
from cogexp.cli.runs import second_interrupt_leaves, show_log_lines
from cogexp.spec import MetricsSpec, SpecError
from cogexp.storage.run_files import is_file
from cogexp.terminal import for_stderr


def command(argv: list[str]) -> int:
    """0 when every file was measured, 1 when one could not be read, 2 when the request was wrong."""
    parser = compose.Parser(add_help=False, allow_abbrev=False)
    parser.add_argument("--prompt")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("words", nargs="*")
    # Files and overrides may come in any order around the options.
    options = parser.parse_intermixed_args(argv)
    overrides = [w for w in options.words if "=" in w and not os.path.exists(w)]
    files = [Path(w) for w in options.words if w not in overrides]
    if not files:
        raise SpecError("measure needs at least one video file, got none; for example: measure clip.mp4")
    for file in files:
        if not is_file(file):
            raise SpecError(f"measure needs video files, got {str(file)!r}, which does not exist")
    # The files may show anything, so no network of the embedded model's own world unless it is asked for.
    general = f"metrics.clip_model={MetricsSpec().clip_model}"
    words = compose.parse_words(["model=nano", general, *overrides])
    request = build(compose.compose_jobs(words)[0])
    show_log_lines(request.settings.debug)
    second_interrupt_leaves()
    return _measure_all(files, options.prompt, options.json, request)


def _measure_all(files: list[Path], prompt: str | None, as_json: bool, request: Any) -> int:
    from cogexp.metrics import measure
    from cogexp.video import VideoError, probe, read

    spec, progress, results, failures = request.spec.metrics, for_stderr(), [], 0
    with progress.stage("measure", len(files)) as advance:
        for done, file in enumerate(files, 1):
            try:
                facts, video = probe(file), read(file)
            except VideoError as error:
                failures += 1
                progress.say(str(error))
                continue
            found = measure(
                video.frames,
                video.fps,
                prompt,
                spec.names,
                device=request.settings.device,
                clip_model=spec.clip_model,
                batch=spec.batch,
                height=spec.height,
            )
            results.append(
                {
                    "file": str(file),
                    "frames": len(video.frames),
                    "width": facts.width,
                    "height": facts.height,
                    "fps": video.fps,
                    "scores": found.scores,
                    "skipped": found.skipped,
                    "artifacts": found.artifacts,
                    "notes": found.notes,
                }
            )
            advance(done)
    if as_json:
        print(json.dumps(results, allow_nan=False, ensure_ascii=False, indent=2))
    elif results:
        tables.show_measured(results)
    return 1 if failures else 0
