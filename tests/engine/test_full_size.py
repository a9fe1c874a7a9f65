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


def test_random_weights_are_whole_and_the_same_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "T5_XXL", configs.T5_XXL | {"num_layers": 1, "d_ff": 64, "num_heads": 2})
    variant = catalog.VARIANTS["cogvideox-2b"]
    full = configs.transformer_config(variant) | {"num_layers": 2, "num_attention_heads": 2}
    monkeypatch.setattr(models, "transformer_config", lambda variant: full)
    wanted = models.ModelSpec(
        name="cogvideox-2b", weights="random", dtype="bfloat16", source=None, revision=None
    )
    for name in ("text_encoder", "transformer"):
        one, other = (models.load_part(name, wanted, "cpu") for _ in range(2))
        for (key, mine), its in zip(one.named_parameters(), other.parameters(), strict=True):
            assert torch.equal(mine, its), key
            assert mine.dtype == torch.bfloat16
            assert not mine.requires_grad
            if mine.numel() > 10_000 and mine.dim() > 1:
                bound = mine[0].numel() ** -0.5
                assert mine.float().std() == pytest.approx(bound / 3**0.5, rel=0.1), key
            elif mine.dim() == 1:
                assert set(mine.tolist()) <= {0.0, 1.0}, key
        assert {buffer.dtype for buffer in one.buffers()} <= {torch.bfloat16}
    encoder = models.load_part("text_encoder", wanted, "cpu")
    assert encoder.shared.weight is encoder.encoder.embed_tokens.weight
