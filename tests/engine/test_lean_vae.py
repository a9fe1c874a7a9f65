"""The lean decoder against diffusers' own: the same bits, less memory; out of the way when that changes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKLCogVideoX
from diffusers.models.autoencoders import autoencoder_kl_cogvideox as theirs

from cogexp.catalog import VARIANTS
from cogexp.engine import lean_fingerprint, lean_vae
from cogexp.engine.decode import decode_stream, frame_groups, group_decoder
from cogexp.engine.threads import same_sums
from cogexp.nano import weights
from cogexp.plan import exact, memory
from tests.needs import needs

FIVE = VARIANTS["cogvideox-5b"]


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    lean_vae.problem.cache_clear()
    yield
    lean_vae.problem.cache_clear()


def nano_vae(dtype: torch.dtype = torch.float32) -> Any:
    vae = weights.components(("vae",))["vae"]
    return vae if dtype == torch.float32 else vae.to(dtype)


def deeper_vae() -> Any:
    """More layers, other widths, and a convolution after the latents, as a checkpoint may have it."""
    torch.manual_seed(0)
    vae = AutoencoderKLCogVideoX(
        block_out_channels=(16, 32, 32, 48),
        down_block_types=("CogVideoXDownBlock3D",) * 4,
        up_block_types=("CogVideoXUpBlock3D",) * 4,
        layers_per_block=2,
        norm_num_groups=8,
    )
    return vae.eval()


def latents(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(1, 16, *shape, generator=torch.Generator().manual_seed(1)).to(dtype)


@torch.no_grad()
def lean(vae: Any, z: torch.Tensor) -> torch.Tensor:
    decode, groups = group_decoder(vae, lean=True), frame_groups(z.shape[2], 2)
    return torch.cat([decode(z[:, :, group], group is groups[-1]) for group in groups], dim=2)


@torch.no_grad()
def stock(vae: Any, z: torch.Tensor) -> torch.Tensor:
    with (
        same_sums()
    ):  # as many threads as the engine's decoding has: with one alone torch sums in another order
        made: torch.Tensor = vae.decode(z).sample
    return made


SIZES = [(1, 4, 6), (2, 5, 7), (3, 18, 32), (4, 6, 6), (7, 9, 10)]
# A CPU without bfloat16 of its own takes minutes for the larger sizes.
LARGE = [(3, 18, 32), (7, 9, 10)]


@pytest.mark.parametrize(
    ("size", "dtype"),
    [pytest.param(size, torch.float32, id=f"{size}-float32") for size in SIZES]
    + [
        pytest.param(
            size, torch.bfloat16, id=f"{size}-bfloat16", marks=[pytest.mark.slow] if size in LARGE else []
        )
        for size in SIZES
    ],
)
def test_the_same_bits(size: tuple[int, int, int], dtype: torch.dtype) -> None:
    vae, z = nano_vae(dtype), latents(*size, dtype=dtype)
    assert lean_vae.usable(vae)
    assert torch.equal(lean(vae, z), stock(vae, z))


@pytest.mark.parametrize("frames", [1, 3, 5])
def test_the_same_bits_of_another_architecture(frames: int) -> None:
    vae, z = deeper_vae(), latents(frames, 6, 9)
    assert torch.equal(lean(vae, z), stock(vae, z))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def test_the_same_bits_in_the_order_of_a_gpu(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    """There the norm's convolutions run on the enlarged latents, as in diffusers."""
    monkeypatch.setattr(lean_vae, "_copies", lambda size, z: 0)
    vae, z = nano_vae(dtype), latents(5, 6, 10, dtype=dtype)
    assert torch.equal(lean(vae, z), stock(vae, z))


def test_frames_of_a_run_are_the_same_tiled_and_whole() -> None:
    vae, z = nano_vae(), latents(3, 10, 14).permute(0, 2, 1, 3, 4)
    vae.enable_tiling(tile_sample_min_height=64, tile_sample_min_width=64)
    for tiling in (False, True, "edge"):
        with_lean = np.concatenate(list(decode_stream(vae, z, tiling=tiling, lean=True)))
        without = np.concatenate(list(decode_stream(vae, z, tiling=tiling)))
        np.testing.assert_array_equal(with_lean, without)


