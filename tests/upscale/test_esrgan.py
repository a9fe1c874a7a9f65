"""Networks: Real-ESRGAN against ncnn's runtime, a user's own files, tiles, memory, and refusals."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from spandrel.architectures.Compact import Compact

from cogexp.spec import UpscalerSpec
from cogexp.upscale import UpscaleError, esrgan, load_upscaler, ncnn_weights, resize
from tests.upscale.pictures import photograph

RECEPTIVE_FIELD_PX = 18  # 18 convolutions of 3x3


def by_ncnn(name: str, frame: np.ndarray) -> np.ndarray:
    """What ncnn's runtime makes of a frame with the same files: float32 (4h, 4w, 3), clipped to 0..1."""
    ncnn = pytest.importorskip("ncnn")
    stem = str(ncnn_weights.folder() / esrgan.REALESRGAN[name].stem)
    net = ncnn.Net()
    net.opt.use_vulkan_compute = False
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    net.opt.use_bf16_storage = False
    net.opt.num_threads = 2
    assert net.load_param(stem + ".param") == 0
    assert net.load_model(stem + ".bin") == 0
    extractor = net.create_extractor()
    picture = np.ascontiguousarray(frame.transpose(2, 0, 1), np.float32) / 255
    extractor.input("data", ncnn.Mat(picture).clone())  # Mat alone keeps no copy of the array
    status, large = extractor.extract("output")
    assert status == 0
    return np.array(large).transpose(1, 2, 0).clip(0, 1)


def own(network: esrgan.Network, frame: np.ndarray) -> np.ndarray:
    return network.unit(frame)[0].permute(1, 2, 0).numpy().copy()


@pytest.mark.parametrize(
    ("name", "size"),
    [("esrgan", (96, 160)), ("esrgan", (61, 83)), ("esrgan-photo", (12, 20)), ("esrgan-anime", (25, 30))],
)
def test_agrees_with_ncnn_on_a_photograph(name: str, size: tuple[int, int]) -> None:
    frame = photograph(*size)
    expected = by_ncnn(name, frame)
    ours = own(esrgan.load(UpscalerSpec(name=name), "cpu"), frame)
    assert ours.shape == expected.shape == (4 * size[0], 4 * size[1], 3)
    assert expected.std() > 0.1
    assert np.abs(ours - expected).max() <= 1e-4


def test_uint8_is_the_rounded_picture() -> None:
    network = esrgan.load(UpscalerSpec(name="esrgan"), "cpu")
    frame = photograph(40, 56)
    picture = own(network, frame) * 255
    np.testing.assert_array_equal(network(frame), np.rint(picture).astype(np.uint8))


def test_enlarging_keeps_the_picture() -> None:
    """Averaged back down, the enlarged photograph is the photograph: no shift, no change of colour."""
    frame = photograph(96, 128)
    large = load_upscaler(UpscalerSpec(name="esrgan"), "cpu")(frame[None])[0]
    small = large.reshape(96, 4, 128, 4, 3).mean((1, 3))
    assert np.abs(small - frame).mean() < 6
    assert np.abs(small[1:] - frame[:-1]).mean() > 1.5 * np.abs(small - frame).mean()
    assert np.abs((small - frame).mean((0, 1))).max() < 4


def test_scale_two_is_the_mean_of_four() -> None:
    frame = photograph(40, 56)
    half = esrgan.load(UpscalerSpec(name="esrgan", scale=2), "cpu")
    expected = own(half, frame).reshape(80, 2, 112, 2, 3).mean((1, 3)) * 255
    assert np.abs(half(frame) - expected).max() <= 0.501


def test_blend_mixes_with_lanczos() -> None:
    frame = photograph(40, 56)
    plain = own(esrgan.load(UpscalerSpec(name="esrgan"), "cpu"), frame) * 255
    smooth = resize.enlarge(frame, 4, "lanczos")
    for blend in (0.25, 1.0):
        mixed = esrgan.load(UpscalerSpec(name="esrgan", blend=blend), "cpu")(frame)
        assert np.abs(mixed - (plain * (1 - blend) + smooth * blend)).max() <= 0.501


@pytest.mark.parametrize("tile_px", [32, 50])
def test_tiles_leave_no_seam(tile_px: int) -> None:
    frame = photograph(90, 110)
    whole = own(esrgan.load(UpscalerSpec(name="esrgan"), "cpu"), frame)
    network = esrgan.load(UpscalerSpec(name="esrgan", tile_px=tile_px), "cpu")
    assert network.halo == RECEPTIVE_FIELD_PX
    assert np.abs(own(network, frame) - whole).max() < 2e-5


def test_a_halo_too_small_would_show() -> None:
    """The test above can fail: with half of the halo the seams are there."""
    frame = photograph(100, 110)
    whole = own(esrgan.load(UpscalerSpec(name="esrgan"), "cpu"), frame)
    network = esrgan.load(UpscalerSpec(name="esrgan", tile_px=48), "cpu")
    network.halo = RECEPTIVE_FIELD_PX // 3
    assert np.abs(own(network, frame) - whole).max() > 1e-4


