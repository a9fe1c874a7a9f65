"""Requests, random and mutated, against everything up to the first run: no traceback, no hang, a short refusal.

A legal request ends where it would load a model. A refusal has exit code 2, at most three lines, and a
"nearest" that is another value than the one given and is itself accepted.
"""

# ruff: noqa: E501  (lists of hostile values read better in rows)
from __future__ import annotations

import json
import random
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest import mock

from cogexp.__main__ import main as cogexp_main
from cogexp.build import GROUPS, TOP_LEVEL, Request
from cogexp.cli.help import COMMANDS
from cogexp.cli.paths import conf_dir
from cogexp.spec import FLAG_CHOICES
from tools.campaigns import harness
from tools.campaigns.inprocess import CANARY, SECRET, call, working_in

KEYS = (
    *TOP_LEVEL, "resolution.width", "resolution.height", "resolution.frames", "resolution.fps", "sampler.steps",
    "sampler.guidance", "sampler.scheduler", "sampler.dynamic_cfg", "upscaler.scale", "upscaler.blend",
    "upscaler.tile_px", "upscaler.weights", "prompt.text", "prompt.negative", "prompt.name", "prompt.image",
    "metrics.names", "metrics.height", "metrics.batch", "metrics.clip_model", "model.path", "model.dtype",
    "model.weights", "model.revision", "model.name", "tracking.mode", "tracking.project", "tracking.entity",
    *(f"optimization.{flag}" for flag in FLAG_CHOICES), "nano.undertrained", "hydra/launcher",
)  # fmt: skip
VALUES = (
    "0", "1", "-1", "7", "16", "512", "2.5", "1e9", "1e999", "-0.0", "nan", "inf", "-inf", "9" * 400, "-" + "9" * 400,
    "9" * 5000, "0x10", "1_000", "true", "false", "null", "None", "yes", "auto", "none", "''", '""', "'a'", "a b",
    "a,b", "[1,2]", "[", "]", "{a:1}", "{", "[" * 60 + "]" * 60, "${missing}", "${seed}", f"${{oc.env:{SECRET}}}",
    "${oc.decode:'1'}", "${oc.env:HOME}", "${now:%Y}", "${", "$", "\\", "\\'", "'", '"', "=", "==", "a=b", "~", "@x",
    "*", "&a", "!!python/object/apply:os.system [id]", "#c", "a: b", "- a", "늑대" * 40, "🐺", "x" * 300, "x" * 5000,
    "\u202eabc", "a\x1b[31mb", "a\nb", "a\tb", "\x00", "\x7f", "\udcff", "../../etc/passwd", "/dev/null", "/dev/zero",
    "~/x", ".", "/", "//", "a/../b", "C:\\x", "range(0,3)", "range(3)", "range(0,1e9)", "choice(1,2)", "interval(1,2)",
    "glob(*)", "sort(3,1)", "shuffle(1,2)", "int(3)", "float(x)", "str(1)", "json_str('{')", "tag(a,1)", "extend_list(1)",
    "512x288", "1x1", "99999x16", "0x0", "x", "512X288", "hf_abcdefghijklmnopqrstuvwxyz", "%s", "{}", "\\N{DASH}", " ",
)  # fmt: skip
OPTIONS = (
    "-m", "--multirun", "--plan", "--cfg", "--cfg=job", "-c", "--resolve", "--info", "-i", "--config-path", "-cp", "/etc",
    "--config-path=.", "--config-name=x", "-cn", "--help", "--version", "--json", "--markdown", "--to", "csv", "--out",
    "--embed", "--grid", "--dry-run", "--prompt", "--", "-", "---", "-x", "--x=y", "--package", "-p", "outputs",
    "gpu=24GB", "gpu=", "gpu=x", "exact=true", "trials=3", "trials=x", "count=1", "where=tear<1", "where=(((", "limit=x",
    "maximize=clip_score", "minimize=", "max_vram=24GB", "max_vram=9" + "9" * 400 + "GB", "max_seconds=1e400", "storage=x",
    "study=a", "sweep=quick", "sweep=nope", "sweep=", "from=", "timed=0", "activations=true", "layers=0-99", "steps=x",
)  # fmt: skip
STARTS_MORE = ("bench", "agent", "fetch", "inspect", "optimize")  # seldom: they bring libraries with them
NEAREST = re.compile(
    r"cogexp: (?P<key>[\w./]+) must .*got (?P<got>.*?)[;,] .*?nearest: (?P<near>[^;\n]+?)\s*$", re.DOTALL
)


@lru_cache(maxsize=1)
def choices() -> dict[str, tuple[str, ...]]:
    """Group -> the names of its files."""
    return {group: tuple(sorted(f.stem for f in (conf_dir() / group).glob("*.yaml"))) for group in GROUPS}


def legal_word(rng: random.Random) -> str:
    """A word that is legal on its own."""
    group = rng.choice(GROUPS)
    return f"{group}={rng.choice(choices()[group])}"


def hostile_word(rng: random.Random) -> str:
    """A word with something wrong in it, or something strange that is legal."""
    key = rng.choice((*KEYS, *GROUPS)) if rng.random() < 0.85 else rng.choice(VALUES)
    value = rng.choice(VALUES)
    word = f"{rng.choice(('', '', '', '', '+', '++', '~'))}{key}={value}"
    return _mutated(word, rng) if rng.random() < 0.3 else word


