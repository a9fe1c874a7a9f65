"""From words to checked requests, and keys without effect: refused, or in some jobs of a sweep left out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from cogexp.build import Request, build
from cogexp.cli import compose
from cogexp.cli.words import Words
from cogexp.request.effects import RULES, Rule, Setting, without
from cogexp.spec import SpecError


def requests_of(words: Words, *, needs_first_frame: bool = True, launches: bool = False) -> list[Request]:
    """One request a job.

    A key that the user set is refused when it has no effect in any job. In a sweep in which some jobs have a
    use for it, the others are what they are without it, and say so. launches: whether a launcher will have
    them.

    Raises:
        SpecError: as `build`, and for such a key.
    """
    check_hydra_keys(words, launches=launches)
    asked = set(words.keys)
    rules = [rule for rule in RULES if rule.key in asked]
    jobs = compose.compose_jobs(words)
    found: dict[str, list[str]] = {rule.key: [] for rule in rules}
    wanted: set[str] = set()
    requests = []
    for job in jobs:
        wanted |= {r.key for r in rules if Setting(config=job).value(r.key) not in r.neutral}
        request, reasons = _built(job, rules, needs_first_frame)
        requests.append(request)
        for key, reason in reasons.items():
            found[key].append(reason)
    for key, reasons_of_key in found.items():
        if key in wanted and all(reasons_of_key):
            raise SpecError(f"{key} has no effect {reasons_of_key[0]}")
    return requests


def _built(
    config: dict[str, Any], rules: list[Rule], needs_first_frame: bool
) -> tuple[Request, dict[str, str]]:
    """The request of one job without what has no effect in it, and why, by key ('': it has one)."""
    asked = Setting(config=config)
    reasons = {rule.key: rule.reason(asked) for rule in rules if rule.before}
    job, dropped = _drop(config, rules, reasons)
    request = build(job, needs_first_frame=needs_first_frame)
    setting = Setting(config=config, spec=request.spec, device=request.settings.device)
    late = {rule.key: rule.reason(setting) for rule in rules if not rule.before}
    job, more = _drop(job, rules, late)
    if more:
        request = build(job, needs_first_frame=needs_first_frame)
    reasons |= late
    notes = {key: f"left out: it has no effect {reasons[key]}" for key in dropped + more}
    return replace(request, resolved=request.resolved | notes), reasons


def _drop(
    config: dict[str, Any], rules: list[Rule], reasons: dict[str, str]
) -> tuple[dict[str, Any], list[str]]:
    """`config` with neutral values where a key has no effect, and the keys whose values were others."""
    dropped = []
    for rule in rules:
        if reasons.get(rule.key) and Setting(config=config).value(rule.key) not in rule.neutral:
            config = without(config, rule.key, rule.neutral[0])
            dropped.append(rule.key)
    return config, dropped


def check_hydra_keys(words: Words, *, launches: bool) -> None:
    """Raise SpecError for a key of Hydra's own that nobody reads here: launchers have sweeps only."""
    for key in words.keys:
        if key == "hydra/launcher" or key.startswith("hydra.launcher."):
            if not launches:
                raise SpecError(f"{key} has no effect here; it takes a sweep: python -m cogexp -m ...")
        elif key.startswith(("hydra.", "hydra/")):
            raise SpecError(
                f"{key} has no effect: cogexp places, names and runs its jobs itself; "
                "it takes outputs=FOLDER, study=NAME or hydra/launcher=..."
            )
