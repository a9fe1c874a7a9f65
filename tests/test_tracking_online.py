"""Online tracking against a W&B-compatible server on loopback; the server itself is asked what arrived.

Run with -m online. COGEXP_WANDB_TEST_SERVER is the server's address, COGEXP_WANDB_TEST_KEY a key it takes.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from cogexp.record import read
from cogexp.tracking import payload
from tests.test_tracking import environment, example_spec

SERVER = os.environ.get("COGEXP_WANDB_TEST_SERVER", "")
KEY = os.environ.get("COGEXP_WANDB_TEST_KEY", "")
pytestmark = [
    pytest.mark.online,
    pytest.mark.skipif(not SERVER, reason="COGEXP_WANDB_TEST_SERVER names no server"),
]

SCRIPT = """
import json, sys, time
from pathlib import Path
from tests.test_tracking import example_record, example_spec, start
from cogexp.tracking import make_tracker
folder, project, first = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
said, found = [], []
tracker = make_tracker("auto", project=project, entity=None, folder=folder / "out", say=said.append)
for seed, status in enumerate(("ok", "oom"), first):
    start(tracker, example_spec(seed))
    tracker.progress("denoise", 12.5)
    tracked = tracker.finish(example_record(folder / status, status, seed), folder / status)
    found.append([tracked.mode, tracked.url, tracked.problem])
print(json.dumps([said, found]))
"""
QUERY = """
query Run($project: String!, $entity: String!, $run: String!) {
  project(name: $project, entityName: $entity) {
    run(name: $run) {
      name displayName state tags config summaryMetrics
      files { edges { node { name sizeBytes } } }
    }
  }
}
"""


def ask(path: str, body: dict[str, Any] | None = None) -> bytes:
    """The server's answer, as the owner of the key."""
    login = base64.b64encode(f"api:{KEY}".encode()).decode()
    headers = {"Content-Type": "application/json", "Authorization": f"Basic {login}"}
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(SERVER + path, data, headers), timeout=10) as response:
        answer: bytes = response.read()
    return answer


def stored_run(url: str) -> dict[str, Any]:
    """What the server keeps of the run at `url` (<server>/<entity>/<project>/runs/<id>)."""
    entity, project, _, run = urlsplit(url).path.strip("/").split("/")
    answer = ask(
        "/graphql", {"query": QUERY, "variables": {"project": project, "entity": entity, "run": run}}
    )
    found: dict[str, Any] = json.loads(answer)["data"]["project"]["run"]
    return found


def stored_history(url: str) -> list[dict[str, Any]]:
    """The rows that the server was sent."""
    entity, project, _, run = urlsplit(url).path.strip("/").split("/")
    text = ask(f"/files/{entity}/{project}/{run}/wandb-history.jsonl").decode()
    return [json.loads(row) for row in text.splitlines() if row]


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Two runs logged by a process whose only knowledge of the server are two variables."""
    folder = tmp_path_factory.mktemp("online")
    known = environment(folder / "home", WANDB_BASE_URL=SERVER, WANDB_API_KEY=KEY)
    seed = time.time_ns()  # new run ids each time: some servers know a run by its id alone
    command = [sys.executable, "-c", SCRIPT, str(folder), "cogexp-test", str(seed)]
    run = subprocess.run(
        command, env=known, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    assert KEY not in run.stdout + run.stderr
    said, (ok, oom) = json.loads(run.stdout)
    return {"said": said, "ok": ok, "oom": oom, "folder": folder, "seed": seed}


def test_two_runs_of_one_process_go_online(logged: dict[str, Any]) -> None:
    for seed, name in enumerate(("ok", "oom"), logged["seed"]):
        mode, url, problem = logged[name]
        assert (mode, problem) == ("online", None)
        assert url.startswith(SERVER)
        assert url.endswith(f"/runs/{example_spec(seed).run_id}")
    assert logged["said"] == [f"W&B: {logged[name][1]}" for name in ("ok", "oom")]


def test_the_server_has_the_config_scores_and_curves(logged: dict[str, Any]) -> None:
    run, record = stored_run(logged["ok"][1]), read(logged["folder"] / "ok")
    assert (run["name"], run["state"]) == (record.run_id, "finished")
    config = {key: value["value"] for key, value in json.loads(run["config"]).items()}
    assert (config["resolution"], config["width"], config["upscaler"]) == ("512x288", 512, "esrgan")
    assert config["spec"] == record.spec
    summary = json.loads(run["summaryMetrics"])
    assert {key: summary[key] for key in payload.numbers(record)} == payload.numbers(record)
    assert summary["status"] == "ok"
    rows = [
        {key: value for key, value in row.items() if key[0] != "_"} for row in stored_history(logged["ok"][1])
    ]
    assert [row for row in rows if "frame" in row] == payload.curves(record)


def test_the_server_has_videos_pictures_and_the_record(logged: dict[str, Any]) -> None:
    ours = logged["folder"] / "ok"
    edges = stored_run(logged["ok"][1])["files"]["edges"]
    sizes = {edge["node"]["name"]: edge["node"]["sizeBytes"] for edge in edges}
    for prefix, file in (
        ("media/videos/video/native", "native.mp4"),
        ("media/videos/video/upscaled", "upscaled.mp4"),
        ("media/images/image/contact_sheet", "sheet.png"),
        ("media/images/image/tear", "tear.png"),
        ("record.json", "record.json"),
    ):
        found = [size for name, size in sizes.items() if name.startswith(prefix)]
        assert found == [(ours / file).stat().st_size], (prefix, sorted(sizes))


def test_a_failed_run_is_marked_on_the_server(logged: dict[str, Any]) -> None:
    run = stored_run(logged["oom"][1])
    assert run["tags"] == ["nano", "esrgan", "oom"]
    summary = json.loads(run["summaryMetrics"])
    assert (summary["status"], summary["error/stage"]) == ("oom", "decode")


def test_nothing_was_written_into_the_home(logged: dict[str, Any]) -> None:
    assert not Path(logged["folder"] / "home").exists()
