"""What leaves: the copy of a record in W&B, pages, tables. No secret, no file of a stranger, no formula."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cogexp import record as records
from cogexp.cli.export import command as export
from cogexp.study.query import Query
from cogexp.study.report import write_report
from cogexp.tracking import wandb_log
from cogexp.tracking.wandb_tracker import redacted_arguments
from tests.study.records import make_record

SECRET = "a-value-nobody-may-see"
STRANGER = b"bytes of another folder's file"


class Run:
    """As much of a W&B run as a record is given to."""

    def __init__(self, folder: Path) -> None:
        self.dir, self.tags = str(folder), ()
        self.saved: list[str] = []
        self.logged: list[dict[str, Any]] = []
        self.config = self.summary = SimpleNamespace(update=lambda *a, **k: None)

    def define_metric(self, *names: Any, **options: Any) -> None: ...

    def log(self, row: dict[str, Any]) -> None:
        self.logged.append(row)

    def save(self, file: str, **options: Any) -> None:
        self.saved.append(file)

    def finish(self, **options: Any) -> None: ...


def a_run(folder: Path, text: str) -> records.Record:
    plain = make_record().to_dict()
    plain["spec"]["prompt"]["text"] = text
    plain["files"] = {"native": "native.mp4"}
    record = records.Record.from_dict(plain)
    records.write(record, folder)
    return record


def test_the_copy_for_wandb_holds_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEPLOY_SECRET", SECRET)
    home, there = tmp_path / "run", tmp_path / "wandb"
    there.mkdir()
    record = a_run(home, f"wolves {SECRET} and DB_PASSWORD=hunter22")
    (tmp_path / "other.mp4").write_bytes(STRANGER)
    (home / "native.mp4").symlink_to(tmp_path / "other.mp4")
    run = Run(there)
    problems = wandb_log.log_all(run, record, home)
    copy = (there / "record.json").read_text(encoding="utf-8")
    assert run.saved == [str(there / "record.json")]
    assert SECRET not in copy
    assert "hunter22" not in copy
    assert json.loads(copy)["run_id"] == record.run_id
    assert problems == ["native.mp4 is not shown (it is no file of the run's folder)"]
    assert not any("video/native" in row for row in run.logged)


def test_the_words_that_wandb_copies_hold_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["cogexp", "prompt.text=wolves", "DB_PASSWORD=hunter22"]
    monkeypatch.setattr(sys, "argv", list(words))
    with redacted_arguments():
        assert sys.argv == ["cogexp", "prompt.text=wolves", "DB_PASSWORD=***"]
    assert sys.argv == words


def test_a_page_runs_only_its_own_scripts_and_holds_only_its_runs(tmp_path: Path) -> None:
    record = make_record()
    home = tmp_path / "runs" / record.run_id
    a_run(home, "</script><script>alert(1)</script>")
    (tmp_path / "theirs").write_bytes(STRANGER)
    for name in ("native.mp4", "poster.jpg", "config.yaml", "log.txt"):
        (home / name).symlink_to(tmp_path / "theirs")
    page = tmp_path / "page.html"
    write_report(tmp_path, page, Query(), embed=True)
    html = page.read_text(encoding="utf-8")
    policy = html.partition('Content-Security-Policy" content="')[2].partition('"')[0]
    assert "default-src &#39;none&#39;" in policy
    assert "unsafe-inline" not in policy.partition("script-src")[2].partition(";")[0]
    nonce = policy.partition("nonce-")[2].partition("&#39;")[0]
    assert len(nonce) >= 20
    own = html.count(f'<script nonce="{nonce}">')
    assert own >= 5
    assert "<script>alert" not in html
    assert STRANGER.decode() not in html
    assert '"held": {}' in html


def test_a_table_for_a_spreadsheet_holds_no_formula(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("pandas.DataFrame.map", raising=False)  # pandas 2.0 has none
    record = make_record()
    a_run(tmp_path / "runs" / record.run_id, "=HYPERLINK(1)")
    assert export([str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "'=HYPERLINK(1)" in out
    assert ",=HYPERLINK" not in out
