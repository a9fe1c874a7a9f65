"""Every command that reads records, studies, journals, configs or checkpoints, as a function of a folder."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cogexp import record as records
from cogexp.__main__ import main as cogexp_main
from cogexp.spec import SpecError
from tools.campaigns.small_study import STUDY, search, spec_of


@dataclass(frozen=True, kw_only=True)
class Reader:
    """A command of those that read, and how often it is drawn."""

    name: str
    work: Callable[[Path], int]
    weight: float = 1.0


def _command(*words: str) -> Callable[[Path], int]:
    return lambda outputs: cogexp_main([word.replace("OUTPUTS", str(outputs)) for word in words])


def _load(outputs: Path) -> int:
    """The library's face, every row looked at; the runs that nobody touched must all be there."""
    from cogexp.study import load
    from cogexp.study.rows import flat
    from cogexp.tracking import payload
    from cogexp.tracking.study_table import table_of

    try:
        study = load(outputs)
    except SpecError:
        return 2
    for row in study.rows:
        flat(row)
    found = [
        (record, outputs / "runs" / record.run_id) for record in records.load_many(outputs, per_frame=True)
    ]
    for record, _ in found:
        payload.numbers(record), payload.texts(record), payload.curves(record), payload.media(record)
        payload.after(record), payload.goals(record)
    table_of("all", found)
    print(json.dumps(sorted(row.run_id for row in study.rows)))
    return 0


def _forecast(outputs: Path) -> int:
    """What a sweep does before it goes on where it stopped, and the tables it ends with."""
    from cogexp.cli import forecast as shown
    from cogexp.cli import tables
    from cogexp.plan import measured
    from cogexp.study.forecast import forecast

    specs = [spec_of(upscaler, seed) for upscaler in ("none", "lanczos") for seed in (0, 1, 2)]
    shown.show(forecast(specs, outputs, device="cpu"), STUDY)
    list(measured._runs(outputs)), list(measured._benches(outputs))
    rows = [(spec.run_id, records.read_if_whole(outputs / "runs" / spec.run_id), True) for spec in specs]
    tables.show_sweep(rows)
    for _, record, _ in rows:
        if record is not None:
            tables.show_run(record, outputs, found=True)
    return 0


def _resume_search(outputs: Path) -> int:
    from cogexp.study import trials

    found = search(outputs)
    trials.finished(found), trials.best(found)
    return 0


def _checkpoints(outputs: Path) -> int:
    from cogexp import catalog, choose
    from cogexp.engine import checkpoints

    folder = outputs / "checkpoint"
    checkpoints.incomplete(folder)
    choose.require_checkpoint(catalog.VARIANTS["cogvideox-2b"], str(folder))
    return 0


def _conclude(outputs: Path) -> int:
    """The end of a resumed study: its manifest's own words, its decision and its report."""
    from cogexp.cli import decision
    from cogexp.terminal import Silent
    from cogexp.tracking import dashboard_saved

    dashboard_saved.addresses(outputs / "reports")
    decision.conclude(outputs, STUDY, Silent())
    return 0


def _config_path(outputs: Path) -> int:
    """--config-path of a run's folder, as far as the checked request."""
    from cogexp.build import build
    from cogexp.cli import compose
    from cogexp.cli.words import parse_words

    home = sorted((outputs / "runs").glob("*"))[0]
    print(build(compose.compose_jobs(parse_words(["--config-path", str(home)]))[0]))
    return 0


def _as_main(work: Callable[[Path], int]) -> Callable[[Path], int]:
    """A library function with the handling of wrong requests that the command line has."""

    def wrapped(outputs: Path) -> int:
        try:
            return work(outputs)
        except SpecError as error:
            print(f"cogexp: {error}", file=sys.stderr)
            return 2

    return wrapped


READERS = (
    Reader(name="load", work=_load, weight=6),
    Reader(name="pick", work=_command("pick", "OUTPUTS"), weight=3),
    Reader(
        name="pick json",
        work=_command("pick", "OUTPUTS", "minimize=tear", "--json", f"study={STUDY}"),
        weight=3,
    ),
    Reader(name="pick markdown", work=_command("pick", "OUTPUTS", "where=tear<99", "--markdown"), weight=2),
    Reader(name="export", work=_command("export", "OUTPUTS", "--to", "csv"), weight=3),
    Reader(name="report", work=_command("report", "OUTPUTS")),
    Reader(name="report embedded", work=_command("report", "OUTPUTS", "--embed", f"study={STUDY}")),
    Reader(name="dashboard", work=_command("dashboard", "OUTPUTS", "--dry-run"), weight=0.3),
    Reader(name="bench", work=_command("bench", "from=OUTPUTS/bench"), weight=1.5),
    Reader(name="forecast", work=_forecast, weight=4),
    Reader(name="search", work=_as_main(_resume_search), weight=2),
    Reader(name="checkpoint", work=_as_main(_checkpoints), weight=3),
    Reader(name="conclude", work=_as_main(_conclude), weight=0.7),
    Reader(name="config", work=_as_main(_config_path), weight=0.5),
    Reader(name="explain", work=_command("explain", "nano", "outputs=OUTPUTS"), weight=0.2),
    Reader(
        name="explain by path", work=_command("explain", "OUTPUTS/runs/RUN", "outputs=OUTPUTS"), weight=0.2
    ),
)
