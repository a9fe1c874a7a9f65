"""Full-size models with random weights: the real sizes, built without a download."""

from __future__ import annotations

import pytest
import torch
from diffusers import AutoencoderKLCogVideoX, CogVideoXTransformer3DModel
from transformers import T5Config, T5EncoderModel

from cogexp import catalog
from cogexp.build import build
from cogexp.engine import configs, generate, models

PUBLIC = [variant for variant in catalog.VARIANTS.values() if not variant.embedded]


def parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("variant", PUBLIC, ids=lambda variant: variant.name)
def test_transformers_have_the_published_size(variant: catalog.Variant) -> None:
    with torch.device("meta"):
        transformer = CogVideoXTransformer3DModel(**configs.transformer_config(variant))
    assert parameters(transformer) == variant.transformer_parameters


def test_text_encoder_and_vae_have_the_published_size() -> None:
    with torch.device("meta"):
        assert parameters(T5EncoderModel(T5Config(**configs.T5_XXL))) == catalog.TEXT_ENCODER_PARAMETERS
        vae = AutoencoderKLCogVideoX(**configs.vae_config(catalog.VARIANTS["cogvideox-5b"]))
    assert parameters(vae) == catalog.VAE_PARAMETERS


@pytest.mark.parametrize(
    ("name", "size", "fps", "frames"),
    [("cogvideox-2b", (128, 64), 8, 9), ("cogvideox-1.5-5b", (128, 64), 16, 17)],
)
def test_random_weights_run_through_the_same_stages(
    name: str, size: tuple[int, int], fps: int, frames: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The code path of model.weights=random, with two layers instead of thirty so that a CPU can."""
    full = configs.transformer_config
    thin = {"num_layers": 2, "num_attention_heads": 2}
    monkeypatch.setattr(models, "transformer_config", lambda variant: full(variant) | thin)
    monkeypatch.setattr(models, "T5_XXL", configs.T5_XXL | {"num_layers": 1, "d_ff": 64, "num_heads": 2})
    small_vae = {"block_out_channels": (8, 8, 8, 8), "norm_num_groups": 2, "layers_per_block": 1}
    monkeypatch.setattr(models, "vae_config", lambda variant: configs.vae_config(variant) | small_vae)
    request = build(
        {
            "model": {"name": name, "weights": "random"},
            "device": "cpu",
            "resolution": {"width": size[0], "height": size[1], "frames": frames},
            "sampler": {"steps": 1},
            "prompt": {"text": "two wolves"},
        }
    )
    assert "random" in request.resolved["model.weights"]
    assert request.spec.resolution.fps == fps
    try:
        embeddings = generate.encode(request.spec, "cpu")
        assert embeddings["prompt"].shape == (1, 226, 4096)
        latents = generate.denoise(request.spec, embeddings, "cpu", lambda done, total: None)
        made = sum(len(chunk) for chunk in generate.decode(request.spec, latents, "cpu"))
        assert made == frames
    finally:
        models.MODELS.free()
