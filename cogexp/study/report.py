"""One HTML file from many records: the decision, tables, videos in step, plots. Opens from disk, no network.

Scripts and styles are inlined; the clips stay where they are and are linked relative to the file, so that
500 runs open at once. Prompts and errors reach the page as JSON and text nodes only, never as markup.
"""

from __future__ import annotations

import os
import shlex
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote

from cogexp import record as records
from cogexp.record import Record
from cogexp.spec import SpecError
from cogexp.study.pick import Choice, Query, pick
from cogexp.study.rows import Row
from cogexp.study.table import Study, load
from cogexp.study.words import columns, label, to_json

PAGE = Path(__file__).parent / "page"
SCRIPTS = ("table.js", "grid.js")
PLOTS = "plots.js"
DIGITS = 5


def write_report(folder: Path, file: Path, query: Query) -> list[str]:
    """Write the report of the runs in `folder` to `file`, atomically; what a reader should be told.

    Raises:
        SpecError: no records, a wrong query, or a file that cannot be written.
    """
    study = load(folder)
    choice, why = _choice(study, query)
    remarks = [] if find_spec("plotly") else ["no plots without plotly: pip install 'cogexp[report]'"]
    html = render(study, choice, why, _runs(study, folder, file.parent))
    staged = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        staged.write_text(html, encoding="utf-8")
        staged.replace(file)
    except OSError as error:
        raise SpecError(f"FILE must be writable, got {str(file)!r}: {error.strerror or error}") from None
    return remarks


def _choice(study: Study, query: Query) -> tuple[Choice | None, str]:
    """The decision; runs without a metric to choose by are still worth a page, unless one was asked for."""
    try:
        return pick(study, query), ""
    except SpecError as error:
        if query != Query():
            raise
        return None, f"No decision: {error}"


def render(study: Study, choice: Choice | None, why: str, runs: list[dict[str, Any]]) -> str:
    """The page's HTML."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(loader=FileSystemLoader(PAGE), autoescape=True, undefined=StrictUndefined)
    plotly = _plotly()
    scripts = [*SCRIPTS, *([PLOTS] if plotly else [])]
    failed = sum(run["status"] != "ok" for run in runs)
    settings = len(study.settings())
    return environment.get_template("page.html").render(
        title=_title(study),
        verdict=choice.sentence if choice else why,
        summary=f"{len(runs)} runs of {settings} settings, {failed} of them not finished",
        choice={
            "decisive": choice.decisive,
            "excluded": [{"label": label(item.axes), "reason": item.reason} for item in choice.excluded],
        }
        if choice
        else None,
        notes=list(choice.notes) if choice else [],
        data=_data(study, choice, runs),
        # Our own files and plotly's, not text from records: these alone are not escaped.
        style=Markup((PAGE / "page.css").read_text(encoding="utf-8")),
        scripts=[Markup((PAGE / name).read_text(encoding="utf-8")) for name in scripts],
        plotly=Markup(plotly) if plotly else None,
    )


def _title(study: Study) -> str:
    names = sorted({row.study for row in study.rows if row.study})
    return f"cogexp: {', '.join(names)}" if names else "cogexp: which setting?"


def _plotly() -> str | None:
    if find_spec("plotly") is None:
        return None
    from plotly.offline import get_plotlyjs

    script: str = get_plotlyjs()
    return script.replace("</script", "<\\/script")


def _data(study: Study, choice: Choice | None, runs: list[dict[str, Any]]) -> dict[str, Any]:
    stages = dict.fromkeys(stage for run in runs for stage in run["stages"])
    found: dict[str, Any] = {
        "axes": list(study.varying),
        "stages": list(stages),
        "runs": runs,
        "choice": None,
    }
    if choice and choice.table:
        rows = to_json(choice)["table"]
        for index, row in enumerate(rows):
            row["mark"] = (
                ("best" if choice.decisive else "leads") if index == 0 else "tied" if row["tied"] else ""
            )
        bare = choice.objective.partition("/")[2] or choice.objective
        found["choice"] = {
            "table": rows, "objective": choice.objective, "bare": bare, "metrics": columns(choice),
        }  # fmt: skip
    return found


def _runs(study: Study, folder: Path, beside: Path) -> list[dict[str, Any]]:
    found = []
    for row in study.rows:
        home = next((p for p in (folder / "runs" / row.run_id, folder / row.run_id) if p.is_dir()), folder)
        try:
            record = records.read(home)
        except records.RecordError:
            continue
        found.append(_run(row, record, home, beside, study.varying))
    return found


def _run(row: Row, record: Record, home: Path, beside: Path, varying: tuple[str, ...]) -> dict[str, Any]:
    def link(name: str) -> str | None:
        file = record.files.get(name)
        if file is None or not (home / file).is_file():
            return None
        return quote(Path(os.path.relpath(home / file, beside)).as_posix())

    artifacts = row.artifacts.get(row.delivered) or row.artifacts.get("native") or {}
    kind = f" {artifacts['kind']}" if artifacts.get("kind") else ""
    rows = f", rows {artifacts['rows'][0]}-{artifacts['rows'][1]}" if artifacts.get("rows") else ""
    return {
        "id": row.run_id,
        "axes": {name: row.axes.get(name) for name in varying},
        "prompt": row.prompt,
        "text": row.text,
        "seed": row.seed,
        "status": row.status,
        "error": row.error,
        "scores": row.scores,
        "seconds": row.costs.get("seconds"),
        "stages": {k.partition(".")[2]: v for k, v in row.costs.items() if k.startswith("seconds.")},
        "peak": row.costs.get("peak_allocated_gib"),
        "found": f"{artifacts['level']}{kind}{rows}" if artifacts.get("level") else None,
        "native": link("native"),
        "upscaled": link("upscaled"),
        "tear": link("tear"),
        "per_frame": {name: _rounded(curve) for name, curve in record.per_frame.items()},
        "command": f"python -m cogexp --config-path {shlex.quote(home.as_posix())}",
    }


def _rounded(curve: list[float | None]) -> list[float | None]:
    return [None if value is None else float(f"{value:.{DIGITS}g}") for value in curve]
