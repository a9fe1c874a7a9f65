"""`report --out`: what is no report of ours is not written over."""

from __future__ import annotations

from pathlib import Path

import pytest

from cogexp.spec import SpecError
from cogexp.study.query import Query
from cogexp.study.report import write_report
from cogexp.study.report_file import check_target
from tests.launch.jobs import finish, requests


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    (request,) = requests(tmp_path / "outputs", 1)
    finish(request)
    return tmp_path / "outputs"


def test_a_report_is_written_again_over_itself(outputs: Path) -> None:
    file = outputs / "r.html"
    for _ in range(2):
        write_report(outputs, file, Query())
    assert "</html>" in file.read_text()


@pytest.mark.parametrize(
    "content", ["<!doctype html><title>my page</title>", '{"run_id": "x"}', "\x00\x00\x00 ftypisom"]
)
def test_another_file_is_refused_and_kept(outputs: Path, content: str) -> None:
    file = outputs / "mine"
    file.write_text(content)
    with pytest.raises(SpecError, match=r"no report of cogexp; nearest: .*mine-report.html"):
        write_report(outputs, file, Query())
    assert file.read_text() == content


def test_a_folder_and_a_device_are_refused(outputs: Path) -> None:
    with pytest.raises(SpecError, match="no regular file"):
        check_target(outputs)
    with pytest.raises(SpecError, match="no regular file"):
        check_target(Path("/dev/null"))


def test_what_is_not_there_or_empty_is_written(outputs: Path) -> None:
    check_target(outputs / "new.html")
    (outputs / "empty.html").touch()
    check_target(outputs / "empty.html")


def test_a_report_of_an_earlier_version_is_one(tmp_path: Path) -> None:
    """The first lines of a page before it had the marker."""
    head = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<link rel="icon" href="data:,">\n<title>cogexp: quick</title>\n<style>'
    )
    (tmp_path / "old.html").write_text(head)
    check_target(tmp_path / "old.html")
