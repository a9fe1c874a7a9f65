"""Command-line words: Hydra's options, the user's overrides, a ready study's, and free text made safe."""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import NoReturn

from cogexp.build import GROUPS
from cogexp.cli import config_folder, studies
from cogexp.cli.paths import conf_dir
from cogexp.spec import SpecError
from cogexp.storage.foreign_data import read_text
from cogexp.storage.run_files import expanded

SLURM_OPTIONS = "hydra.launcher.slurm."
INFO = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")  # what --info prints
# Free text: a comma or an apostrophe in it is a comma or an apostrophe, not Hydra's grammar.
TEXT_KEYS = ("prompt.text", "prompt.negative", "study")


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaints are requests refused like any other."""

    def error(self, message: str) -> NoReturn:
        """Raise SpecError instead of printing usage and leaving."""
        raise SpecError(f"{message}; python -m cogexp --help lists the options")


@dataclass(frozen=True, kw_only=True)
class Words:
    """Parsed command-line words, a ready study's among them. `passthrough` asks Hydra itself (--cfg ...)."""

    overrides: list[str]
    multirun: bool
    config_dir: Path
    config_name: str
    passthrough: bool
    plan_only: bool = False  # --plan: say what would run, run nothing
    pick: tuple[str, ...] = ()  # words of the decision at the end of a study
    keys: tuple[str, ...] = ()  # the keys that the user set, without those of a ready study


def parse_words(argv: list[str]) -> Words:
    """Split Hydra's options from overrides; the text keys are quoted for Hydra's grammar."""
    parser = Parser(add_help=False, allow_abbrev=False)
    parser.add_argument("--multirun", "-m", action="store_true")
    parser.add_argument("--run", "-r", action="store_true")
    parser.add_argument("--plan", action="store_true")
    parser.add_argument("--config-path", "-cp")
    parser.add_argument("--config-name", "-cn", default="config")
    parser.add_argument("--cfg", "-c", choices=["job", "hydra", "all"])
    parser.add_argument("--package", "-p")
    parser.add_argument("--resolve", action="store_true")
    parser.add_argument("--info", "-i", nargs="?", const="all", choices=INFO)
    parser.add_argument("--hydra-help", action="store_true")
    parser.add_argument("--shell-completion", "-sc", action="store_true")
    known, rest = parser.parse_known_args(argv)
    for word in rest:
        if word.startswith("-"):
            raise SpecError(f"{word} is not an option of cogexp; python -m cogexp --help lists them")
        if "=" not in word and not word.startswith("~"):
            raise SpecError(f"{word!r} is neither a command nor key=value; {_nearest_command(word)}")
    folder = expanded(known.config_path).absolute() if known.config_path else conf_dir()
    name = Path(known.config_name).name.removesuffix(".yaml")
    if known.config_path:
        config_folder.check(folder, name, known.config_path)
    given = [word for word in rest if word.partition("=")[0] != "sweep"]
    study, rest = _take_study(rest)
    asks_hydra = known.cfg or known.info or known.hydra_help or known.shell_completion
    overrides = [_open_slurm(quote_text(word)) for word in rest]
    if known.config_path and not _has_defaults(folder / f"{name}.yaml"):
        # A run's own config.yaml holds values, not choices: a group named beside it is laid over them.
        overrides = [f"+{word}" if word.partition("=")[0] in GROUPS else word for word in overrides]
    return Words(
        overrides=overrides,
        multirun=known.multirun or study is not None,
        config_dir=folder,
        config_name=name,
        passthrough=bool(asks_hydra),
        plan_only=known.plan,
        pick=study.pick if study else (),
        keys=tuple(word.partition("=")[0].lstrip("+~") for word in given),
    )


def _take_study(words: list[str]) -> tuple[studies.StudyFile | None, list[str]]:
    """The study that `sweep=NAME` names, and the words with the study's own in front of the user's."""
    named = [word.partition("=")[2] for word in words if word.partition("=")[0] == "sweep"]
    rest = [word for word in words if word.partition("=")[0] != "sweep"]
    if not named:
        return None, rest
    if len(named) > 1:
        raise SpecError(f"sweep must be given once, got {', '.join(named)}")
    study = studies.load(named[0])
    given = [word.partition("=")[0].lstrip("+~") for word in rest]
    name = [] if "study" in given else [f"study={study.name}"]
    return study, [*name, *study.words(given), *rest]


def _open_slurm(word: str) -> str:
    """An option of sbatch is a key of its own, which no file lists: Hydra adds it."""
    return f"++{word}" if word.startswith(SLURM_OPTIONS) else word


def _has_defaults(file: Path) -> bool:
    return any(line.startswith("defaults:") for line in read_text(file).splitlines())


def _nearest_command(word: str) -> str:
    from cogexp.cli.help import COMMANDS

    near = get_close_matches(word, [*COMMANDS, *GROUPS], n=1, cutoff=0.5)
    return f"nearest: {near[0]}" if near else "for example: resolution=512x288"


def quote_text(word: str) -> str:
    """Quote the value of a free-text key unless the user did: `prompt.text=a, b` is one text."""
    key, _, value = word.partition("=")
    if key.lstrip("+") not in TEXT_KEYS or not value or value in ("null",):
        return word
    if re.fullmatch(r"""\s*(['"]).*\1\s*""", value, flags=re.DOTALL):
        return word
    # In Hydra's grammar only a quote, and the backslashes right before one, need escaping.
    escaped = re.sub(r"(\\*)(')", lambda m: m[1] * 2 + r"\'", value)
    escaped = re.sub(r"(\\+)$", lambda m: m[1] * 2, escaped)
    return f"{key}='{escaped}'"
