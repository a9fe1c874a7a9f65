"""The study in W&B: panels refer to what runs log, the JSON is W&B's own, saving says what it did."""

from __future__ import annotations

import dataclasses
import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cogexp.__main__ import main
from cogexp.record import Record, write
from cogexp.tracking import dashboard, dashboard_json, make_tracker, payload
from cogexp.tracking.logged import TABLE_KEY, logged_by
from cogexp.tracking.study_table import MOST_CLIPS, table_of
from tests.study.gallery import make_study
from tests.test_tracking import environment, example_record, example_spec, history, inspect

pytest.importorskip("wandb_workspaces")

ANSWER = dashboard.Answer(title="cogexp sizes", sentence="It is decided.", markdown="**It is decided.**")


def example(folder: Path, seed: int, width: int) -> Record:
    """The tracking tests' record at another size, with all that a GPU run has."""
    record = example_record(folder, seed=seed)
    resolution = {**record.spec["resolution"], "width": width}
    record = dataclasses.replace(
        record,
        run_id=f"run-{width}-{seed}",
        spec={**record.spec, "resolution": resolution},
        scores={**record.scores, "upscaled/tear": 1.0, "native/tear": 2.0},
        per_frame={**record.per_frame, "native/tear": [0.0, 2.0]},
    )
    write(record, folder)
    return record


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """Two runs and a study's table, tracked offline by W&B itself, and the keys that are in its files."""
    folder, patch = tmp_path_factory.mktemp("board"), pytest.MonkeyPatch()
    for name in ("DATA", "CACHE"):
        patch.delenv(f"WANDB_{name}_DIR", raising=False)
    patch.setenv("WANDB_ERROR_REPORTING", "false")
    said: list[str] = []
    tracker = make_tracker("offline", project="cogexp", entity=None, folder=folder / "out", say=said.append)
    found = [(example(folder / str(w), s, w), folder / str(w)) for s, w in enumerate((512, 256))]
    keys: set[str] = set()
    for record, home in found:
        tracker.start(record.run_id, record.spec, study="sizes", name=record.run_id, tags=[])
        tracked = tracker.finish(record, home)
        assert tracked.folder is not None
        (run,) = inspect(tracked.folder, "--summary")
        keys |= {f"config:{key}" for key in run["config"]}
        for key, value in run["summary"].items():
            keys.add(f"media:{key}" if isinstance(value, dict) and "_type" in value else f"summary:{key}")
        keys |= {f"history:{key}" for row in history(tracked.folder) for key in row}
    table = tracker.study(table_of("sizes", found))
    yield {"keys": keys, "found": found, "table": table, "said": said}
    import wandb

    wandb.teardown()
    for name in ("DATA", "CACHE"):
        os.environ.pop(f"WANDB_{name}_DIR", None)
    patch.undo()


def texts(found: list[tuple[Record, Path]]) -> tuple[str, str]:
    """(workspace, report) as JSON."""
    keys = logged_by(record for record, _ in found)
    board = dashboard.workspace(keys, ANSWER, entity="me", project="cogexp", study="sizes")
    report = dashboard.report(keys, ANSWER, entity="me", project="cogexp", study="sizes", online=False)
    return dashboard_json.workspace_json(board), dashboard_json.report_json(report)


def test_panels_refer_to_keys_that_runs_log(logged: dict[str, Any]) -> None:
    for text in texts(logged["found"]):
        used = dashboard_json.keys_in(text)
        assert used <= logged["keys"], used - logged["keys"]
        assert {
            "config:width", "config:resolution", "summary:delivered/clip_score", "summary:delivered/tear",
            "summary:cost/seconds", "summary:cost/peak_allocated_gib",
            "media:video/native", "media:video/upscaled",
        } <= used  # fmt: skip
    assert {"history:frame", "history:per_frame/native/tear"} <= dashboard_json.keys_in(
        texts(logged["found"])[0]
    )


