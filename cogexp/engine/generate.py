"""Prompt -> embeddings -> latents -> frames: the three generating stages, each a function of plain values.

The arithmetic is diffusers' own pipeline, called in pieces: the result is bit-equal to a plain script.
Shapes: embeddings (1, L, d); latents (1, t, c, h, w); frames (n, H, W, 3) uint8.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from diffusers import (
    CogVideoXDDIMScheduler,
    CogVideoXDPMScheduler,
    CogVideoXImageToVideoPipeline,
    CogVideoXPipeline,
)
from torch import Tensor

from cogexp.catalog import VARIANTS
from cogexp.engine import optimize
from cogexp.engine.decode import InvalidFrames, decode_stream, tile_starts, uses_tiles
from cogexp.engine.models import MODELS
from cogexp.nano import weights as nano_weights
from cogexp.spec import RunSpec

SCHEDULERS = {"ddim": CogVideoXDDIMScheduler, "dpm": CogVideoXDPMScheduler}
FULL_SIZE_TOKENS = 226

OnStep = Callable[[int, int], None]


def _pipeline(image_to_video: bool = False, **parts: Any) -> Any:
    """diffusers' pipeline around the parts at hand; a stage that needs no text encoder has none."""
    names = ("tokenizer", "text_encoder", "vae", "transformer", "scheduler")
    kind = CogVideoXImageToVideoPipeline if image_to_video else CogVideoXPipeline
    pipeline = kind(**{name: parts.get(name) for name in names})
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@torch.no_grad()
def encode(spec: RunSpec, device: str) -> dict[str, Tensor]:
    """Embeddings of the prompt and, when guidance is on, of the negative prompt."""
    tokens = nano_weights.MAX_SEQUENCE_LENGTH if VARIANTS[spec.model.name].embedded else FULL_SIZE_TOKENS
    with MODELS.on_device(("tokenizer", "text_encoder"), spec, device) as (tokenizer, text_encoder):
        pipeline = _pipeline(tokenizer=tokenizer, text_encoder=text_encoder)
        positive, negative = pipeline.encode_prompt(
            spec.prompt.text,
            spec.prompt.negative or None,
            do_classifier_free_guidance=spec.sampler.guidance > 1,
            max_sequence_length=tokens,
            device=torch.device(device),
        )
    return {"prompt": positive} | ({} if negative is None else {"negative": negative})


@torch.no_grad()
def denoise(spec: RunSpec, embeddings: dict[str, Tensor], device: str, on_step: OnStep) -> Tensor:
    """Latents (1, t, c, h, w) after all denoising steps; `on_step(done, total)` after each.

    Raises:
        InvalidFrames: the latents are not finite.
    """
    image_to_video = VARIANTS[spec.model.name].image_to_video
    names = ("transformer", "scheduler", *(("vae",) if image_to_video else ()))
    with MODELS.on_device(names, spec, device) as parts:
        held = dict(zip(names, parts, strict=True))
        held["scheduler"] = SCHEDULERS[spec.sampler.scheduler].from_config(held["scheduler"].config)
        pipeline = _pipeline(image_to_video, **held)

        def step_done(_: Any, index: int, __: Any, ___: Any) -> dict[str, Any]:
            on_step(index + 1, spec.sampler.steps)
            return {}

        with optimize.step_cache(
            held["transformer"], spec.optimization.cache, lambda: pipeline.current_timestep
        ):
            latents: Tensor = pipeline(
                **({"image": _first_frame(spec)} if image_to_video else {}),
                prompt_embeds=embeddings["prompt"].to(device),
                negative_prompt_embeds=embeddings["negative"].to(device)
                if "negative" in embeddings
                else None,
                height=spec.resolution.height,
                width=spec.resolution.width,
                num_frames=spec.resolution.frames,
                num_inference_steps=spec.sampler.steps,
                guidance_scale=spec.sampler.guidance,
                use_dynamic_cfg=spec.sampler.dynamic_cfg,
                # Noise is drawn on the CPU, so that a seed means the same on every device.
                generator=torch.Generator("cpu").manual_seed(spec.seed),
                callback_on_step_end=step_done,
                output_type="latent",
            ).frames
    if not torch.isfinite(latents).all():
        raise InvalidFrames(
            f"denoising in {spec.model.dtype} gave NaN or infinite latents; "
            "try model.dtype=bfloat16 or float32"
        )
    return latents


def decode(spec: RunSpec, latents: Tensor, device: str) -> Iterator[np.ndarray]:
    """Chunks of frames (n, H, W, 3) uint8, as soon as each is decoded."""
    with MODELS.on_device(("vae",), spec, device) as (vae,):
        optimize.set_tiling(vae, spec.optimization.vae_tiling)
        # The 1.5 models denoise a few latent frames more than were asked for, at the front.
        wanted = (spec.resolution.frames - 1) // 4 + 1
        yield from decode_stream(vae, latents[:, latents.shape[1] - wanted :].to(device))


@dataclass(frozen=True, kw_only=True)
class TileLines:
    """Rows and columns (px) at which a VAE tile begins inside the frame; empty when it is decoded whole."""

    rows: tuple[int, ...] = ()
    columns: tuple[int, ...] = ()


def tile_lines(spec: RunSpec, device: str) -> TileLines:
    """Where the tiles of this spec's decoding meet, asked of the VAE itself."""
    vae = MODELS.part("vae", spec, device)
    optimize.set_tiling(vae, spec.optimization.vae_tiling)
    height, width = spec.resolution.height // 8, spec.resolution.width // 8
    if not uses_tiles(vae, height, width):
        return TileLines()
    tops, lefts = tile_starts(vae, height, width)
    return TileLines(rows=tuple(8 * y for y in tops[1:]), columns=tuple(8 * x for x in lefts[1:]))


def _first_frame(spec: RunSpec) -> Any:
    from PIL import Image

    assert spec.prompt.image is not None
    with Image.open(spec.prompt.image) as picture:
        return picture.convert("RGB")
