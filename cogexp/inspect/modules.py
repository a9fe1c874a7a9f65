"""The real diffusers and transformers modules on the meta device: shapes run, weights are not needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cogexp.catalog import VARIANTS
from cogexp.engine.configs import T5_XXL, transformer_config, vae_config
from cogexp.nano.weights import MAX_SEQUENCE_LENGTH, trained
from cogexp.spec import RunSpec

FULL_SIZE_TOKENS = 226


def text_tokens(spec: RunSpec) -> int:
    """Length that the pipeline pads every prompt to."""
    return MAX_SEQUENCE_LENGTH if VARIANTS[spec.model.name].embedded else FULL_SIZE_TOKENS


def untrained(spec: RunSpec) -> bool:
    """Whether these weights never learned anything: pictures of them show the architecture only."""
    return spec.model.weights == "random" or (VARIANTS[spec.model.name].embedded and not trained())


def latent_frames(spec: RunSpec) -> int:
    """Frames of the latent that is decoded: (frames - 1)/4 + 1."""
    return (spec.resolution.frames - 1) // 4 + 1


def latent_shape(spec: RunSpec, channels: int) -> tuple[int, int, int, int, int]:
    """(1, f, c, h, w) as the pipeline denoises it; 1.5 pads the frames to a multiple of its patch."""
    frames = latent_frames(spec)
    padded = frames + frames % VARIANTS[spec.model.name].pad_latent_frames
    return 1, padded, channels, spec.resolution.height // 8, spec.resolution.width // 8


def build_meta(name: str, spec: RunSpec) -> Any:
    """`text_encoder`, `transformer` or `vae` of the setting, in eval mode on the meta device.

    A checkpoint in the user's own folder (model.path) is built from its own config.json, which may differ
    from the public one.
    """
    import torch
    from diffusers import AutoencoderKLCogVideoX, CogVideoXTransformer3DModel
    from transformers import T5Config, T5EncoderModel

    variant = VARIANTS[spec.model.name]
    if variant.embedded:
        from cogexp.nano import arch

        return arch.skeleton(name)
    folder = Path(spec.model.source or "") / name
    own = folder.is_absolute()
    with torch.device("meta"):
        if name == "text_encoder":
            config = T5Config.from_pretrained(folder) if own else T5Config(**T5_XXL)
            return T5EncoderModel(config).eval()
        if name == "vae":
            kind, facts = AutoencoderKLCogVideoX, vae_config(variant)
        else:
            kind, facts = CogVideoXTransformer3DModel, transformer_config(variant)
        return (kind.from_config(kind.load_config(folder)) if own else kind(**facts)).eval()