def test_every_kind_of_panel_is_there_and_runs_are_grouped_by_resolution(logged: dict[str, Any]) -> None:
    section = json.loads(texts(logged["found"])[0])["spec"]["section"]
    panels = [panel for part in section["panelBankConfig"]["sections"] for panel in part["panels"]]
    kinds = [panel["viewType"] for panel in panels]
    assert kinds.count("Scatter Plot") == 4
    assert {"Parallel Coordinates Plot", "Media Browser", "Run Comparer", "Markdown Panel", "Weave"} <= set(
        kinds
    )
    clips = next(panel["config"] for panel in panels if panel["viewType"] == "Media Browser")
    assert clips["mediaKeys"] == ["video/native", "video/upscaled"], "side by side"
    assert clips["columnCount"] == 2
    runs = section["runSets"][0]
    assert runs["grouping"] == [{"section": "config", "name": "resolution.value"}]
    assert [(item["key"]["name"], item["value"]) for item in runs["filters"]["filters"]] == [
        ("group", "sizes")
    ]


def test_the_report_says_the_decision_first(logged: dict[str, Any]) -> None:
    blocks = json.loads(texts(logged["found"])[1])["spec"]["blocks"]
    words = json.dumps(blocks[:3])
    assert "It is decided." in words
    assert sum(block["type"] == "panel-grid" for block in blocks) == 3


def test_what_was_not_measured_has_no_panel(tmp_path: Path) -> None:
    bare = dataclasses.replace(
        example_record(tmp_path), scores={}, artifacts={}, files={}, per_frame={}, skipped={}, stages={}
    )
    for text in texts([(bare, tmp_path)]):
        assert dashboard_json.keys_in(text) == {"config:resolution"}
        assert "Scatter Plot" not in text


def test_a_study_has_one_table_with_its_clips(logged: dict[str, Any]) -> None:
    tracked = logged["table"]
    assert (tracked.mode, tracked.problem) == ("offline", None)
    (run,) = inspect(tracked.folder, "--summary")
    opened = next(entry["run"] for entry in inspect(tracked.folder) if entry["type"] == "run")
    assert (opened["run_group"], opened["job_type"]) == ("sizes", "study")
    shown = run["summary"][TABLE_KEY]
    assert (shown["_type"], shown["nrows"]) == ("table-file", 2)
    table = json.loads((tracked.folder / "files" / shown["path"]).read_text("utf-8"))
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]
    assert [(row["width"], row["upscaler"], row["delivered/clip_score"]) for row in rows] == [
        (512, "esrgan", 27.5), (256, "esrgan", 27.5)
    ]  # fmt: skip
    assert all(row["native"] is not None and row["upscaled"] is not None for row in rows)
    assert TABLE_KEY in texts(logged["found"])[0]


def test_the_tables_columns_and_its_most_clips(tmp_path: Path) -> None:
    one = example_record(tmp_path)
    many = [(dataclasses.replace(one, run_id=f"r{i}"), tmp_path) for i in range(70)]
    many[3] = (dataclasses.replace(one, run_id="r3", spec=example_spec(5).to_dict()), tmp_path)
    table = table_of("a b/ü", many)
    assert table.run_id.startswith("study-a-b---")
    assert table.clips == MOST_CLIPS
    assert table.rows[3][-1] is None, "a further seed comes after the first of all others"
    assert table.rows[0][-2] == tmp_path / "native.mp4"
    assert "steps" not in table.columns, "what is the same in all runs is no column"
    assert table_of("a b/ü", many[:-1]).run_id != table.run_id


def test_directions_are_those_of_the_metrics() -> None:
    from cogexp.metrics import METRICS

    known = {name: METRICS[name].higher_is_better for name in payload.HIGHER_IS_BETTER}
    assert known == payload.HIGHER_IS_BETTER


def test_a_dry_run_needs_no_login_and_no_network(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_study(tmp_path / "out", prompts=1, seeds=1, scenes=1)
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("a dry run must not reach out"))
    assert main(["dashboard", str(tmp_path / "out"), "--dry-run", "entity=team"]) == 0
    files = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert [file.name for file in files] == ["wandb-workspace.json", "wandb-report.json"]
    assert json.loads(files[0].read_text(encoding="utf-8"))["entity"] == "team"


