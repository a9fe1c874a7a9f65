"""`bench`: what settings cost on this machine, measured in a few steps with random weights."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path

from cogexp import bench as benches
from cogexp.bench import Bench, bench
from cogexp.build import Request
from cogexp.cli import bench_tables
from cogexp.cli.requests import requests_of
from cogexp.cli.runs import show_log_lines
from cogexp.cli.words import Words, parse_words
from cogexp.spec import SpecError
from cogexp.system import interrupts
from cogexp.terminal import Progress, for_stderr

TIMED = 3
FORMATS = ("--json", "--markdown")


@dataclass(frozen=True, kw_only=True)
class Own:
    """bench's own words. `kept` is a folder whose measurements are shown, nothing is measured then."""

    format: str = ""
    timed: int = TIMED
    limit_seconds: int | None = None
    kept: Path | None = None


def command(argv: list[str]) -> int:
    """0; 1 when a setting failed for another reason than memory. A wrong request raises SpecError."""
    own, rest = split_own(argv)
    found = _measure(own, rest) if own.kept is None else _kept(own.kept, rest)
    if own.format == "--json":
        print(json.dumps([one.to_dict() for one in found], allow_nan=False, indent=2))
    elif own.format == "--markdown":
        print(bench_tables.markdown(found), end="")
    elif found:
        bench_tables.show(found)
    return int(any(one.status == "failed" for one in found))


def _measure(own: Own, words: list[str]) -> list[Bench]:
    """Every setting once; those that the limit leaves no time for are named."""
    started = time.monotonic()
    requests = distinct(requests_of(parse(words)))
    settings = requests[0].settings
    show_log_lines(settings.debug)
    interrupts.install()
    progress = for_stderr()
    found: list[Bench] = []
    for index, request in enumerate(requests):
        if own.limit_seconds is not None and time.monotonic() - started > own.limit_seconds:
            _say_what_is_left(requests[index:], own.limit_seconds, progress)
            break
        if len(requests) > 1:
            title = bench_tables.label(request.spec.to_dict())
            progress.say(f"[{index + 1}/{len(requests)}] {title}")
        one = bench(
            request.spec,
            settings.outputs,
            device=settings.device,
            timed=own.timed,
            force=settings.force,
            resolved=request.resolved,
            progress=progress,
            preflight=settings.preflight,
        )
        found.append(one)
        if len(requests) > 1:
            progress.say(f"  {bench_tables.summary(one)}; {time.monotonic() - started:.0f} s so far")
    return found


def _say_what_is_left(requests: list[Request], seconds: int, progress: Progress) -> None:
    progress.say(
        f"limit={seconds}: {len(requests)} settings are not measured; the same words go on with them:"
    )
    for request in requests:
        progress.say(f"  {bench_tables.label(request.spec.to_dict())}")


def _kept(folder: Path, words: list[str]) -> list[Bench]:
    """The measurements below `folder`, the oldest first."""
    if words:
        raise SpecError(
            f"from={folder} shows what is kept and takes no settings, got {words[0]!r}; leave it out"
        )
    found = [one for file in folder.rglob(benches.FILE) if (one := benches.read(file.parent))]
    if not found:
        raise SpecError(
            f"from must be a folder with measurements of bench, found none in {str(folder)!r}; "
            "nearest: from=outputs/bench"
        )
    return sorted(found, key=lambda one: one.started)


def split_own(argv: list[str]) -> tuple[Own, list[str]]:
    """bench's own words and the rest, which compose as for a sweep.

    Raises:
        SpecError: a number is none, or two formats are asked for.
    """
    given = {word.partition("=")[0]: word.partition("=")[2] for word in argv}
    formats = [word for word in FORMATS if word in argv]
    if len(formats) > 1:
        raise SpecError("bench prints one format, got --json and --markdown; nearest: --json")
    folder = given.get("from")
    if folder == "":
        raise SpecError(
            "from must be a folder with measurements of bench, got ''; nearest: from=outputs/bench"
        )
    own = Own(
        format=formats[0] if formats else "",
        timed=_whole("timed", given.get("timed", str(TIMED)), "a number of steps", 1000, TIMED),
        limit_seconds=_whole("limit", given["limit"], "seconds", 1_000_000, 600)
        if "limit" in given
        else None,
        kept=Path(folder) if folder else None,
    )
    return own, [word for word in argv if word.partition("=")[0] not in (*FORMATS, "timed", "limit", "from")]


def _whole(key: str, value: str, what: str, highest: int, nearest: int) -> int:
    if not value.isdigit() or not 1 <= int(value) <= highest:
        raise SpecError(f"{key} must be {what} from 1 to {highest}, got {value!r}; nearest: {nearest}")
    return int(value)


def parse(argv: list[str]) -> Words:
    """The words of a sweep; a public model gets random weights unless they are asked for."""
    keys = {word.partition("=")[0] for word in argv}
    full = any(word.startswith("model=") and word not in ("model=nano", "model=auto") for word in argv)
    if full and not {"model.weights", "model.path"} & keys:
        argv = [*argv, "model.weights=random"]
    return parse_words(argv if "-m" in argv or "--multirun" in argv else ["-m", *argv])


def distinct(requests: list[Request]) -> list[Request]:
    """Each setting once, in order."""
    return list({request.spec.run_id: request for request in requests}.values())