def test_running_out_of_memory_goes_on_in_smaller_tiles(caplog: pytest.LogCaptureFixture) -> None:
    frame = photograph(150, 200)
    network = esrgan.load(UpscalerSpec(name="esrgan"), "cpu")
    expected = own(network, frame)
    largest, run = 110 * 110, network.run

    def small_only(picture: torch.Tensor) -> torch.Tensor:
        if picture.shape[2] * picture.shape[3] > largest:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9.00 GiB")
        return run(picture)

    network.run = small_only
    with caplog.at_level("WARNING", logger="cogexp"):
        assert np.abs(own(network, frame) - expected).max() < 2e-5
        network(frame)
    assert [record.message.split(":")[0] for record in caplog.records] == [
        "upscaling in tiles of 112 pixels",
        "upscaling in tiles of 64 pixels",
    ]
    largest = 0
    with pytest.raises(UpscaleError, match="even in tiles of 64 pixels"):
        network(frame)


def compact_file(path: Path, **shape: Any) -> Path:
    """A small random compact network, saved as users save theirs."""
    torch.manual_seed(1)
    model = Compact(**{"num_feat": 8, "num_conv": 2, **shape})
    state = OrderedDict((name, tensor.detach().clone()) for name, tensor in model.state_dict().items())
    if path.suffix == ".safetensors":
        save_file(dict(state), path)
    else:
        torch.save({"params_ema": state}, path)
    return path


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize(("native", "asked"), [(4, 4), (4, 2), (2, 4), (1, 2), (3, 2)])
def test_a_users_file_at_any_scale(tmp_path: Path, suffix: str, native: int, asked: int) -> None:
    path = compact_file(tmp_path / f"net{suffix}", upscale=native)
    upscale = load_upscaler(UpscalerSpec(name="spandrel", weights=str(path), scale=asked), "cpu")
    frame = photograph(31, 41)
    large = upscale(frame[None])[0]
    assert large.shape == (31 * asked, 41 * asked, 3)
    assert upscale.licence is None
    assert path.name in upscale.description
    small = large.reshape(31, asked, 41, asked, 3).mean((1, 3))
    correlation = np.corrcoef(small.ravel(), frame.ravel())[0, 1]
    assert correlation > 0.9  # random weights add a small residual to the enlarged frame


def test_both_formats_give_the_same_picture(tmp_path: Path) -> None:
    frame = photograph(30, 40)
    pictures = [
        esrgan.load(UpscalerSpec(name="spandrel", weights=str(compact_file(tmp_path / name))), "cpu")(frame)
        for name in ("net.pth", "net.safetensors")
    ]
    np.testing.assert_array_equal(*pictures)


class Malicious:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_code_in_a_pickle_is_not_run(tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    (tmp_path / "plain.pth").write_bytes(pickle.dumps({"body.0.weight": Malicious(trap)}))
    torch.save({"params": Malicious(trap)}, tmp_path / "zipped.pth")
    for name in ("plain.pth", "zipped.pth"):
        with pytest.raises(UpscaleError, match=r"holds more than weights") as caught:
            load_upscaler(UpscalerSpec(name="spandrel", weights=str(tmp_path / name)), "cpu")
        assert len(str(caught.value).splitlines()) <= 2
    assert not trap.exists()


def make(path: Path, state: object) -> Path:
    torch.save(state, path)
    return path


REFUSED = {
    "missing": (lambda folder: folder / "none.pth", "there is no file"),
    "a list": (lambda folder: make(folder / "a.pth", [1, 2]), "holds a list, expected a state dict"),
    "unknown": (
        lambda folder: make(folder / "a.pth", {"layer.weight": torch.zeros(3, 3)}),
        "does not know the architecture of a.pth",
    ),
    "empty": (lambda folder: make(folder / "a.pth", {}), "does not know the architecture"),
    "garbage": (lambda folder: _bytes(folder / "a.pth", b"\x80garbage" * 9), "a.pth is damaged"),
    "bad safetensors": (lambda folder: _bytes(folder / "a.safetensors", b"x" * 99), "no safetensors file"),
    "grey": (
        lambda folder: compact_file(folder / "a.pth", num_in_ch=1, num_out_ch=1),
        "takes 1 channels to 1, expected 3",
    ),
    "broken compact": (
        lambda folder: make(
            folder / "a.pth", {f"body.{i}.weight": torch.zeros(3, 3, 3, 3) for i in range(3)}
        ),
        "looks like a known network but does not fit it",
    ),
}


def _bytes(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("case", REFUSED)
def test_files_of_no_use_are_refused_in_words(tmp_path: Path, case: str) -> None:
    build, reason = REFUSED[case]
    path = build(tmp_path)
    with pytest.raises(UpscaleError) as caught:
        load_upscaler(UpscalerSpec(name="spandrel", weights=str(path)), "cpu")
    assert reason in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 2


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["esrgan", "esrgan-photo"])
def test_half_precision_on_cuda_is_the_same_picture(name: str) -> None:
    frame = photograph(96, 128)
    there = load_upscaler(UpscalerSpec(name=name), "cuda")(frame[None]).astype(int)
    here = load_upscaler(UpscalerSpec(name=name), "cpu")(frame[None])
    assert np.abs(there - here).mean() < 0.2
    assert np.abs(there - here).max() <= 6
