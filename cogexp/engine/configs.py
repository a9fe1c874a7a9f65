"""Module configurations of the public checkpoints, for full-size models with random weights.

Read from the checkpoints' config.json files; a test holds the parameter counts to the catalog's.
Shapes: b batch, t frames, c channels, h height, w width (pixels or latents, as said).
"""

from __future__ import annotations

from typing import Any

from cogexp.catalog import Variant

T5_XXL: dict[str, Any] = {
    "vocab_size": 32128,
    "d_model": 4096,
    "d_kv": 64,
    "d_ff": 10240,
    "num_layers": 24,
    "num_heads": 64,
    "relative_attention_num_buckets": 32,
    "relative_attention_max_distance": 128,
    "dropout_rate": 0.0,
    "feed_forward_proj": "gated-gelu",
    "is_encoder_decoder": False,
    "use_cache": False,
}

VAE: dict[str, Any] = {
    "block_out_channels": (128, 256, 256, 512),
    "layers_per_block": 3,
    "latent_channels": 16,
    "sample_height": 480,
    "sample_width": 720,
    "down_block_types": ("CogVideoXDownBlock3D",) * 4,
    "up_block_types": ("CogVideoXUpBlock3D",) * 4,
}


def vae_config(variant: Variant) -> dict[str, Any]:
    """Arguments of AutoencoderKLCogVideoX."""
    return VAE | {"scaling_factor": 1.15258426 if variant.name == "cogvideox-2b" else 0.7}


def transformer_config(variant: Variant) -> dict[str, Any]:
    """Arguments of CogVideoXTransformer3DModel."""
    newer = variant.generation == "1.5"
    return {
        "num_attention_heads": variant.heads,
        "attention_head_dim": 64,
        "num_layers": variant.layers,
        "in_channels": 32 if variant.image_to_video else 16,
        "out_channels": 16,
        "text_embed_dim": T5_XXL["d_model"],
        "time_embed_dim": 512,
        "max_text_seq_length": 226,
        "patch_size": 2,
        "patch_size_t": 2 if newer else None,
        "patch_bias": not newer,
        "sample_width": 170 if newer else 90,
        "sample_height": 96 if newer else 60,
        "sample_frames": 81 if newer else 49,
        "spatial_interpolation_scale": 1.875,
        "use_rotary_positional_embeddings": variant.positions == "rope",
        "use_learned_positional_embeddings": variant.name == "cogvideox-5b-i2v",
        "ofs_embed_dim": 512 if newer and variant.image_to_video else None,
    }


def scheduler_config(variant: Variant) -> dict[str, Any]:
    """Arguments of CogVideoXDDIMScheduler and CogVideoXDPMScheduler alike."""
    return {
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "beta_schedule": "scaled_linear",
        "prediction_type": "v_prediction",
        "rescale_betas_zero_snr": True,
        "timestep_spacing": "trailing",
        "clip_sample": False,
        "set_alpha_to_one": True,
        "snr_shift_scale": 3.0 if variant.name == "cogvideox-2b" else 1.0,
    }
