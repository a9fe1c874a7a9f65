"""Runs whose terminal, log, tracker or disk breaks, and stages that give no numbers."""

from __future__ import annotations

import errno
import io
import logging
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cogexp.engine import generate
from cogexp.spec import UpscalerSpec
from cogexp.storage import run_log
from cogexp.tracking import NullTracker
from cogexp.upscale import esrgan
from cogexp.upscale.errors import InvalidPixels
from tests.e2e.conftest import Bench

QUICK = ("metrics.names=none", "resolution.frames=9", "sampler.steps=1")


class Full(io.StringIO):
    """A stream on a full disk."""

    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class Dead(NullTracker):
    """Its process is gone, and its client says so by raising."""

    def start(self, *_: Any, **__: Any) -> None:
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))

    def progress(self, *_: Any) -> None:
        raise RuntimeError("no such run")

    def finish(self, *_: Any) -> Any:
        raise ConnectionError("the service process is not running")


def test_a_run_that_nobody_can_hear_of_is_made(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """No output, no error, no log and no tracker: the record has the run, and what could not be written."""

    def refuse(handler: logging.FileHandler) -> Any:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(sys, "stdout", Full())
    monkeypatch.setattr(sys, "stderr", Full())
    monkeypatch.setattr(run_log._CountingHandler, "_open", refuse)
    monkeypatch.setattr("cogexp.tracking.make_tracker", lambda *_, **__: Dead())
    assert bench.run(*QUICK) == 0
    record = bench.one()
    assert record.status == "ok"
    assert "could not be written" in record.resolved["stderr"]
    assert "could not be opened" in record.resolved["log.txt"]


def test_a_log_on_a_full_disk_counts_its_lines(tmp_path: Path) -> None:
    log = run_log.RunLog(tmp_path)
    log.open()
    assert log._handler is not None

    class FullToTheEnd(Full):
        def close(self) -> None:
            self.write("what it held")

    log._handler.stream.close()
    log._handler.stream = FullToTheEnd()  # type: ignore[assignment]
    raises = logging.raiseExceptions
    run_log.log.warning("a line")
    run_log.log.warning("another")
    log.close()
    assert logging.raiseExceptions == raises
    assert log.problem == "2 lines could not be written"


def test_a_record_that_is_not_there_is_not_named(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("cogexp.record.write", full)
    assert bench.run(*QUICK) == 1
    assert "not written: " in capsys.readouterr().out


def damaged(network: esrgan.Network, value: float) -> None:
    """Its output as an overflow leaves it: one pixel."""
    run = network.run

    def broken(picture: torch.Tensor) -> torch.Tensor:
        large = run(picture).clone()
        large[..., 3, 5] = value
        return large

    network.run = broken


def test_an_upscaler_without_numbers_is_a_failure_of_its_stage(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = esrgan.load

    def loaded(*words: Any) -> esrgan.Network:
        network = load(*words)
        damaged(network, float("nan"))
        return network

    monkeypatch.setattr(esrgan, "load", loaded)
    from cogexp import stages

    stages._upscaler.cache_clear()
    assert bench.run(*QUICK, "upscaler=esrgan") == 1
    stages._upscaler.cache_clear()
    record = bench.one()
    assert (record.status, record.error and record.error["stage"]) == ("failed", "upscale")
    assert "NaN or infinite" in str(record.error)
    assert not list(bench.folder(record).glob("*.mp4")), "half a clip is none"


def test_infinities_are_found_before_they_become_white(monkeypatch: pytest.MonkeyPatch) -> None:
    network = esrgan.load(UpscalerSpec(name="esrgan", scale=4), "cpu")
    frame = np.full((16, 16, 3), 99, np.uint8)
    network(frame)
    damaged(network, float("inf"))
    with pytest.raises(InvalidPixels, match="infinite"):
        network(frame)


def test_a_clip_that_the_upscaler_made_black_is_a_failure(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cogexp import stages

    def black(frames: np.ndarray) -> np.ndarray:
        return np.zeros((len(frames), 128, 128, 3), np.uint8)

    monkeypatch.setattr("cogexp.upscale.Upscaler.__call__", lambda _, frames: black(frames))
    stages._upscaler.cache_clear()
    assert bench.run(*QUICK, "upscaler=lanczos", "upscaler.scale=2") == 1
    stages._upscaler.cache_clear()
    record = bench.one()
    assert (record.status, record.error and record.error["stage"]) == ("failed", "upscale")
    assert "black" in str(record.error)


def test_a_text_encoder_without_numbers_is_a_failure_of_its_stage(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = generate._pipeline

    def pipeline(*words: Any, **parts: Any) -> Any:
        made = whole(*words, **parts)
        if parts.get("text_encoder") is not None:
            monkeypatch.setattr(made, "encode_prompt", lambda *_, **__: [torch.full((1, 4, 8), torch.nan)])
        return made

    monkeypatch.setattr(generate, "_pipeline", pipeline)
    assert bench.run(*QUICK) == 1
    record = bench.one()
    assert (record.status, record.error and record.error["stage"]) == ("failed", "encode")
    assert not list((bench.outputs / "store").rglob("*.safetensors"))


def test_stored_latents_with_zeros_are_made_again(bench: Bench, tmp_path: Path) -> None:
    """4 KiB of zeros, a lost block of a disk: the clip is the same to the byte."""
    assert bench.run(*QUICK) == 0
    first = (bench.folder(bench.one()) / "native.mp4").read_bytes()
    (frames,) = (bench.outputs / "store" / "decode").iterdir()
    frames.unlink()
    (kept,) = (bench.outputs / "store" / "denoise").iterdir()
    content = bytearray(kept.read_bytes())
    content[-6000:-1904] = bytes(4096)
    kept.write_bytes(content)
    assert bench.run(*QUICK, "force=true") == 0
    record = bench.one()
    assert not record.stages["denoise"]["cached"]
    assert (bench.folder(record) / "native.mp4").read_bytes() == first