def test_hooks_on_layers_still_act() -> None:
    """8-bit storage widens each layer in a hook: the lean decoder must go through the layers, too."""
    vae = nano_vae()
    vae.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=torch.float32)
    z = latents(3, 6, 6)
    expected = stock(vae, z)
    assert not torch.equal(expected, stock(nano_vae(), z)), "nothing was cast"
    assert torch.equal(lean(vae, z), expected)


def test_only_what_the_next_group_reads_is_kept() -> None:
    vae, z = nano_vae(), latents(4, 6, 6)
    decoder = lean_vae.LeanDecoder(vae)
    decoder(z[:, :, :2], last=False)
    kept = decoder._kept
    assert {conv.time_kernel_size for conv in kept} == {3}
    assert {tail.shape[2] for tail in kept.values()} == {2}
    assert all(tail._base is None for tail in kept.values()), "a view would keep the whole input alive"
    decoder(z[:, :, 2:], last=True)
    assert not kept


@needs("exact=true")
@pytest.mark.parametrize(
    ("size", "lean_gib", "stock_gib"),
    [((512, 288, 49), 4.1, 6.29), ((720, 480, 49), 9.5, 14.74)],
    ids=["512x288", "720x480"],
)
def test_peak_of_the_full_size_decoder(size: tuple[int, int, int], lean_gib: float, stock_gib: float) -> None:
    """By a trace of the real modules; the figures of diffusers 0.42 are published with the issue."""
    traced = exact.trace_decode(FIVE, *size, torch.bfloat16, tiling=False, lean=True)
    assert traced <= lean_gib
    closed = memory.decode_gib(FIVE, *size, dtype="bfloat16", tiling=False, decoder="lean")
    assert closed == pytest.approx(traced, rel=0.03)
    assert memory.decode_gib(FIVE, *size, dtype="bfloat16", tiling=False) == pytest.approx(
        stock_gib, rel=0.03
    )


def test_it_steps_aside_when_diffusers_has_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert lean_vae.problem() is None
    assert lean_vae.standing().startswith("exact")
    lean_vae.problem.cache_clear()

    def forward(self: Any, f: Any, zq: Any, conv_cache: Any = None) -> Any:
        return self.norm_layer(f) * 2, {}

    monkeypatch.setattr(theirs.CogVideoXSpatialNorm3D, "forward", forward)
    vae, z = nano_vae(), latents(3, 6, 6)
    assert not lean_vae.usable(vae)
    assert "no effect" in lean_vae.standing()
    assert "diffusers" in lean_vae.standing()
    frames = list(decode_stream(vae, z.permute(0, 2, 1, 3, 4), lean=True))
    np.testing.assert_array_equal(frames, list(decode_stream(vae, z.permute(0, 2, 1, 3, 4))))


def test_a_decoder_with_strange_parts_is_left_to_diffusers() -> None:
    class Other(torch.nn.SiLU):
        pass

    vae = nano_vae()
    vae.decoder.conv_act = Other()
    assert not lean_vae.usable(vae)
    assert not lean_vae.usable(nano_vae().train())


def test_only_statements_count_for_the_fingerprint() -> None:
    def one(x: int) -> None:
        """A docstring."""
        # a comment
        print(x + 1)  # another

    def two(x: float) -> None:
        print(
            x + 1
        )  # fmt: skip

    def three(x: int) -> None:
        print(x + 2)

    assert lean_fingerprint.body(one) == lean_fingerprint.body(two) == "print(x+1)"
    assert lean_fingerprint.body(one) != lean_fingerprint.body(three)


def test_nan_is_still_found() -> None:
    from cogexp.engine.decode import InvalidFrames

    with pytest.raises(InvalidFrames):
        list(decode_stream(nano_vae(), torch.full((1, 3, 16, 4, 4), float("nan")), lean=True))