def _mutated(word: str, rng: random.Random) -> str:
    """A letter deleted, doubled, exchanged or replaced, at random places."""
    letters = list(word)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(letters)) if letters else 0
        kind = rng.randrange(4)
        if kind == 0 and letters:
            del letters[at]
        elif kind == 1 and letters:
            letters.insert(at, letters[at])
        else:
            letters.insert(at, rng.choice("=,[]{}()'\"\\$:~@!#%&*+-./0 9aZ\x1b\ud800늑\n"))
    return "".join(letters).replace("\x00", "")


def words_of(rng: random.Random) -> list[str]:
    """A whole request."""
    words = [legal_word(rng) for _ in range(rng.randrange(3))]
    words += [hostile_word(rng) for _ in range(rng.choice((1, 1, 1, 2, 3)))]
    words += [rng.choice(OPTIONS) for _ in range(rng.choice((0, 0, 0, 1, 2)))]
    rng.shuffle(words)
    if rng.random() < 0.3:
        names = [name for name in COMMANDS if name not in STARTS_MORE or rng.random() < 0.1]
        words.insert(0, rng.choice(names))
    return words


class Built:
    """The requests that were accepted, instead of being run."""

    def __init__(self) -> None:
        self.requests: list[Request] = []

    def take(self, first: Any, *rest: Any) -> int:
        """In the place of what would run."""
        self.requests += [first] if isinstance(first, Request) else list(rest[0]) if rest else []
        return 0

    def leaks(self) -> bool:
        """Whether the secret stands in what would be recorded."""
        return any(
            CANARY in json.dumps([one.spec.to_dict(), one.resolved, one.settings.study, one.settings.project])
            for one in self.requests
        )


@contextmanager
def stopped_before_runs() -> Iterator[Built]:
    """Every command ends where it would load a model, ask the network or wait for one."""
    built = Built()
    stubs: list[tuple[str, str, Callable[..., Any]]] = [
        ("cogexp.cli.runs", "_single", built.take),
        ("cogexp.cli.runs", "_sweep", built.take),
        ("cogexp.cli.bench", "bench", lambda *a, **k: (_ for _ in ()).throw(SystemExit(0))),
        ("cogexp.cli.quality", "_measure", lambda *a: []),
        ("cogexp.cli.measure", "_measure_all", lambda *a: 0),
        ("cogexp.cli.inspect", "_show", lambda *a, **k: 0),
        ("cogexp.cli.fetch", "build_downloads", lambda *a: _leave()),
        ("cogexp.cli.optimize", "_check_objective", lambda *a: _leave()),
        ("cogexp.cli.agent", "_stage_below", lambda *a: _leave()),
    ]
    with ExitStack() as patches:
        for module, name, stub in stubs:
            patches.enter_context(mock.patch.object(import_module(module), name, stub))
        yield built


def _leave() -> Any:
    raise SystemExit(0)


def attempt(tally: harness.Tally, rng: random.Random, folder: Path, index: int) -> None:
    """One request, and when it names a nearest value that one, too."""
    words = words_of(rng)
    with working_in(folder), stopped_before_runs() as built:
        outcome = call(lambda argv: cogexp_main(list(argv)), words)
        shown = json.dumps(words)
        for fault in outcome.faults():
            tally.fault(fault, shown, outcome.stderr)
        for fault in refusal_faults(outcome):
            tally.fault(fault, shown, outcome.stderr)
        if CANARY in outcome.stdout + outcome.stderr or built.leaks():
            tally.fault("secret", shown, outcome.stderr)
        if outcome.code == 2 and (better := with_nearest(words, outcome.stderr)):
            _try_nearest(tally, words, better, outcome.stderr)
    tally.note(f"exit {outcome.code}")


def refusal_faults(outcome: harness.Outcome) -> Iterator[str]:
    """What a refusal may not look like."""
    if outcome.code not in (0, 1, 2, None):
        yield f"exit {outcome.code}"
    if outcome.code != 2:
        return
    lines = outcome.stderr.strip().splitlines()
    if not lines or len(lines) > 3:
        yield f"{'no' if not lines else 'a long'} refusal"
    if len(outcome.stderr) > 3500:
        yield "a long refusal"
    if re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", outcome.stderr):
        yield "a steering refusal"


def with_nearest(words: Sequence[str], printed: str) -> list[str] | None:
    """The request with the value that the refusal calls nearest; None when it names none for one of its words."""
    match = NEAREST.search(printed)
    if match is None:
        return None
    near = re.split(r" or |, or ", match["near"])[0].strip()
    at = [i for i, word in enumerate(words) if word.lstrip("+~").partition("=")[0] == match["key"]]
    if len(at) != 1 or "..." in near:
        return None
    key = words[at[0]].partition("=")[0]
    better = near if "=" in near else f"{key}={near}"
    return [*words[: at[0]], better, *words[at[0] + 1 :]]


def _try_nearest(tally: harness.Tally, words: list[str], better: list[str], printed: str) -> None:
    """The nearest value must differ from the one given, and must not be refused by the same rule."""
    if better == words:
        tally.fault("nearest repeats the value", json.dumps(words), printed)
        return
    again = call(lambda argv: cogexp_main(list(argv)), better)
    key = NEAREST.search(printed)
    if again.code == 2 and key and again.stderr.startswith(f"cogexp: {key['key']} must"):
        tally.fault("nearest is refused", json.dumps([words, better]), f"{printed}\n{again.stderr}")


def main(arguments: Sequence[str] | None = None) -> harness.Tally:
    """The campaign."""
    return harness.main("requests", attempt, count=10_000, description=__doc__, arguments=arguments)


if __name__ == "__main__":
    sys.exit(bool(main().faults))
