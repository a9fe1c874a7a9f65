"""Prompt -> embeddings -> latents -> frames: the three generating stages, each a function of plain values.

The arithmetic is diffusers' own, its pipelines called in pieces: the result is bit-equal to a plain script.
Shapes: embeddings (1, L, d); latents (1, t, c, h, w); frames (n, H, W, 3) uint8.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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

from cogexp import tiles
from cogexp.catalog import VARIANTS
from cogexp.engine import magcache, optimize
from cogexp.engine.caches import step_cache
from cogexp.engine.decode import InvalidFrames, decode_stream, grid_of
from cogexp.engine.denoise import Loop, OnStep, passes_of
from cogexp.engine.models import DTYPES, MODELS
from cogexp.nano import weights as nano_weights
from cogexp.spec import RunSpec

SCHEDULERS = {"ddim": CogVideoXDDIMScheduler, "dpm": CogVideoXDPMScheduler}
FULL_SIZE_TOKENS = 226
OVERFLOW = "try model.dtype=bfloat16 or float32"


def _pipeline(image_to_video: bool = False, **parts: Any) -> Any:
    """diffusers' pipeline around the parts at hand; a stage that needs no text encoder has none."""
    names = ("tokenizer", "text_encoder", "vae", "transformer", "scheduler")
    kind = CogVideoXImageToVideoPipeline if image_to_video else CogVideoXPipeline
    pipeline = kind(**{name: parts.get(name) for name in names})
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def encode(spec: RunSpec, device: str) -> dict[str, Tensor]:
    """Embeddings (1, l, d) of the prompt and, when guidance is on, of the negative prompt."""
    names = ("prompt", "negative") if spec.sampler.guidance > 1 else ("prompt",)
    texts = {"prompt": spec.prompt.text, "negative": spec.prompt.negative}
    return dict(zip(names, encode_texts(spec, [texts[name] for name in names], device), strict=True))


@torch.no_grad()
def encode_texts(spec: RunSpec, texts: Sequence[str], device: str) -> list[Tensor]:
    """Embeddings (1, l, d) of texts, one by one ('' is a text too) by the text encoder of `spec`.

    Raises:
        InvalidFrames: an embedding is not finite.
    """
    tokens = nano_weights.MAX_SEQUENCE_LENGTH if VARIANTS[spec.model.name].embedded else FULL_SIZE_TOKENS
    with MODELS.on_device(("tokenizer", "text_encoder"), spec, device) as (tokenizer, text_encoder):
        pipeline = _pipeline(tokenizer=tokenizer, text_encoder=text_encoder)
        embeddings = [
            pipeline.encode_prompt(
                text,
                do_classifier_free_guidance=False,
                max_sequence_length=tokens,
                device=torch.device(device),
                # The dtype to compute in: a part with 8-bit weights would answer with theirs.
                dtype=DTYPES[spec.model.dtype],
            )[0]
            for text in texts
        ]
    if not all(bool(torch.isfinite(embedding).all()) for embedding in embeddings):
        raise InvalidFrames(
            f"the text encoder in {spec.model.dtype} gave NaN or infinite embeddings; {OVERFLOW}"
        )
    return embeddings


@torch.no_grad()
def denoise(
    spec: RunSpec,
    embeddings: dict[str, Tensor],
    device: str,
    on_step: OnStep,
    ratios: Sequence[float] | None = None,
) -> Tensor:
    """Latents (1, t, c, h, w) after all denoising steps; `on_step(done, total)` after each.

    `embeddings` holds 'prompt' and, with guidance, 'negative'; `ratios` is MagCache's calibration.

    Raises:
        InvalidFrames: the latents are not finite.
    """
    with _loop(spec, embeddings, device) as loop:
        flags = spec.optimization
        with step_cache(
            loop.pipeline.transformer, flags.cache, lambda: loop.timestep, spec.sampler.steps, ratios
        ) as notes:
            latents = loop.run(_first_frame(spec), on_step)
        if flags.split_cfg and len(loop.passes) == 2:
            notes["optimization.split_cfg"] = "two passes of batch 1 a step"
        MODELS.tell(spec, notes)
    if not torch.isfinite(latents).all():
        raise InvalidFrames(f"denoising in {spec.model.dtype} gave NaN or infinite latents; {OVERFLOW}")
    return latents


def calibrate(spec: RunSpec, embeddings: dict[str, Tensor], device: str, on_step: OnStep) -> list[float]:
    """MagCache's ratios, one a step, from an exact clip that is thrown away."""
    with (
        _loop(spec, embeddings, device) as loop,
        magcache.recorded_ratios(loop.pipeline.transformer) as ratios,
    ):
        loop.run(_first_frame(spec), on_step)
    if not all(map(math.isfinite, ratios)):
        raise InvalidFrames(
            f"MagCache's calibration in {spec.model.dtype} gave NaN or infinities; {OVERFLOW}"
        )
    return ratios


@contextmanager
def _loop(spec: RunSpec, embeddings: dict[str, Tensor], device: str) -> Iterator[Loop]:
    """The denoising loop of this spec, its parts on the device."""
    image_to_video = VARIANTS[spec.model.name].image_to_video
    names = ("transformer", "scheduler", *(("vae",) if image_to_video else ()))
    with MODELS.on_device(names, spec, device) as parts:
        held = dict(zip(names, parts, strict=True))
        held["scheduler"] = SCHEDULERS[spec.sampler.scheduler].from_config(held["scheduler"].config)
        pipeline = _pipeline(image_to_video, **held)
        yield Loop(pipeline=pipeline, spec=spec, passes=passes_of(embeddings, spec, device), device=device)


def decode(spec: RunSpec, latents: Tensor, device: str) -> Iterator[np.ndarray]:
    """Chunks of frames (n, H, W, 3) uint8, as soon as each is decoded."""
    flags = spec.optimization
    with MODELS.on_device(("vae",), spec, device) as (vae,):
        optimize.set_tiling(vae, flags.vae_tiling is True)
        # The 1.5 models denoise a few latent frames more than were asked for, at the front.
        wanted = (spec.resolution.frames - 1) // 4 + 1
        latents = latents[:, latents.shape[1] - wanted :].to(device)
        yield from decode_stream(vae, latents, tiling=flags.vae_tiling, lean=flags.lean_vae)


@dataclass(frozen=True, kw_only=True)
class TileLines:
    """Rows and columns (px) at which a VAE tile begins inside the frame; empty when it is decoded whole."""

    rows: tuple[int, ...] = ()
    columns: tuple[int, ...] = ()


def tile_lines(spec: RunSpec, device: str) -> TileLines:
    """Where the tiles of this spec's decoding meet, asked of the VAE itself."""
    vae = MODELS.part("vae", spec, device)
    size = spec.resolution
    rows, columns = tiles.layout(spec.optimization.vae_tiling, size.height, size.width, grid_of(vae)).lines
    return TileLines(rows=rows, columns=columns)


def _first_frame(spec: RunSpec) -> Any:
    """The first frame of image-to-video as a picture; None for text-to-video."""
    if spec.prompt.image is None:
        return None
    from PIL import Image

    with Image.open(spec.prompt.image) as picture:
        return picture.convert("RGB")
