"""One clip made while its model is watched: what every layer held, small enough to draw and keep."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cogexp.inspect.attention import indicators
from cogexp.inspect.effects import word_effects
from cogexp.inspect.influence import encoded_without, influence
from cogexp.inspect.reduce import Maps
from cogexp.inspect.seen import Activations, TextLayer
from cogexp.inspect.sources import PipelineSource, Source
from cogexp.inspect.watch import Passes, text_layer_names, text_layers, transformer_blocks, vae_layers
from cogexp.inspect.words import Prompt, read_prompt
from cogexp.terminal import Progress, Silent

WIDEST = 224  # px of a VAE layer's map
CHANNELS = 8  # maps shown of a VAE layer
BLOCKS = 8  # transformer blocks watched unless others are asked for
STEPS = 3
VIDEO_FRAMES = 9  # one group of the VAE's encoder: 1 + 8 frames


def activations(
    pipeline: Any,
    prompt: str,
    *,
    layers: Sequence[int] | None = None,
    steps: Sequence[int] | None = None,
    negative_prompt: str = "",
    height: int,
    width: int,
    num_frames: int,
    num_inference_steps: int = 50,
    guidance_scale: float = 6.0,
    seed: int = 0,
    video: np.ndarray | None = None,
    effects: bool = False,
    **call: Any,
) -> Activations:
    """Make one clip with a CogVideoX pipeline of diffusers and keep what its layers held.

    Args:
        layers: transformer blocks to watch, from 0; at most eight, evenly spaced, unless given. Layers of the
            text encoder and the VAE are all watched.
        steps: denoising steps to watch, from 0; first, middle and last unless given.
        video: (n, H, W, 3) uint8 that the VAE's encoder is shown instead of the clip.
        effects: repeat the middle one of the watched steps without each word of the prompt in turn.
        call: more of the pipeline's own arguments, such as image or use_dynamic_cfg.

    Raises:
        ValueError: a block or step that there is not.
    """
    source = PipelineSource(
        pipeline=pipeline,
        prompt=prompt,
        negative=negative_prompt,
        size=(height, width),
        frames=num_frames,
        steps=num_inference_steps,
        guidance=guidance_scale,
        seed=seed,
        call=call,
    )
    return observe(source, layers=layers, steps=steps, video=video, effects=effects)


def observe(
    source: Source,
    *,
    layers: Sequence[int] | None = None,
    steps: Sequence[int] | None = None,
    video: np.ndarray | None = None,
    effects: bool = False,
    progress: Progress | None = None,
) -> Activations:
    """Run encode, denoise, decode and the VAE's encoder under watch; see `activations`."""
    progress = progress or Silent()
    with source.parts("transformer") as (transformer,):
        config, total = transformer.config, len(transformer.transformer_blocks)
    blocks = _chosen("layers", layers, total, BLOCKS)
    chosen = _chosen("steps", steps, source.steps, STEPS)
    middle = chosen[len(chosen) // 2]
    with progress.stage("encode", None):
        prompt, text, embeddings, variants = _text(source)
        shares = influence(embeddings["prompt"], variants, prompt.words)
    with progress.stage("denoise", source.steps) as advance, source.parts("transformer") as (transformer,):
        watching = transformer_blocks(
            transformer,
            prompt=embeddings["prompt"],
            weights=attention_weights(prompt, shares),
            blocks=blocks,
            steps=chosen,
            keep=(middle,) if effects else (),
        )
        with watching as passes:
            latents = source.denoise(embeddings, lambda done, _: advance(done))
    missing = [(step, block) for step in chosen for block in blocks if (step, block) not in passes.attention]
    if missing:
        raise RuntimeError(
            f"no pass with the prompt was seen at (step, block) {missing[0]}: was the transformer compiled "
            "or its blocks skipped by a cache?"
        )
    changes = _effects(source, variants, passes, middle, progress) if effects else None
    with (
        progress.stage("decode", None),
        source.parts("vae") as (vae,),
        vae_layers(vae.decoder, widest=WIDEST, count=CHANNELS) as decoder,
    ):
        frames = source.decode(latents)
    with progress.stage("encode video", None):
        shown = fitted(frames if video is None else video, source.size)
        encoder = _encoder(source, shown)
    return Activations(
        prompt=prompt,
        text=text,
        passes=passes,
        blocks=blocks,
        all_blocks=total,
        steps=chosen,
        all_steps=source.steps,
        decoder=decoder,
        encoder=encoder,
        frames=frames,
        video=shown,
        latent_frames=(len(frames) - 1) // 4 + 1,
        patch_t=config.patch_size_t or 1,
        influence=shares.numpy(),
        effects=changes,
        effect_step=middle,
    )


def attention_weights(prompt: Prompt, shares: Tensor) -> Tensor:
    """(L, columns) of `attention_columns`, then what each word wrote into all tokens."""
    return torch.cat([indicators(attention_columns(prompt), prompt.length), shares.T], dim=1)


def attention_columns(prompt: Prompt) -> list[list[int]]:
    """The groups of text tokens that attention is summed over: words, other tokens, padding."""
    words = [list(word.tokens) for word in prompt.words]
    of_words = {index for group in words for index in group}
    rest = [index for index in range(len(prompt.tokens)) if index not in of_words]
    return [*words, rest, list(range(len(prompt.tokens), prompt.length))]


def _chosen(name: str, asked: Sequence[int] | None, total: int, default: int) -> tuple[int, ...]:
    if asked is None:
        return tuple(dict.fromkeys(round(at) for at in np.linspace(0, total - 1, min(default, total))))
    if wrong := [index for index in asked if not 0 <= index < total]:
        raise ValueError(f"{name} must lie in 0..{total - 1}, got {wrong[0]}")
    return tuple(sorted(set(asked)))


def _text(source: Source) -> tuple[Prompt, tuple[TextLayer, ...], dict[str, Tensor], list[Tensor]]:
    """The prompt's tokens, what every layer made of them, the embeddings, and those without each word."""
    with source.parts("tokenizer", "text_encoder") as (tokenizer, encoder):
        prompt = read_prompt(tokenizer, source.prompt, source.text_length)
        shown = min(len(prompt.tokens) + 1, source.text_length)
        names, kept = text_layer_names(encoder), {}

        def seen(layer: int, call: int, states: Tensor) -> None:
            if call == 0:  # the prompt comes first, the negative prompt after it
                kept[layer] = states[0, :shown].float().cpu().numpy()

        with text_layers(encoder, seen):
            embeddings = source.encode()
    with source.parts("tokenizer", "text_encoder") as (tokenizer, encoder):  # encoding may have moved them
        variants = encoded_without(tokenizer, encoder, prompt)
    layers = tuple(TextLayer(name=names[i], states=kept[i]) for i in sorted(kept))
    return prompt, layers, embeddings, variants


def _effects(
    source: Source, variants: Sequence[Tensor], passes: Passes, step: int, progress: Progress
) -> np.ndarray:
    """(words, f, h, w) of one step; its inputs are let go afterwards."""
    with progress.stage("leave out words", None), source.parts("transformer") as (transformer,):
        return word_effects(transformer, passes.inputs.pop(step), variants, passes.grid)


@torch.no_grad()
def _encoder(source: Source, frames: np.ndarray) -> dict[str, Maps]:
    """The VAE's encoder on (n, H, W, 3) uint8."""
    with source.parts("vae") as (vae,):
        clip = torch.from_numpy(frames).to(source.device).permute(3, 0, 1, 2)[None]
        with vae_layers(vae.encoder, widest=WIDEST, count=CHANNELS) as found:
            vae.encode((clip.to(vae.dtype) / 127.5 - 1).contiguous())
    return found


def fitted(frames: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """One group of frames (9, or 1 of a shorter clip) at height x width: scaled to cover it, then cut."""
    from PIL import Image

    height, width = size
    some = frames[: VIDEO_FRAMES if len(frames) >= VIDEO_FRAMES else 1]
    if some.shape[1:3] == size:
        return some
    scale = max(height / some.shape[1], width / some.shape[2])
    wide, high = max(width, round(some.shape[2] * scale)), max(height, round(some.shape[1] * scale))
    left, top = (wide - width) // 2, (high - height) // 2
    large = [
        np.asarray(Image.fromarray(frame).resize((wide, high), Image.Resampling.LANCZOS)) for frame in some
    ]
    return np.stack(large)[:, top : top + height, left : left + width]
