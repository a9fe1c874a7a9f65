"""Sweeps: stages are shared, failures are data, a killed sweep goes on where it was."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cogexp.engine import generate
from tests.e2e.conftest import SMALL, Bench
from tests.waiting import PATIENCE, until


def test_six_jobs_denoise_twice(bench: Bench) -> None:
    words = ["resolution=64x64,80x64", "upscaler=none,lanczos,bicubic", "upscaler.scale=2"]
    assert bench.run("-m", *words) == 0
    records = bench.records()
    assert len(records) == 6
    denoised = [r for r in records if not r.stages["denoise"]["cached"]]
    assert {(r.spec["resolution"]["width"]) for r in denoised} == {64, 80}
    assert len(denoised) == 2
    encoded = [r for r in records if not r.stages["encode"]["cached"]]
    assert len(encoded) == 1


def test_a_sweep_gives_the_frames_of_single_runs(bench: Bench, tmp_path: Path) -> None:
    assert bench.run("-m", "seed=0,1") == 0
    single = Bench(tmp_path / "single")
    assert single.run("seed=1") == 0
    name = single.one().run_id
    files = [folder.outputs / "runs" / name / "native.mp4" for folder in (bench, single)]
    assert files[0].read_bytes() == files[1].read_bytes()


def fail_at_seed(monkeypatch: pytest.MonkeyPatch, seed: int, error: BaseException) -> None:
    original = generate.denoise

    def denoise(spec: Any, *arguments: Any) -> Any:
        if spec.seed == seed:
            raise error
        return original(spec, *arguments)

    monkeypatch.setattr(generate, "denoise", denoise)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"), "oom"),
        (MemoryError(), "oom"),
        (RuntimeError("something broke"), "failed"),
    ],
    ids=["gpu", "host", "other"],
)
def test_a_failed_job_is_recorded_and_the_others_go_on(
    bench: Bench,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
    status: str,
) -> None:
    fail_at_seed(monkeypatch, 1, error)
    assert bench.run("-m", "seed=0,1,2") == 1
    by_seed = {r.spec["seed"]: r for r in bench.records()}
    assert [by_seed[seed].status for seed in range(3)] == ["ok", status, "ok"]
    assert by_seed[1].error is not None
    assert by_seed[1].error["stage"] == "denoise"
    shown = capsys.readouterr()
    assert status in shown.out
    assert "Traceback" not in shown.out + shown.err
    monkeypatch.undo()
    monkeypatch.setattr(sys, "argv", ["cogexp"])
    assert bench.run("-m", "seed=0,1,2") == 0, "a second start redoes the failed job"


def test_an_interrupt_is_recorded_and_ends_the_sweep(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_at_seed(monkeypatch, 1, KeyboardInterrupt())
    assert bench.run("-m", "seed=0,1,2") == 130
    assert {r.spec["seed"]: r.status for r in bench.records()} == {0: "ok", 1: "interrupted"}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_latents_that_are_not_finite_are_a_failure(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    latents = torch.full((1, 3, 16, 8, 8), value)
    monkeypatch.setattr(generate, "denoise", lambda *a: latents)
    assert bench.run() == 1
    record = bench.one()
    assert (record.status, record.error and record.error["stage"]) == ("failed", "decode")
    assert "model.dtype" in str(record.error)


def test_a_black_clip_is_a_failure(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    black = np.zeros((9, 64, 64, 3), np.uint8)
    monkeypatch.setattr(generate, "decode", lambda *a: iter([black]))
    assert bench.run() == 1
    assert "black" in str(bench.one().error)
    assert bench.run() == 1, "and it is not kept as if it were a result"


def test_a_missing_checkpoint_names_the_remedy(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.run("model=cogvideox-2b", "resolution.frames=9", "tracking=offline") == 1
    record = bench.one()
    assert (record.status, record.error and record.error["type"]) == ("failed", "MissingCheckpoint")
    assert not (bench.outputs / "wandb").exists(), "no W&B run for a model that cannot load"
    assert record.error is not None
    assert record.error["stage"] == "load"
    assert "fetch model=cogvideox-2b" in record.error["message"]
    assert "Traceback" not in capsys.readouterr().err


def test_a_full_disk_is_told_and_counted(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    replace = os.replace

    def full(source: Any, target: Any) -> None:
        if str(target).endswith("record.json"):
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    assert bench.run() == 1
    assert "No space left on device" in capsys.readouterr().err
    monkeypatch.undo()
    assert not list(bench.outputs.glob("runs/*/record.json"))
    assert not list(bench.outputs.glob("runs/*/.*.tmp"))


def start(bench: Bench, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "cogexp", *SMALL, f"outputs={bench.outputs}", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(path: Path, pattern: str, count: int = 1) -> None:
    until(lambda: len(list(path.glob(pattern))) >= count, pattern)


def test_ctrl_c_once_records_and_leaves_cleanly(bench: Bench) -> None:
    process = start(bench, "sampler.steps=1000")
    wait_for(bench.outputs, "store/encode/*.safetensors")
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    record = bench.one()
    assert record.status == "interrupted"
    assert record.error is not None
    assert record.error["stage"] in ("load", "denoise")
    assert not list(bench.outputs.glob("runs/*/.*part"))


def test_a_killed_sweep_redoes_at_most_the_run_under_way(bench: Bench) -> None:
    process = start(bench, "-m", "seed=range(0,6)")
    wait_for(bench.outputs, "runs/*/record.json", 2)
    process.kill()
    process.wait()
    done = {path: path.stat().st_mtime_ns for path in bench.outputs.glob("runs/*/record.json")}
    assert len(done) >= 2
    second = start(bench, "-m", "seed=range(0,6)")
    _, err = second.communicate(timeout=PATIENCE)
    assert second.returncode == 0, err
    assert f"{len(done)} already done" in err
    for path, written in done.items():
        assert path.stat().st_mtime_ns == written
    assert len(list(bench.outputs.glob("runs/*/record.json"))) == 6
    for path in bench.outputs.glob("runs/*/record.json"):
        assert json.loads(path.read_text("utf-8"))["status"] == "ok"
