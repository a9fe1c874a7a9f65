"""Short memory is known as such, whoever says it; the texts are the libraries own."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import av
import numpy as np
import pytest

from cogexp.storage import run_error
from cogexp.system import faults
from cogexp.system.faults import reason_of, redacted_line
from cogexp.upscale.errors import UpscaleError, UpscaleMemoryError
from cogexp.video import VideoError, Writer


class SafetensorError(Exception):
    """Named as safetensors'."""


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)),  # mmap, fork
        SafetensorError("Error while reading: Cannot allocate memory (os error 12)"),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory"
        ),
        RuntimeError("unable to mmap 2000000 bytes from file <x>: Cannot allocate memory (12)"),
        RuntimeError("std::bad_alloc"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("MPS backend out of memory (MPS allocated: 9.0 GB)"),
        Exception("OpenCV(4.11.0) alloc.cpp:73: error: (-4:Insufficient memory) Failed to allocate 9 bytes"),
        UpscaleMemoryError("not enough GPU memory to upscale, even in tiles of 64 pixels"),
    ],
    ids=lambda error: str(error)[:30],
)
def test_short_memory_is_known(error: Exception) -> None:
    assert run_error.status_of(error) == "oom"
    wrapped = VideoError("cannot write x.mp4")
    wrapped.__cause__ = error
    assert run_error.status_of(wrapped) == "oom", "and behind the exception that was raised from it"
    assert faults.described(error).startswith("memory is short")


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        RuntimeError("shape mismatch"),
        UpscaleError("there is no file x.pth"),
        ValueError("out of memory"),
    ],
)
def test_other_faults_are_not_it(error: Exception) -> None:
    assert run_error.status_of(error) == "failed"


def test_an_encoder_without_memory_is_out_of_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What libx264 gives after 'malloc of size 19421120 failed', which it writes to the terminal alone."""
    from cogexp import video

    def refuse(*_: object) -> None:
        raise av.error.ExternalError(542398533, "Generic error in an external library", "avcodec_open2")

    monkeypatch.setattr(video._Encoder, "encode", refuse)
    with (
        pytest.raises(VideoError, match="memory is short") as caught,
        Writer(tmp_path / "x.mp4", 8) as writer,
    ):
        writer.write(np.zeros((1, 64, 64, 3), np.uint8))
    assert run_error.status_of(caught.value) == "oom"
    assert list(tmp_path.iterdir()) == []


def test_a_secret_that_the_cut_would_halve_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_PASSWORD", "correct-horse-battery")
    found = redacted_line(RuntimeError("refused\nfor correct-horse-battery staple"), 20)
    assert found == "refused for *** stap"
    assert redacted_line(ValueError(), 20) == "ValueError"


def test_why_the_system_refused_without_its_number_and_file() -> None:
    assert reason_of(FileNotFoundError(errno.ENOENT, "No such file", "a.mp4")) == "No such file"
    assert reason_of(ValueError("one\n  two")) == "one two"
    assert reason_of(ValueError()) == "ValueError"
