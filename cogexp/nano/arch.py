"""The embedded model's shapes, and its seeded random weights: the real CogVideoX classes at small sizes.

Shapes: latents (b, f, 16, h/8, w/8) with f = (frames - 1)/4 + 1; text (b, 48, 192).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from cogexp.nano.tokenizer import EOS_ID, PAD_ID, VOCAB_SIZE, build_tokenizer
from cogexp.nano.weights import COMPONENTS, MAX_SEQUENCE_LENGTH

if TYPE_CHECKING:
    from torch import nn


NANO_CONFIG: dict[str, dict[str, Any]] = {
    # T5 v1.1 as CogVideoX uses it (gated gelu, relative positions), 2 layers: the grammar has one clause.
    "text_encoder": {
        "vocab_size": VOCAB_SIZE,
        "d_model": 192,
        "d_kv": 32,
        "d_ff": 384,
        "num_layers": 2,
        "num_heads": 6,
        "relative_attention_num_buckets": 32,
        "relative_attention_max_distance": 64,
        "dropout_rate": 0.0,
        "feed_forward_proj": "gated-gelu",
        "tie_word_embeddings": False,
        "pad_token_id": PAD_ID,
        "eos_token_id": EOS_ID,
        "decoder_start_token_id": PAD_ID,
        "use_cache": False,
    },
    # 4 heads x 64, 8 layers, 8.05M parameters. Rotary positions, as in 5b: the pipeline stretches them over
    # the native grid, so that "the middle of the picture" has one position at every size; 2b's absolute
    # grid would cover only the top-left part of it. The native size is 512x288x9.
    "transformer": {
        "num_attention_heads": 4,
        "attention_head_dim": 64,
        "in_channels": 16,
        "out_channels": 16,
        "time_embed_dim": 64,
        "text_embed_dim": 192,
        "num_layers": 8,
        "sample_width": 64,
        "sample_height": 36,
        "sample_frames": 9,
        "patch_size": 2,
        "max_text_seq_length": MAX_SEQUENCE_LENGTH,
        "use_rotary_positional_embeddings": True,
    },
    # sample_height and sample_width decide only the tiles. They are those of the full-size VAE (tiles of
    # 240x360 px, overlaps 1/6 and 1/5), so that default tiling at 512x288 tears where the real one does,
    # and because other tiles can decode to a wrong size (288x512 would return 522 columns).
    "vae": {
        # 16 channels at half size too: after the same CPU time 0.3 dB ahead of 32, and faster to decode.
        "block_out_channels": (16, 16, 32, 64),
        "down_block_types": ("CogVideoXDownBlock3D",) * 4,
        "up_block_types": ("CogVideoXUpBlock3D",) * 4,
        "layers_per_block": 1,
        "latent_channels": 16,
        "norm_num_groups": 8,
        "sample_height": 480,
        "sample_width": 720,
        "scaling_factor": 1.0,
    },
    # The authors' schedule. A shift of 3 (as in 2b) spends more of the steps on layout: our pictures are
    # flat, so at shift 1 most noise levels would leave layout already decided.
    "scheduler": {
        "num_train_timesteps": 1000,
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "beta_schedule": "scaled_linear",
        "prediction_type": "v_prediction",
        "rescale_betas_zero_snr": True,
        "timestep_spacing": "trailing",
        "snr_shift_scale": 3.0,
        "set_alpha_to_one": True,
        "clip_sample": False,
    },
}


def _text_encoder() -> nn.Module:
    from transformers import T5Config, T5EncoderModel

    return T5EncoderModel(T5Config(**NANO_CONFIG["text_encoder"]))


def _transformer() -> nn.Module:
    from diffusers import CogVideoXTransformer3DModel

    return CogVideoXTransformer3DModel(**NANO_CONFIG["transformer"])


def _vae() -> nn.Module:
    from diffusers import AutoencoderKLCogVideoX

    return AutoencoderKLCogVideoX(**NANO_CONFIG["vae"])


def build_scheduler() -> Any:
    """The default scheduler, CogVideoXDDIMScheduler; others are made `from_config` of it."""
    from diffusers import CogVideoXDDIMScheduler

    return CogVideoXDDIMScheduler(**NANO_CONFIG["scheduler"])


MODULES: dict[str, Callable[[], Any]] = {
    "text_encoder": _text_encoder,
    "transformer": _transformer,
    "vae": _vae,
}
PLAIN: dict[str, Callable[[], Any]] = {"tokenizer": build_tokenizer, "scheduler": build_scheduler}


def check_components(which: Iterable[str]) -> tuple[str, ...]:
    """`which` as a tuple, or a ValueError that lists the choices."""
    names = tuple(which)
    wrong = [name for name in names if name not in COMPONENTS]
    if wrong:
        raise ValueError(f"nano components are {', '.join(COMPONENTS)}, got {', '.join(wrong)}")
    return names


def build(seed: int, which: Iterable[str] = COMPONENTS) -> dict[str, Any]:
    """Fresh components with random weights: float32, on the CPU, in eval mode, without gradients.

    The same seed gives bit-equal weights in every process, whatever else is built; the caller's random
    state is left as it was.
    """
    import torch

    from cogexp.nano.initialize import INITIALIZERS

    built: dict[str, Any] = {}
    for name in check_components(which):
        if name in PLAIN:
            built[name] = PLAIN[name]()
            continue
        with torch.random.fork_rng(devices=[]), torch.device("cpu"):
            # A seed of its own for each part: leaving one out does not change the others.
            torch.manual_seed(seed * len(COMPONENTS) + COMPONENTS.index(name))
            module = MODULES[name]()
            INITIALIZERS[name](module)
        built[name] = module.eval().requires_grad_(False)
    return built


def skeleton(name: str) -> Any:
    """The module `name` on the meta device: shapes without storage, for loading weights into."""
    import torch

    with torch.device("meta"):
        return MODULES[name]().eval().requires_grad_(False)
