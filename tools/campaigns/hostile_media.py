"""Hostile clips, pictures and weights: python -m tools.campaigns.hostile_media --count 60 --folder DIR

Each attempt makes one file and hands it to the command that would read it: a clip to `measure` between two
good clips, a picture to `prompt.image=`, weights to the loader of `upscaler.weights=`. A fault is a
traceback, a hang, code that ran, another file that was opened, or a good clip that was not measured.
"""

from __future__ import annotations

import contextlib
import io
import json
import random
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

from tools.campaigns import hostile_files as make
from tools.campaigns.harness import Tally, main

HANG_S = 300


class HangError(Exception):
    """The attempt took too long."""


def attempt(tally: Tally, rng: random.Random, folder: Path, index: int) -> None:
    """One hostile file of the next kind."""
    kind = list(KINDS)[index % len(KINDS)]
    maker, use = KINDS[kind]
    path = maker(rng, folder, folder / f"hostile-{index}")
    label = f"{index} {kind} {path.name}"
    try:
        with bounded(HANG_S):
            tally.note(f"{kind.split()[0]}: {use(tally, path, folder, label)}")
    except HangError:
        tally.note(f"{kind.split()[0]}: hang")
        tally.fault("hang", label)
    except Exception:  # noqa: BLE001 - what a user would see as a traceback
        tally.note(f"{kind.split()[0]}: traceback")
        tally.fault("traceback", label, traceback.format_exc())
    for trace in folder.glob("RAN*"):
        tally.fault("code ran", label)
        trace.unlink()
    path.unlink(missing_ok=True)


@contextlib.contextmanager
def bounded(seconds: int) -> Iterator[None]:
    """Raises HangError after some seconds, where there are alarms."""
    if not hasattr(signal, "SIGALRM") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def late(*_: object) -> None:
        raise HangError

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def measured(tally: Tally, path: Path, folder: Path, label: str) -> str:
    """`measure` of good, hostile, good: both good ones must come out whatever the hostile one does."""
    from cogexp.__main__ import main as command

    words = ["measure", "--json", "metrics.names=[motion_px]", "metrics.height=72"]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = command([*words, "--", str(folder / "good.mp4"), str(path), str(folder / "good.mkv")])
    if code not in (0, 1):
        tally.fault(f"exit code {code}", label, err.getvalue())
        return f"exit code {code}"
    if "Traceback" in err.getvalue():
        tally.fault("traceback", label, err.getvalue())
    results = {Path(each["file"]).name: each for each in json.loads(out.getvalue())}
    for name in ("good.mp4", "good.mkv"):
        if results.get(name, {}).get("frames") != 12:
            tally.fault("a good clip was lost", label, err.getvalue())
    if path.name not in results:
        if code != 1 or path.name not in err.getvalue():
            tally.fault("left out silently", label, err.getvalue())
        return "refused"
    if path.suffix.lstrip(".") in make.LIST:
        tally.fault("a playlist was opened", label, out.getvalue())
    return "measured"


def pictured(tally: Tally, path: Path, folder: Path, label: str) -> str:
    """As prompt.image= of an image-to-video model: refused in one or two lines, or accepted."""
    from cogexp.build import build
    from cogexp.cli import compose
    from cogexp.cli.words import parse_words
    from cogexp.spec import SpecError

    words = ["model=cogvideox-5b-i2v", "resolution=native", f"prompt.image={path}"]
    try:
        build(compose.compose_jobs(parse_words(words))[0])
    except SpecError as error:
        return one_or_two_lines(tally, str(error), label)
    return "accepted"


def weighed(tally: Tally, path: Path, folder: Path, label: str) -> str:
    """As upscaler.weights=: loaded by the run's own loader."""
    from cogexp.spec import UpscalerSpec
    from cogexp.upscale.errors import UpscaleError
    from cogexp.upscale.esrgan import load

    spec = UpscalerSpec(name="spandrel", scale=4, weights=str(path), weights_sha256="0" * 64)
    try:
        load(spec, "cpu")
    except UpscaleError as error:
        return one_or_two_lines(tally, str(error), label)
    tally.fault("hostile weights were loaded", label)
    return "loaded"


def one_or_two_lines(tally: Tally, text: str, label: str) -> str:
    """A refusal as a user sees it."""
    if text.count("\n") > 1:
        tally.fault("a long refusal", label, text)
    return "refused"


Make = Callable[[random.Random, Path, Path], Path]
Use = Callable[[Tally, Path, Path, str], str]
KINDS: dict[str, tuple[Make, Use]] = {
    "clip truncated": (make.truncated, measured),
    "clip mutated": (make.mutated, measured),
    "clip claiming": (make.claiming, measured),
    "clip playlist": (make.playlist, measured),
    "clip animated": (make.animated, measured),
    "clip other": (make.other, measured),
    "picture bomb": (make.bomb, pictured),
    "picture none": (make.no_picture, pictured),
    "weights pickle": (make.pickled, weighed),
    "weights safetensors": (make.lying, weighed),
}


if __name__ == "__main__":
    tally = main("hostile_media", attempt, count=60, description=__doc__, prepare=make.prepare)
    sys.exit(bool(tally.faults))
