"""A ready study from start to decision: forecast, runs in order, pick, report; killed, it goes on."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cogexp.__main__ import main
from tests.e2e.conftest import Bench

TINY = [
    "sweep=quick",
    "device=cpu",
    "resolution=64x64,80x64",
    "sampler.steps=2",
    "metrics=fast",
    "tracking=off",
]


def test_quick_ends_with_a_decision_and_a_report(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    words = [*TINY, "metrics=fast", f"outputs={bench.outputs}", "seed=0"]
    assert main(words) == 0
    shown = capsys.readouterr()
    assert "study quick: 8 runs to do, 0 done before" in shown.out
    assert "in tear" in shown.out, "the decision's sentence"
    assert (bench.outputs / "reports" / "quick.html").is_file()
    made = bench.records()
    assert len(made) == 8
    assert sum(not record.stages["denoise"]["cached"] for record in made) == 4
    encoded = sum(not record.stages["encode"]["cached"] for record in made)
    assert 2 <= encoded <= 4, "once a prompt, or by each of the two processes"
    by_end = sorted(made, key=lambda record: record.finished)
    prompts = [record.spec["prompt"]["name"] for record in by_end]
    assert prompts == sorted(prompts), "a prompt's runs stand together"
    assert main(words) == 0
    again = capsys.readouterr().out
    assert "0 runs to do, 8 done before" in again
    assert "in tear" in again
    assert main([*words, "upscaler=none,bicubic", "study=other", "--plan"]) == 0
    ahead = capsys.readouterr().out
    assert "study other: 4 runs to do, 4 done before" in ahead
    assert "finished runs on this device" in ahead
    assert main(["pick", str(bench.outputs), "study=quick", "minimize=tear", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["prompts"] == 2


@pytest.mark.slow
def test_quick_killed_three_times_redoes_at_most_one_run_each_time(tmp_path: Path) -> None:
    """SIGKILL at random moments: what has a record or latents is never made again; nothing else is lost."""
    command = [sys.executable, "-m", "cogexp", *TINY, "metrics=none", f"outputs={tmp_path}"]
    draw, finished, latents = random.Random(0), {}, {}
    for _ in range(3):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        goal = len(finished) + draw.randint(1, 5)
        deadline = time.monotonic() + 1800
        while len(written(tmp_path)) < goal and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        time.sleep(draw.uniform(0, 1.5))
        process.kill()
        assert process.wait() == -9, "it was at work when it was killed"
        now = written(tmp_path)
        assert {run: now[run] for run in finished} == finished, "no finished run was touched"
        finished = now
        made = denoised(tmp_path)
        assert {clip: made[clip] for clip in latents} == latents, "no clip was denoised again"
        latents = made
    begun = {path.name for path in tmp_path.glob("runs/*")}
    assert len(begun - finished.keys()) <= 3, "at most the run under way was lost each time"
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800)
    assert done.returncode == 0, done.stderr
    assert f"{24 - len(finished)} runs to do, {len(finished)} done before" in done.stdout
    now = written(tmp_path)
    assert {run: now[run] for run in finished} == finished
    assert len(now) == 24
    made = denoised(tmp_path)
    assert {clip: made[clip] for clip in latents} == latents
    assert len(made) == 12
    assert (tmp_path / "reports" / "quick.html").is_file()


def written(outputs: Path) -> dict[str, int]:
    """run id -> when its record was written."""
    return {path.parent.name: path.stat().st_mtime_ns for path in outputs.glob("runs/*/record.json")}


def denoised(outputs: Path) -> dict[str, int]:
    """Stored latents -> the file itself: made again, it would be another one."""
    return {path.name: path.stat().st_ino for path in outputs.glob("store/denoise/*.safetensors")}


@pytest.mark.slow
def test_a_study_on_two_ray_workers(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    words = ["hydra/launcher=ray", "hydra.launcher.workers=2", "metrics=fast"]
    words += ["seed=0", f"outputs={tmp_path}"]
    known = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "cogexp", *TINY, *words],
        capture_output=True,
        text=True,
        env=known,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    made = [json.loads(path.read_text("utf-8")) for path in tmp_path.glob("runs/*/record.json")]
    assert [record["status"] for record in made] == ["ok"] * 8
    assert sum(not record["stages"]["denoise"]["cached"] for record in made) == 4, (
        "no latents were made twice"
    )
    assert "in tear" in done.stdout
