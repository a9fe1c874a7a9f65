"""`dashboard [DIR]`: the study in W&B, as a workspace, a report and a table; with --dry-run as JSON only."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cogexp.cli.pick import split_folder
from cogexp.cli.runs import show_log_lines
from cogexp.cli.words import Parser
from cogexp.spec import SpecError
from cogexp.study.query import Query, read_query
from cogexp.system import faults
from cogexp.terminal import Progress, for_stderr
from cogexp.whole import write_whole

if TYPE_CHECKING:
    from cogexp.record import Record
    from cogexp.tracking.dashboard import Answer

SAVE_SECONDS = 60.0
NAMES = ("entity", "project")


def command(argv: list[str]) -> int:
    """0 when it was saved (with --dry-run: written), 1 when W&B refused it, 2 when the request was wrong."""
    from cogexp.tracking import dashboard as boards
    from cogexp.tracking.logged import logged_by

    parser = Parser(add_help=False, allow_abbrev=False)
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("words", nargs="*")
    options = parser.parse_intermixed_args(argv)
    folder, words = split_folder(options.words, "dashboard")
    own = dict(word.split("=", 1) for word in words if word.partition("=")[0] in NAMES)
    query = read_query(word for word in words if word.partition("=")[0] not in NAMES)
    if not boards.is_installed():
        raise SpecError(f"dashboard needs wandb-workspaces, which is not installed; {boards.EXTRA}")
    show_log_lines(False)
    answer, found = _answer(folder, query)
    entity, project = own.get("entity"), own.get("project", "cogexp")
    logged = logged_by(record for record, _ in found)
    if options.dry_run:
        board = boards.workspace(logged, answer, entity=entity or "me", project=project, study=query.study)
        text = boards.report(
            logged, answer, entity=entity or "me", project=project, study=query.study, online=False
        )
        _write(folder / "reports", board, text)
        return 0
    entity = entity or _entity(folder)
    return _save(folder, answer, found, logged, entity, project, query.study, for_stderr())


def _answer(folder: Path, query: Query) -> tuple[Answer, list[tuple[Record, Path]]]:
    from cogexp.study import load
    from cogexp.study.report import choice_of
    from cogexp.study.report_data import runs_of
    from cogexp.study.words import markdown
    from cogexp.tracking.dashboard import Answer

    study = load(folder, query.study)
    choice, why = choice_of(study, query)
    answer = Answer(
        title=f"cogexp {query.study or 'all runs'}"[:128],
        sentence=choice.sentence if choice else why,
        markdown=markdown(choice) if choice else why,
    )
    return answer, [(record, home) for _, record, home in runs_of(study, folder)]


def _write(folder: Path, board: Any, report: Any) -> None:
    """The two files, after wandb-workspaces' own models took them."""
    from cogexp.tracking.dashboard_json import report_json, workspace_json

    for name, text in (("workspace", workspace_json(board)), ("report", report_json(report))):
        file = folder / f"wandb-{name}.json"
        write_whole(file, text)
        print(file)


def _entity(folder: Path) -> str:
    """The user or team that the key belongs to.

    Raises:
        SpecError: in one line, why W&B cannot be reached, and what works without it.
    """
    from cogexp.tracking.guard import line, within
    from cogexp.tracking.online import prepare_environment, why_offline

    prepare_environment(folder)
    without = "--dry-run writes and checks the JSON without a login"
    if (mode := os.environ.get("WANDB_MODE", "online").lower()) not in ("online", "run", "shared"):
        raise SpecError(f"dashboard saves to W&B, but WANDB_MODE={mode}; {without}")
    import wandb

    wandb.setup(settings=wandb.Settings(silent=True, login_timeout=1))
    if reason := why_offline(wandb):
        raise SpecError(f"dashboard saves to W&B, but {reason}; {without}")
    asked = within(SAVE_SECONDS, lambda: wandb.Api(timeout=20).default_entity)
    if asked.fault or not asked.value:
        why = line(asked.fault) if asked.fault else "the key has no default entity; name one with entity=NAME"
        raise SpecError(f"dashboard saves to W&B, but {why}; {without}")
    return str(asked.value)


def _save(
    folder: Path, answer: Answer, found: list[tuple[Record, Path]], logged: Any, entity: str, project: str,
    study: str | None, progress: Progress,
) -> int:  # fmt: skip
    """Workspace, report and table; each is told with its address or, in one line, with what went wrong."""
    from cogexp.tracking import dashboard as boards
    from cogexp.tracking import make_tracker
    from cogexp.tracking.dashboard_saved import addresses, key_of, onto_saved, remember
    from cogexp.tracking.guard import line, within
    from cogexp.tracking.study_table import table_of

    failed = False
    home = folder / "reports"
    known = addresses(home)

    def workspace() -> Any:
        return boards.workspace(logged, answer, entity=entity, project=project, study=study)

    def report() -> Any:
        return boards.report(logged, answer, entity=entity, project=project, study=study, online=True)

    for name, make in (("workspace", workspace), ("report", report)):
        key = key_of(name, entity, project, study)
        done = within(SAVE_SECONDS, lambda: onto_saved(make(), name, known.get(key)).save().url)  # noqa: B023
        if done.fault:
            progress.say(f"W&B: the {name} is not saved: {line(done.fault)}")
            failed = True
        else:
            print(f"{name}: {done.value}")
            try:
                remember(home, key, str(done.value))
            except OSError as error:
                progress.say(
                    f"the {name}'s address could not be kept, so that the next call makes another one: "
                    f"{faults.described(error)}"
                )
    # Last, because it uploads the clips: the two above are quick.
    tracker = make_tracker("online", project=project, entity=entity, folder=folder, say=progress.say)
    tracked = tracker.study(table_of(study or "all", found))
    if tracked.url and not tracked.problem:
        print(f"table: {tracked.url}")
    return int(failed or tracked.problem is not None)
