"""Closed forms against traces of the real modules with fake tensors: within 3 %."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from cogexp.catalog import VARIANTS
from cogexp.plan import exact, memory, plan
from tests.needs import needs
from tests.plan.test_published import spec_of

pytestmark = needs("exact=true")

TOLERANCE = 0.03
FIVE = VARIANTS["cogvideox-5b"]


def test_the_ledger_counts_storages_while_they_live() -> None:
    """Known answers: a view costs nothing, what is freed is subtracted, sizes are rounded to 512 bytes."""
    with exact.Ledger() as ledger:
        one = torch.zeros(256)  # 1024 bytes
        view = one.view(16, 16).t()
        other = one + view.reshape(-1)[:1]  # a copy of 1024 bytes that dies, and 1024 bytes that live
        assert ledger.live == 2048
        del one, view
        assert ledger.live == 1024
        small = other[:1].clone()
    assert ledger.live == 1024 + 512
    assert ledger.peak == 3072
    assert small.numel() == 1


def test_a_convolution_on_a_gpu_holds_its_input_and_output_twice() -> None:
    with exact._fake(torch.float32):
        layer, frames = torch.nn.Conv2d(8, 4, 1), torch.empty(1, 8, 64, 64)
        with exact._counted(layer, frames) as ledger:
            layer(frames)
        assert ledger.peak == 2 * (8 + 4) * 64 * 64 * 4


@pytest.mark.parametrize(
    "frames", [17, pytest.param(1, marks=pytest.mark.slow), pytest.param(9, marks=pytest.mark.slow)]
)
def test_untiled_decode(frames: int) -> None:
    """The engine decodes in a stream; its peak is that of diffusers' own decode."""
    closed = memory.decode_gib(FIVE, 256, 144, frames, dtype="bfloat16", tiling=False)
    for trace in (exact.trace_decode, exact.trace_decode_stock):
        traced = trace(FIVE, 256, 144, frames, torch.bfloat16, False)
        assert closed == pytest.approx(traced, rel=TOLERANCE), trace.__name__


def test_one_step_of_2b() -> None:
    spec = spec_of("cogvideox-2b", (256, 144, 49))
    variant = VARIANTS["cogvideox-2b"]
    assert memory.step_gib(spec, variant) == pytest.approx(
        exact.trace_step(spec, variant, torch.float16), rel=TOLERANCE
    )


def test_exact_plan_of_the_embedded_model_leaves_torch_as_it_was() -> None:
    attention, dtype = torch.nn.functional.scaled_dot_product_attention, torch.get_default_dtype()
    planned = plan(spec_of("nano", (512, 288, 9), dtype="float32"), exact=True)
    assert planned.traced
    assert 0.3 < planned.stages["decode"].activations_gib < 3
    assert torch.nn.functional.scaled_dot_product_attention is attention
    assert torch.get_default_dtype() == dtype


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "size", "settings"),
    [
        ("cogvideox-2b", (512, 288, 49), {}),
        ("cogvideox-2b", (720, 480, 49), {"guidance": 1.0}),
        ("cogvideox-5b", (512, 288, 49), {"dtype": "float32"}),
        ("cogvideox-5b", (720, 480, 49), {}),
        ("cogvideox-5b-i2v", (720, 480, 49), {}),
        ("cogvideox-1.5-5b", (1360, 768, 81), {}),
        ("cogvideox-1.5-5b-i2v", (1360, 768, 81), {"vae_tiling": True}),
    ],
)
def test_a_step(name: str, size: tuple[int, int, int], settings: dict[str, Any]) -> None:
    spec, variant = spec_of(name, size, **settings), VARIANTS[name]
    traced = exact.trace_step(spec, variant, exact.DTYPES[spec.model.dtype])
    assert memory.step_gib(spec, variant) == pytest.approx(traced, rel=TOLERANCE)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_the_text_encoder(dtype: str) -> None:
    traced = exact.trace_text(FIVE, exact.DTYPES[dtype])
    assert memory.T5_ACTIVATION * memory.BYTES[dtype] / memory.GIB == pytest.approx(traced, rel=TOLERANCE)


@pytest.mark.slow
@pytest.mark.parametrize("size", [(512, 288, 49), (720, 480, 49), (1360, 768, 81)])
def test_untiled_decode_at_full_size(size: tuple[int, int, int]) -> None:
    closed = memory.decode_gib(FIVE, *size, dtype="bfloat16", tiling=False)
    assert closed == pytest.approx(exact.trace_decode(FIVE, *size, torch.bfloat16, False), rel=TOLERANCE)


@pytest.mark.slow
@pytest.mark.parametrize("size", [(512, 288, 49), (720, 480, 49)])
def test_tiled_decode_of_diffusers(size: tuple[int, int, int]) -> None:
    closed = memory.decode_gib(FIVE, *size, dtype="bfloat16", tiling=True)
    assert closed == pytest.approx(exact.trace_decode_stock(FIVE, *size, torch.bfloat16, True), rel=TOLERANCE)


@pytest.mark.slow
def test_tiled_decode_of_this_package() -> None:
    """What the plan promises of tiles must be what runs."""
    size = (512, 288, 49)
    closed = memory.decode_gib(FIVE, *size, dtype="bfloat16", tiling=True)
    assert exact.trace_decode(FIVE, *size, torch.bfloat16, True) <= 1.1 * closed


@pytest.mark.slow
@pytest.mark.parametrize("size", [(512, 288, 9), (512, 288, 17), (1360, 768, 81), (1920, 1088, 49)])
def test_lean_decode(size: tuple[int, int, int]) -> None:
    """At 1360x768 diffusers' convolutions cut their input, and at 1920x1088 they cannot."""
    closed = memory.decode_gib(FIVE, *size, dtype="bfloat16", tiling=False, decoder="lean")
    traced = exact.trace_decode(FIVE, *size, torch.bfloat16, False, lean=True)
    assert closed == pytest.approx(traced, rel=TOLERANCE)


@pytest.mark.slow
@pytest.mark.parametrize("lean", [False, True], ids=["stock", "lean"])
def test_edge_tiles_need_no_more_than_default_tiles(lean: bool) -> None:
    size, decoder = (512, 288, 49), "lean" if lean else "stock"
    traced = exact.trace_decode(FIVE, *size, torch.bfloat16, "edge", lean=lean)
    assert traced <= 1.1 * exact.trace_decode(FIVE, *size, torch.bfloat16, True, lean=lean)
    closed = memory.decode_gib(FIVE, *size, dtype="bfloat16", tiling="edge", decoder=decoder)
    assert closed == pytest.approx(traced, rel=TOLERANCE)


@pytest.mark.slow
@pytest.mark.parametrize("tiling", [False, True])
def test_encoding_the_first_frame(tiling: bool) -> None:
    pixels = 360 * 240 if tiling else 720 * 480
    traced = exact.trace_encode_image(FIVE, 720, 480, torch.bfloat16, tiling)
    assert memory.ENCODE_IMAGE * pixels * 2 / memory.GIB == pytest.approx(traced, rel=TOLERANCE)
