"""Shapes and random weights of the embedded model."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import numpy as np
import pytest
import torch

from cogexp.nano import arch

_DIGEST = """
import hashlib, torch
from cogexp.nano import arch
built = arch.build(0, ["vae"])
print(hashlib.sha256(b"".join(p.numpy().tobytes() for p in built["vae"].parameters())).hexdigest())
"""


@pytest.fixture(scope="module")
def built():
    return arch.build(0)


def _bytes(module) -> bytes:
    return b"".join(parameter.numpy().tobytes() for parameter in module.parameters())


def test_sizes(built):
    millions = {
        name: sum(p.numel() for p in built[name].parameters()) / 1e6 for name in ("transformer", "vae")
    }
    assert millions["transformer"] == pytest.approx(8.05, abs=0.01)
    assert millions["vae"] == pytest.approx(1.95, abs=0.01)


def test_modules_are_float32_eval_without_gradients(built):
    for name in arch.MODULES:
        assert not built[name].training
        assert {p.dtype for p in built[name].parameters()} == {torch.float32}
        assert not any(p.requires_grad for p in built[name].parameters())


def test_same_seed_same_weights_and_the_callers_random_state_is_kept(built):
    torch.manual_seed(5)
    state = torch.get_rng_state()
    again = arch.build(0, ["vae", "text_encoder"])
    assert torch.equal(state, torch.get_rng_state())
    assert _bytes(again["vae"]) == _bytes(built["vae"])
    assert _bytes(again["text_encoder"]) == _bytes(built["text_encoder"])
    assert _bytes(arch.build(1, ["vae"])["vae"]) != _bytes(built["vae"])


def test_another_process_builds_the_same_weights(built):
    printed = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _DIGEST], capture_output=True, text=True, check=True
    ).stdout.strip()
    assert printed == hashlib.sha256(_bytes(built["vae"])).hexdigest()


def test_unknown_component_lists_the_choices():
    with pytest.raises(ValueError, match="nano components are tokenizer, text_encoder"):
        arch.build(0, ["unet"])


def test_default_tiles_are_those_of_the_full_size_vae(built):
    from diffusers import AutoencoderKLCogVideoX

    with torch.device("meta"):
        full = AutoencoderKLCogVideoX(sample_height=480, sample_width=720)
    for key in (
        "tile_sample_min_height",
        "tile_sample_min_width",
        "tile_latent_min_height",
        "tile_latent_min_width",
        "tile_overlap_factor_height",
        "tile_overlap_factor_width",
    ):
        assert getattr(built["vae"], key) == getattr(full, key)


def test_default_tiling_returns_the_asked_size():
    vae = arch.build(0, ["vae"])["vae"]
    vae.enable_tiling()
    with torch.no_grad():
        assert vae.decode(torch.zeros(1, 16, 1, 36, 64)).sample.shape[-2:] == (288, 512)


def test_random_weights_show_a_moving_colourful_picture(built):
    from diffusers import CogVideoXPipeline

    pipe = CogVideoXPipeline(**built)
    pipe.set_progress_bar_config(disable=True)
    clip = pipe(
        "two wolves", height=64, width=96, num_frames=9, num_inference_steps=2, guidance_scale=6.0,
        max_sequence_length=48, generator=torch.Generator().manual_seed(0), output_type="np",
    ).frames[0]  # fmt: skip
    assert clip.shape == (9, 64, 96, 3)
    assert np.isfinite(clip).all()
    assert 0.2 < clip.mean() < 0.8
    assert clip.std() > 0.08
    assert np.abs(np.diff(clip, axis=0)).mean() > 1e-3
