"""`agent SWEEP_ID`: the runs of a W&B sweep in this one process, so that the model is loaded once."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from cogexp.build import build, build_settings
from cogexp.cli import compose
from cogexp.cli.requests import check_hydra_keys
from cogexp.cli.runs import preflight, show_log_lines
from cogexp.cli.words import parse_words
from cogexp.launch.execute import execute
from cogexp.spec import SpecError
from cogexp.storage.foreign_data import ForeignDataError, read_yaml
from cogexp.system import interrupts
from cogexp.terminal import Progress, for_stderr

OWN = ("count", "project", "entity")
PARAMETERS = "WANDB_SWEEP_PARAM_PATH"  # where W&B's agent writes them before it calls the function


def command(argv: list[str]) -> int:
    """0 when every run was done, 1 when one failed or the sweep cannot be reached, 2 for a wrong request."""
    names = [word for word in argv if "=" not in word]
    if len(names) != 1 or names[0].startswith("-"):
        raise SpecError(f"agent needs one sweep, such as me/cogexp/1a2b3c4d, got {' '.join(names) or 'none'}")
    own = {word.partition("=")[0]: word.partition("=")[2] for word in argv if word.partition("=")[0] in OWN}
    if not own.get("count", "1").isdigit():
        raise SpecError(f"count must be a whole number, got {own['count']!r}; nearest: 1")
    given = [word for word in argv if "=" in word and word.partition("=")[0] not in OWN]
    words = parse_words(given)
    if words.multirun:
        raise SpecError("agent takes its axes from the sweep, got sweep=NAME or -m as well")
    check_hydra_keys(words, launches=False)
    settings = build_settings(compose.compose_jobs(words)[0])
    if settings.tracking == "off":
        raise SpecError(
            "tracking must not be off with agent: W&B learns nothing then; nearest: tracking=auto"
        )
    show_log_lines(settings.debug)
    interrupts.install()
    _stage_below(settings.outputs)
    import wandb

    progress = for_stderr()
    jobs = Jobs(given=tuple(given), progress=progress)
    try:
        wandb.agent(
            names[0],
            jobs.run_next,
            entity=own.get("entity"),
            project=own.get("project"),
            count=int(own["count"]) if "count" in own else None,
        )
    except (wandb.Error, ConnectionError, ValueError) as error:
        progress.say(f"W&B: the sweep {names[0]} cannot be worked on: {error}")
        return 1
    failed = [status for status in jobs.statuses if status != "ok"]
    progress.say(f"{len(jobs.statuses)} runs, {len(failed)} of them not finished")
    return 1 if failed else 0


@dataclass(kw_only=True)
class Jobs:
    """What W&B's agent calls for each run of the sweep; the sweep's words lie over those that are given."""

    given: tuple[str, ...]
    progress: Progress
    statuses: list[str] = field(default_factory=list)

    def run_next(self) -> None:
        """The run that W&B has just named. A failure is recorded there and here, and does not end the agent.

        Raises:
            SpecError: the sweep asks for what cannot be run; W&B marks the run as failed.
        """
        try:
            asked = sweep_words()
            keys = {word.partition("=")[0] for word in asked}
            given = [word for word in self.given if word.partition("=")[0] not in keys]
            words = parse_words([*given, *asked])
            request = build(compose.compose_jobs(words)[0])
            preflight([request], self.progress)
        except SpecError:
            self.statuses.append("refused")
            raise
        self.progress.say(f"[{len(self.statuses) + 1}] {request.spec.run_id}")
        self.statuses.append(execute(request, self.progress, mirror=True).status)


def sweep_words() -> list[str]:
    """The parameters of the run under way as W&B's agent hands them to its function: 'key=value'."""
    try:
        parameters = read_yaml(Path(os.environ[PARAMETERS]))
    except (OSError, ForeignDataError) as error:
        raise SpecError(f"the sweep's parameters cannot be read: they {error}") from None
    if not isinstance(parameters, dict):
        raise SpecError("the sweep's parameters must be keys with values, got none")
    return [
        f"{key}={entry['value']}"
        for key, entry in parameters.items()
        if isinstance(entry, dict) and "value" in entry
    ]


def _stage_below(outputs: Path) -> None:
    """W&B's files of the sweep go below the outputs instead of the working folder."""
    from cogexp.tracking.online import prepare_environment

    outputs.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("WANDB_DIR", str(outputs.absolute()))
    prepare_environment(outputs)
