"""The end of a study: its decision in the terminal and its report beside the runs."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from cogexp.cli.pick import show
from cogexp.spec import SpecError
from cogexp.study import load, manifest, pick
from cogexp.study.query import Query, read_query
from cogexp.terminal import Progress


def check(words: Sequence[str]) -> None:
    """Raise SpecError when the words of a study's decision are wrong: before it runs, not after."""
    read_query(words)


def conclude(outputs: Path, study: str, progress: Progress) -> None:
    """Print what the study's runs decide and write its report; what stands in the way is said in a line."""
    listed = manifest.read(outputs, study)
    query = read_query([f"study={study}", *(listed.pick if listed else ())])
    try:
        show(pick(load(outputs, query.study), query))
    except SpecError as error:
        progress.say(f"no decision: {error}")
        query = Query(study=study)  # the runs are worth a page all the same
    if find_spec("jinja2") is None:
        progress.say("no report without jinja2: pip install 'cogexp[report]'")
        return
    from cogexp.study.report import write_report  # brings the video codecs: not for a request that is refused

    file = outputs / "reports" / manifest.file_of(outputs, study).with_suffix(".html").name
    try:
        for remark in write_report(outputs, file, query):
            progress.say(remark)
    except (SpecError, OSError) as error:
        progress.say(f"no report: {error}")
        return
    print(f"\n{file}")
