"""`explain RUN`: who made the fault of a run, the decoder or the denoiser, with a picture."""

from __future__ import annotations

import json
from difflib import get_close_matches
from pathlib import Path

from cogexp import record as records
from cogexp.build import build_settings
from cogexp.cli import compose
from cogexp.cli.runs import show_log_lines
from cogexp.cli.words import Parser, parse_words
from cogexp.spec import SpecError
from cogexp.storage.run_files import is_file, is_folder
from cogexp.system import interrupts
from cogexp.terminal import for_stderr


def command(argv: list[str]) -> int:
    """0 when the cause was named, 1 when the latents are gone, 2 when there is no such run."""
    parser = Parser(add_help=False, allow_abbrev=False)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("words", nargs="*")
    options = parser.parse_intermixed_args(argv)
    overrides = [word for word in options.words if "=" in word]
    runs = [word for word in options.words if "=" not in word]
    if len(runs) != 1:
        raise SpecError(
            f"explain needs one run (its id or folder), got {len(runs)}; python -m cogexp explain --help"
        )
    settings = build_settings(compose.compose_jobs(parse_words(overrides))[0])
    folder = find_run(runs[0], settings.outputs)
    show_log_lines(settings.debug)
    interrupts.install()
    from cogexp.explain import ExplainError, explain

    progress = for_stderr()
    try:
        found = explain(
            folder, _outputs_of(folder, settings.outputs), device=settings.device, progress=progress
        )
    except (ExplainError, records.RecordError) as error:
        progress.say(str(error))
        return 1
    if options.json:
        plain = {"run": folder.name, "cause": found.cause, "sentence": found.sentence}
        picture = str(found.picture) if found.picture else None
        print(json.dumps(plain | {"rows": found.rows, "columns": found.columns, "picture": picture}))
    else:
        print(f"{found.cause}: {found.sentence}" + (f"\n{found.picture}" if found.picture else ""))
    return 0


def find_run(name: str, outputs: Path) -> Path:
    """The folder of a run, by its path, its id, or any part of its id that only it has."""
    for folder in (Path(name), outputs / "runs" / name):
        if is_file(folder / records.RECORD_FILE):
            return folder
    matches = [
        path.parent for path in outputs.glob(f"runs/*/{records.RECORD_FILE}") if name in path.parent.name
    ]
    if len(matches) == 1:
        return matches[0]
    found = "none has" if not matches else f"{len(matches)} have"
    there = sorted(path.parent.name for path in outputs.glob(f"runs/*/{records.RECORD_FILE}"))
    near = sorted(path.name for path in matches) or get_close_matches(name, there, n=1, cutoff=0.0)
    hint = f"nearest: {near[0]}" if near else "there is none"
    raise SpecError(
        f"explain needs a run with a record, got {name!r}; {found} this in its id below {outputs}/runs; "
        f"{hint}"
    )


def _outputs_of(folder: Path, outputs: Path) -> Path:
    """A run named by its path has its store beside its own runs/ folder."""
    own = folder.absolute().parent.parent
    return own if is_folder(own / "store") else outputs