def test_without_a_login_it_is_one_line(tmp_path: Path) -> None:
    make_study(tmp_path / "out", prompts=1, seeds=1, scenes=1)
    for more, named in (
        ({}, "no key found; `wandb login`"),
        ({"WANDB_MODE": "offline"}, "WANDB_MODE=offline"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "cogexp", "dashboard", str(tmp_path / "out")],
            env=environment(tmp_path / "home", **more), stdin=subprocess.DEVNULL, capture_output=True,
            text=True,
        )  # fmt: skip
        assert done.returncode == 2
        assert done.stdout == ""
        assert len(done.stderr.strip().splitlines()) == 1
        assert named in done.stderr
        assert "--dry-run" in done.stderr


VIEW_ID = "VmlldzE="  # as W&B gives them: base64 of View1


class Server(http.server.BaseHTTPRequestHandler):
    """As much of W&B as saving a view takes; it opens no runs. `views` are what was sent."""

    views: list[dict[str, Any]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        query = json.loads(body) if self.path == "/graphql" else {"query": ""}
        answer = self.answer(query["query"], query.get("variables") or {})
        text = json.dumps({"data": answer}).encode()
        self.send_response(400 if answer is None else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST

    def answer(self, query: str, variables: dict[str, Any]) -> dict[str, Any] | None:
        when = "2026-01-01T00:00:00Z"
        project = {"id": "p", "name": "cogexp", "entityName": "me"}
        if "UpsertBucket" in query:
            return None
        if "upsertView" in query:
            self.views.append(variables)
            view = {key: variables.get(key) for key in ("name", "displayName", "description", "type", "spec")}
            view |= {"id": VIEW_ID, "project": project, "createdAt": when, "updatedAt": when, "user": None}
            return {"upsertView": {"view": view, "inserted": True}}
        saved = {view.get("type"): view for view in self.views}
        if "allViews" in query:
            view = saved["project-view"] | {"id": VIEW_ID}
            return {"project": {"allViews": {"edges": [{"node": view}]}}}
        if "SpecificReport" in query:
            return {"view": saved["runs"] | {"id": VIEW_ID, "project": project}}
        if "internalId" in query:
            return {"project": {"id": "p", "internalId": "7"}}
        if "models(" in query:
            node = {**project, "createdAt": when, "isBenchmark": False, "user": None}
            pages = {"endCursor": "c", "hasNextPage": False}
            return {"models": {"edges": [{"node": node, "cursor": "c"}], "pageInfo": pages}}
        user = {"id": "u", "entity": "me", "username": "me", "email": "me@example.org", "flags": "{}"}
        return {"viewer": {**user, "admin": False, "teams": {"edges": []}}}

    def log_message(self, *args: Any) -> None:
        """Silence."""


def test_with_a_login_it_is_saved_and_the_addresses_are_told(tmp_path: Path) -> None:
    """W&B's own client to a server on loopback; the table goes offline, since that opens no runs."""
    make_study(tmp_path / "out", prompts=1, seeds=1, scenes=1)
    handler = type("Recording", (Server,), {"views": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    try:
        done, again = (
            subprocess.run(
                [sys.executable, "-m", "cogexp", "dashboard", str(tmp_path / "out")],
                env=environment(tmp_path / "home", WANDB_BASE_URL=url, WANDB_API_KEY="0" * 40),
                stdin=subprocess.DEVNULL, capture_output=True, text=True,
            )
            for _ in range(2)
        )  # fmt: skip
    finally:
        server.shutdown()
    assert done.returncode == 0, done.stderr
    told = [line.split(": ", 1) for line in done.stdout.splitlines()]
    assert [name for name, _ in told] == ["workspace", "report"]
    assert all(address.startswith(f"{url}/me/cogexp") for _, address in told)
    assert "W&B: offline, the server did not open the run" in done.stderr
    board, report, *second = handler.views
    assert again.stdout == done.stdout, "the same addresses: nothing was made a second time"
    assert [view["id"] for view in second] == [VIEW_ID, VIEW_ID]
    assert second[0]["name"] == board["name"]
    assert (board["entityName"], board["projectName"], board["displayName"]) == (
        "me",
        "cogexp",
        "cogexp all runs",
    )
    assert "config:width.value" in board["spec"]
    assert report["type"] == "runs"
    assert "clip_score" in report["spec"]
    assert list((tmp_path / "out" / "wandb").glob("offline-run-*-study-all-*"))
