"""The table of versions: what counts as working, refused or a fault, and the process that runs commands."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from tools.campaigns.harness import Outcome
from tools.versions.commands import CHECKS, Worker, expanded, judged
from tools.versions.table import BEGIN, END, Result, table, write_page

REFUSED = "exact=true needs torch >= 2.10, installed is 2.6.0"


@pytest.mark.parametrize(
    ("code", "stderr", "expected"),
    [
        (0, "", "works"),
        (0, "a warning", "works"),
        (2, f"cogexp: {REFUSED}\n", f"refused: {REFUSED}"),
        (2, "cogexp: resolution.width must be divisible by 16\n", "FAULT: exit code 2"),
        (2, f"one\ntwo\ncogexp: {REFUSED}\n", "FAULT: exit code 2"),
        (1, "a run failed\n", "FAULT: exit code 1: a run failed"),
        (0, "Traceback (most recent call last):\nValueError: x\n", "FAULT: traceback: ValueError: x"),
        (None, "", "FAULT: hang: no output"),
        (-11, "", "FAULT: killed by signal 11: no output"),
    ],
)
def test_what_came_of_a_command(code: int | None, stderr: str, expected: str) -> None:
    assert judged(Outcome(code=code, stdout="", stderr=stderr, seconds=1.0)).startswith(expected)


def test_a_worker_runs_command_after_command(tmp_path: Path) -> None:
    with Worker(sys.executable, tmp_path) as worker:
        good = worker.run("version", ["--version"], 120)
        wrong = worker.run("a wrong size", ["resolution=500x288"], 120)
    assert (good.code, good.stderr) == (0, "")
    assert good.stdout.startswith("cogexp ")
    assert wrong.code == 2
    assert wrong.stderr.startswith("cogexp: resolution.width must be divisible by 16")


@pytest.mark.skipif(os.name == "nt", reason="signals and select on pipes")
def test_a_worker_that_dies_or_hangs_is_a_fault_and_the_next_command_has_another(tmp_path: Path) -> None:
    dies = "import os, signal; input(); os.kill(os.getpid(), signal.SIGKILL)"
    with Worker(sys.executable, tmp_path, ("-c", dies)) as worker:
        for _ in range(2):
            assert worker.run("dies", [], 120).code == -signal.SIGKILL
    with Worker(sys.executable, tmp_path, ("-c", "import time; time.sleep(600)")) as worker:
        assert worker.run("hangs", [], 0.1).code is None


def test_a_star_stands_for_files(tmp_path: Path) -> None:
    for name in ("b.mp4", "a.mp4"):
        (tmp_path / name).touch()
    assert list(expanded(["measure", "*.mp4", "--json"], tmp_path)) == [
        "measure",
        str(tmp_path / "a.mp4"),
        str(tmp_path / "b.mp4"),
        "--json",
    ]


def test_the_table_has_environments_as_columns_and_numbers_what_was_refused(tmp_path: Path) -> None:
    first, second = list(CHECKS)[:2]
    results = [
        Result(
            python="3.10",
            resolution="lowest-direct",
            versions={"python": "3.10.13", "torch": "2.6.0"},
            outcomes={first: "works", second: f"refused: {REFUSED}"},
        ),
        Result(python="3.13", resolution="highest", outcomes={first: "works"}, tests="FAULT: 1 failed"),
    ]
    text = table(results)
    lines = text.splitlines()
    assert lines[0] == "| | 3.10, lowest | 3.13, newest |"
    assert f"| {first} | works | works |" in lines
    assert f"| {second} | refused (1) | - |" in lines
    assert f"1. `{REFUSED}`" in lines
    assert "| torch | 2.6.0 | - |" in lines
    assert [result.faults for result in results] == [[], ["tests"]]
    page = tmp_path / "page.md"
    page.write_text(f"# Title\n\n{BEGIN}\nold\n{END}\n\nAfter.\n")
    write_page(page, text)
    written = page.read_text()
    assert "old" not in written
    assert text in written
    assert written.startswith("# Title")
    assert written.endswith("After.\n")
    page.write_text("# Title")
    with pytest.raises(ValueError, match="must have the lines"):
        write_page(page, text)
