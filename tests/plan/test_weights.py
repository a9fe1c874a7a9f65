"""Weights by part and what is on the GPU when, against the real classes and published peaks."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import AutoencoderKLCogVideoX, CogVideoXTransformer3DModel
from torch import nn
from transformers import T5Config, T5EncoderModel

from cogexp import catalog
from cogexp.build import build
from cogexp.engine import configs
from cogexp.plan import host, memory, plan, weights
from cogexp.spec import FLAG_CHOICES, RunSpec

FIVE = catalog.VARIANTS["cogvideox-5b"]


def five(size: tuple[int, int] = (512, 288), **flags: Any) -> RunSpec:
    config = {
        "model": {"name": "cogvideox-5b", "dtype": "bfloat16"},
        "device": "cuda",
        "resolution": {"width": size[0], "height": size[1]},
        "prompt": {"text": "two wolves"},
        "optimization": flags,
    }
    return build(config, needs_first_frame=False).spec


def linear(module: nn.Module) -> int:
    return sum(part.weight.numel() for part in module.modules() if type(part) is nn.Linear)


@pytest.mark.parametrize(
    "variant", [v for v in catalog.VARIANTS.values() if not v.embedded], ids=lambda v: v.name
)
def test_what_quantization_takes_of_a_transformer(variant: catalog.Variant) -> None:
    with torch.device("meta"):
        module = CogVideoXTransformer3DModel(**configs.transformer_config(variant))
    share = linear(module) / variant.transformer_parameters
    assert share == pytest.approx(weights.LINEAR_SHARE, abs=3e-4)
    block = sum(p.numel() for p in module.transformer_blocks[0].parameters())
    outside = variant.transformer_parameters - variant.layers * block
    assert outside / variant.transformer_parameters == pytest.approx(0.0033, abs=0.004)


def test_what_flags_take_of_the_text_encoder_and_the_vae() -> None:
    with torch.device("meta"):
        text, vae = T5EncoderModel(T5Config(**configs.T5_XXL)), AutoencoderKLCogVideoX(**configs.VAE)
    assert linear(text) == weights.T5_LINEAR
    cast = sum(p.numel() for name, p in vae.named_parameters() if "norm" not in name)
    assert cast / catalog.VAE_PARAMETERS == pytest.approx(weights.VAE_CAST_SHARE, abs=1e-3)
    assert sum(p.numel() for p in text.encoder.block[5].parameters()) == pytest.approx(
        weights.T5_BLOCK, rel=1e-3
    )


def test_int8_of_transformer_and_text_encoder_is_the_published_peak() -> None:
    """diffusers-torchao: 5b, 720x480x49, int8 weight-only of both: 22.28 against 31.75 GiB."""
    peak = plan(five((720, 480), quantize="int8wo", quantize_text="int8wo")).peak_allocated_gib
    plain = plan(five((720, 480))).peak_allocated_gib
    assert plain - peak == pytest.approx(31.75 - 22.28, rel=0.02)


@pytest.mark.parametrize(
    ("how", "bits"),
    [("int8wo", 8), ("fp8", 8), ("quanto-int8", 8), ("gguf-q8", 8.5), ("gguf-q4", 4.5), ("bnb-nf4", 4.5)],
)
def test_bits_of_a_quantized_weight(how: str, bits: float) -> None:
    """Closed form: 5.57e9 weights at so many bits; the few that are not linear stay at 16."""
    held = weights.weights(five(quantize=how), FIVE)["transformer"]
    assert held == pytest.approx(FIVE.transformer_parameters * bits / 8 / 2**30, rel=0.002)


def test_every_quantization_of_the_spec_is_planned_for() -> None:
    plain = weights.weights(five(), FIVE)["transformer"]
    for how in FLAG_CHOICES["quantize"][1:]:
        assert isinstance(how, str)
        assert 0.25 < weights.weights(five(quantize=how), FIVE)["transformer"] / plain < 0.54


def test_offload_keeps_less_the_finer_it_is() -> None:
    peaks = [
        memory.stages(five(offload=kind, lean_vae=True, vae_tiling="edge"), FIVE)["denoise"].weights_gib
        for kind in ("none", "text", "model", "group-block", "group", "sequential")
    ]
    assert peaks == sorted(peaks, reverse=True)
    # 8.87 GiB of text encoder and 10.38 of transformer; two blocks of 0.246 GiB; the largest layers, 0.07.
    assert peaks[0] == pytest.approx(19.25, abs=0.05)
    assert peaks[1] == peaks[2] == pytest.approx(10.38, abs=0.05)
    assert peaks[3] == pytest.approx(2 * 0.246 + 0.034, abs=0.02)
    assert peaks[4] == 2 * peaks[5] == pytest.approx(0.14, abs=0.01)


def test_the_text_encoder_that_left_is_not_counted() -> None:
    stages = memory.stages(five(offload="text"), FIVE)
    plain = memory.stages(five(), FIVE)
    assert stages["encode"] == plain["encode"]
    for stage in ("denoise", "decode"):
        assert plain[stage].weights_gib - stages[stage].weights_gib == pytest.approx(8.87, abs=0.01)


def test_split_guidance_halves_a_steps_activations() -> None:
    together = memory.stages(five(), FIVE)["denoise"].activations_gib
    split = memory.stages(five(split_cfg=True), FIVE)["denoise"].activations_gib
    assert split == pytest.approx(together / 2, rel=0.01)


def test_small_cards_are_served() -> None:
    """Under 8 and 5 GiB at 512x288 there is something, exact where it can be."""
    for limit in (8, 5):
        found = plan(five(), f"{limit}GB").suggestions
        assert found
        assert not found[-1].changes_pixels or len(found) > 1
        assert any(not one.changes_pixels for one in found)


@pytest.mark.parametrize(
    ("size", "gib"), [((64, 64), (0.99, 0.99)), ((256, 144), (1.11, 1.28)), ((512, 288), (1.50, 1.78))]
)
def test_main_memory_on_a_cpu(size: tuple[int, int], gib: tuple[float, float]) -> None:
    """Largest resident memory of the embedded model's runs, least and most of 1, 19 and 18 (nine frames,
    torch 2.14, Linux, 2026-11-27)."""
    config = {"model": {"name": "nano"}, "device": "cpu", "prompt": {"text": "two wolves"}}
    spec = build({**config, "resolution": {"width": size[0], "height": size[1]}}).spec
    planned = host.host_gib(spec, catalog.VARIANTS["nano"], "cpu")
    assert 0.9 * gib[0] <= planned <= 1.1 * gib[1]
