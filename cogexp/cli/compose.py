"""From command-line words to nested mappings, through Hydra, with errors a person can act on."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.types import ChoiceSweep, Glob, Override, RangeSweep
from omegaconf import DictConfig, OmegaConf

from cogexp.build import GROUPS
from cogexp.cli import sizes
from cogexp.cli.combine import Combiner
from cogexp.cli.interpolation import to_plain
from cogexp.cli.overrides import HYDRA_ERRORS, check_group, parse_override
from cogexp.cli.words import Words
from cogexp.spec import SpecError, check_choice
from cogexp.system.text import shortened

MOST_JOBS = 100_000
LAUNCHERS = ("basic", "overlap", "workers", "ray", "submitit")


@contextmanager
def hydra_ready(words: Words) -> Iterator[None]:
    """Hydra initialised for composing, and left clean for a host program."""
    sizes.register()
    GlobalHydra.instance().clear()
    with initialize_config_dir(config_dir=str(words.config_dir), version_base="1.3", job_name="cogexp"):
        yield


def compose_jobs(words: Words) -> list[dict[str, Any]]:
    """The mapping of every job that these words ask for: one, or with -m the product of the sweep.

    Raises:
        SpecError: a word that Hydra or the groups do not accept.
    """
    parsed = [parse_override(word) for word in words.overrides]
    for override in parsed:
        check_group(override)
    with hydra_ready(words):
        if words.multirun:
            _check_count(parsed)
            batches = BasicSweeper.split_arguments(parsed, max_batch_size=None)
            lists = [job for batch in batches for job in batch]
        else:
            for override in parsed:
                if override.is_sweep_override():
                    values = (override.input_line or "").partition("=")[2]
                    raise SpecError(
                        f"{override.key_or_group} has several values, got {values!r}; "
                        "run them all with: python -m cogexp -m ..."
                    )
            lists = [list(words.overrides)]
        return _compose_all(words, lists, {o.key_or_group for o in parsed if _is_plain_axis(o)})


def _check_count(parsed: Sequence[Override]) -> None:
    """Refuse axes that nobody means: Hydra would write out all of `range(0,1e9)` before the first job.

    Raises:
        SpecError: more than MOST_JOBS jobs, or a range without an end.
    """
    count = 1
    for override in parsed:
        value = override.value() if override.is_sweep_override() else None
        if isinstance(value, Glob):
            key, words = override.key_or_group, (override.input_line or "").partition("=")[2]
            raise SpecError(f"{key} must list its values, got {words!r}; for example: {key}=0,1")
        if isinstance(value, RangeSweep):
            try:
                length = ((value.stop or 0) - (value.start or 0)) / value.step
                count *= max(0, math.ceil(length))
            except (ZeroDivisionError, OverflowError, ValueError, TypeError):
                raise SpecError(
                    f"{override.key_or_group} must be a range with an end and a step, got "
                    f"{shortened(override.input_line or '')!r}; nearest: {override.key_or_group}=range(0,3)"
                ) from None
        elif isinstance(value, ChoiceSweep):
            count *= len(value.list)
        if count > MOST_JOBS:
            raise SpecError(
                f"a sweep must have at most {MOST_JOBS:,} jobs, got {shortened(override.input_line or '')!r} "
                "and more with the other axes; shorten one"
            )


def _is_plain_axis(override: Override) -> bool:
    """Several values of one key, not of a group: such a value can be set after composing."""
    key = override.key_or_group
    return override.is_sweep_override() and not override.is_add() and key not in GROUPS and "/" not in key


def _compose_all(words: Words, jobs: list[list[str]], axes: set[str]) -> list[dict[str, Any]]:
    """Compose each choice of the groups once, and set the values of `axes` afterwards."""
    late = [[word for word in job if word.partition("=")[0] in axes] for job in jobs]
    combined = Combiner(lambda early: compose_one(words, [*early, *late[0]]))
    composed: dict[tuple[str, ...], DictConfig] = {}
    found = []
    for job, values in zip(jobs, late, strict=True):
        early = tuple(word for word in job if word not in values)
        if early not in composed:
            composed[early] = combined(early)
        for override in map(parse_override, values):
            _set(composed[early], override)
        found.append(to_plain(composed[early]))
    return found


def _set(config: DictConfig, override: Override) -> None:
    try:
        OmegaConf.update(config, override.key_or_group, override.value(), merge=True)
    except HYDRA_ERRORS as error:
        line = str(error).strip().partition("\n")[0]
        raise SpecError(f"{override.key_or_group} cannot have this value: {shortened(line)}") from None


def compose_one(words: Words, overrides: Sequence[str]) -> DictConfig:
    try:
        return compose(words.config_name, overrides=list(overrides))
    except HYDRA_ERRORS as error:
        raise SpecError(_short(error, words)) from None


def launcher_of(words: Words) -> dict[str, Any]:
    """Where a sweep runs: {"name": one of LAUNCHERS, and the launcher's own keys}.

    Raises:
        SpecError: another launcher, or a key that it does not have.
    """
    own = [word for word in words.overrides if word.lstrip("+~").startswith(("hydra/", "hydra."))]
    if not own:
        return {"name": "basic"}
    name = next((w.partition("=")[2] for w in own if w.partition("=")[0] == "hydra/launcher"), "basic")
    check_choice("hydra/launcher", name, LAUNCHERS)
    with hydra_ready(words):
        try:
            config = compose(words.config_name, overrides=own, return_hydra_config=True)
        except HYDRA_ERRORS as error:
            first = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise SpecError(f"hydra/launcher={name} cannot be composed: {first}") from None
    keys = OmegaConf.to_container(config.hydra.launcher, resolve=True)
    assert isinstance(keys, dict)
    return {"name": name} | {str(key): value for key, value in keys.items() if key != "_target_"}


def _short(error: Exception, words: Words) -> str:
    """One line from one of Hydra's errors, with the nearest key where there is one."""
    text = str(error)
    match = re.search(r"Could not (?:override|append to config|delete|find) '?([\w./+-]+)", text)
    if match:
        key = match[1].lstrip("+").rstrip(".")
        known = _known_keys(words.config_dir, words.config_name)
        near = get_close_matches(key, known, n=1, cutoff=0.5)
        hint = f"nearest: {near[0]}" if near else f"groups: {', '.join(GROUPS)}"
        return f"{key} is not a key of cogexp; {hint}"
    first = text.strip().splitlines()[0] if text.strip() else type(error).__name__
    return f"the configuration cannot be composed: {first}"


@lru_cache(maxsize=8)
def _known_keys(folder: Path, name: str) -> list[str]:
    """All keys of a config, once a process: composing takes a tenth of a second."""
    plain = OmegaConf.to_container(compose(name), resolve=False)
    assert isinstance(plain, dict)
    nested = [f"{group}.{key}" for group, value in plain.items() if isinstance(value, dict) for key in value]
    return [str(key) for key in plain] + nested
