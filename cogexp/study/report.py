"""One HTML file from many records: the decision, tables, videos in step, plots. Opens from disk, no network.

Scripts, styles and a small poster of each run are inside the file. The clips stay where they are and are
linked relative to it, so that 500 runs open at once; `embed` puts them inside too, for a file to send away.
Prompts and errors reach the page as JSON and text nodes only, never as markup.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from cogexp.spec import SpecError
from cogexp.storage.run_files import is_folder
from cogexp.study.pick import Choice, Query, pick
from cogexp.study.report_data import page_data, runs_of
from cogexp.study.report_file import check_target
from cogexp.study.report_media import Media
from cogexp.study.table import Study, load
from cogexp.study.words import digits, label
from cogexp.system.faults import reason_of
from cogexp.system.html import content_policy, new_nonce
from cogexp.whole import write_whole

PAGE = Path(__file__).parent / "page"
SCRIPTS = ("table.js", "step.js", "grid.js", "compare.js", "details.js")
PLOTS = "plots.js"
PLOTTED = "plotly"


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Which dimensions the grid of videos opens with: axis names, 'prompt', 'seed' or 'clip'."""

    rows: str | None = None
    columns: str | None = None
    fixed: tuple[tuple[str, str], ...] = ()


def write_report(
    folder: Path, file: Path, query: Query, *, embed: bool = False, grid: Grid | None = None
) -> list[str]:
    """Write the report of the runs in `folder` to `file`, atomically; what a reader should be told.

    Raises:
        SpecError: no records, a wrong query, too much to embed, or a file that cannot be written or is
            another's.
    """
    if is_folder(folder):  # else `load` says so
        check_target(file)
    study = load(folder, query.study)
    choice, why = choice_of(study, query)
    media = Media(beside=file.parent, embed=embed)
    data = page_data(study, choice, runs_of(study, folder), media)
    data["grid"] = {"row": grid.rows, "column": grid.columns, "fixed": dict(grid.fixed)} if grid else {}
    html = render(study, choice, why, data)
    try:
        write_whole(file, html)
    except OSError as error:
        reason = f"{str(file)!r}: {reason_of(error)}"
        raise SpecError(
            f"FILE must be writable, got {reason}; nearest: --out {file.name}, in this folder"
        ) from None
    remarks = [] if find_spec(PLOTTED) else ["no plots without plotly: pip install 'cogexp[report]'"]
    return [*remarks, *media.unreadable]


def choice_of(study: Study, query: Query) -> tuple[Choice | None, str]:
    """The decision; runs without a metric to choose by are still worth a page, unless one was asked for."""
    try:
        return pick(study, query), ""
    except SpecError as error:
        if query != Query():
            raise
        return None, f"No decision: {error}"


def render(study: Study, choice: Choice | None, why: str, data: dict[str, Any]) -> str:
    """The page's HTML."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(loader=FileSystemLoader(PAGE), autoescape=True, undefined=StrictUndefined)
    environment.policies["json.dumps_kwargs"] = {"sort_keys": False}  # stages and scores stay in their order
    plotly = _plotly()
    scripts = [*SCRIPTS, *([PLOTS] if plotly else [])]
    nonce = new_nonce()
    return environment.get_template("page.html").render(
        nonce=nonce,
        policy=content_policy(nonce),
        title=_title(study),
        verdict=choice.sentence if choice else why,
        summary=_summary(study, choice, data),
        choice={
            "decisive": choice.decisive,
            "excluded": [{"label": label(item.axes), "reason": item.reason} for item in choice.excluded],
        }
        if choice
        else None,
        notes=list(choice.notes) if choice else [],
        data=data,
        # Our own files and plotly's, not text from records: these alone are not escaped.
        style=Markup((PAGE / "page.css").read_text(encoding="utf-8")),
        scripts=[Markup((PAGE / name).read_text(encoding="utf-8")) for name in scripts],
        plotly=Markup(plotly) if plotly else None,
    )


def _title(study: Study) -> str:
    names = sorted({row.study for row in study.rows if row.study})
    return f"cogexp: {', '.join(names)}" if names else "cogexp: which setting?"


def _summary(study: Study, choice: Choice | None, data: dict[str, Any]) -> list[str]:
    """Short facts under the decision: how many runs, of what, at what cost, chosen how, and when."""
    runs, settings = data["runs"], len(study.settings())
    prompts = len({(row.prompt, row.text) for row in study.rows})
    facts = [
        _count(len(runs), "run"),
        _count(settings, "setting"),
        _count(prompts, "prompt"),
        _count(len({row.seed for row in study.rows}), "seed"),
    ]
    if unfinished := sum(run["status"] != "ok" for run in runs):
        facts.append(f"{unfinished} failed or not finished")
    costs = data["costs"]
    saved = f", {_time(costs['reused'])} saved by reuse" if costs["reused"] >= 1 else ""
    facts.append(f"{_time(costs['spent'])} spent{saved}")
    if choice:
        facts.append(f"{'maximize' if choice.query.maximize else 'minimize'} {choice.objective}")
        facts += [f"{key} {value}" for key, value in choice.query.constraints().items() if value is not None]
    return [*facts, time.strftime("%Y-%m-%d %H:%M")]


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def _time(seconds: float) -> str:
    """'45 s', '12 min', '3.4 h'."""
    if seconds < 120:
        return f"{digits(seconds)} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _plotly() -> str | None:
    if find_spec(PLOTTED) is None:
        return None
    from plotly.offline import get_plotlyjs

    script: str = get_plotlyjs()
    return script.replace("</script", "<\\/script")
