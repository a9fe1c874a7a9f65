"""Training the denoiser and its text encoder together: v-prediction on latents of fresh renders.

Latents: (b, f, 16, h/8, w/8), scaled to unit variance.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from cogexp.nano import arch
from cogexp.nano.clip import tokens
from cogexp.nano.initialize import init_transformer_for_training
from cogexp.nano.training.lean import lean
from cogexp.nano.training.loop import generator
from cogexp.nano.training.orders import STRIDE, Batch, Order, Piece, render_order
from cogexp.nano.training.plans import HALF, LARGE, MEDIUM, NATIVE, Plan, look_at
from cogexp.nano.training.vae import to_pixels
from cogexp.nano.training.warm import name_attributes

# How often a caption is left out, so that guidance has something to push away from.
CAPTION_DROP = 0.1
# A latent covered by an animal counts so many times more than one of the land (kept latents only): animals
# fill a tenth of a picture and are most of what a prompt asks for. Each place's minimum stays where it was.
_ANIMALS_COUNT = 9.0
# Sizes that are seen now and then: compiling for one more shape takes longer than it saves.
_NOT_COMPILED = (MEDIUM, LARGE)
# Clips encoded at once: a GPU waits for every call, a CPU for memory.
_ENCODE_CHUNK = {"cuda": 16, "cpu": 4}


@lru_cache(maxsize=16)
def rotary(height: int, width: int, frames: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Rotary positions of a latent of (frames, height, width), exactly as the pipeline makes them."""
    from diffusers.models.embeddings import get_3d_rotary_pos_embed
    from diffusers.pipelines.cogvideo.pipeline_cogvideox import get_resize_crop_region_for_grid

    config = arch.NANO_CONFIG["transformer"]
    patch = config["patch_size"]
    grid = (height // patch, width // patch)
    crops = get_resize_crop_region_for_grid(
        grid, config["sample_width"] // patch, config["sample_height"] // patch
    )
    cos, sin = get_3d_rotary_pos_embed(
        embed_dim=config["attention_head_dim"],
        crops_coords=crops,
        grid_size=grid,
        temporal_size=frames,
        device=device,
    )
    return cos, sin


def window_rotary(piece: Piece, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """The rotary positions that the window's tokens have in the whole picture."""
    patch = arch.NANO_CONFIG["transformer"]["patch_size"]
    frames, height, width = piece.whole
    moments = slice(piece.at[0], piece.at[0] + piece.latents.shape[1])
    rows = slice(piece.at[1] // patch, (piece.at[1] + piece.latents.shape[3]) // patch)
    columns = slice(piece.at[2] // patch, (piece.at[2] + piece.latents.shape[4]) // patch)
    cos, sin = (
        table.view(frames, height // patch, width // patch, -1)[moments, rows, columns].flatten(0, 2)
        for table in rotary(height, width, frames, device)
    )
    return cos, sin


@torch.no_grad()
def encode(vae: Any, clips: np.ndarray, device: torch.device) -> torch.Tensor:
    """uint8 (b, t, h, w, 3) -> scaled latents float32 (b, f, 16, h/8, w/8): means, without sampling noise."""
    parts, chunk = [], _ENCODE_CHUNK.get(device.type, 4)
    for start in range(0, len(clips), chunk):
        pixels = to_pixels(clips[start : start + chunk], device)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            parts.append(vae.encode(pixels).latent_dist.mean.float())
    return torch.cat(parts).permute(0, 2, 1, 3, 4) * vae.config.scaling_factor


def noised(
    latents: torch.Tensor, eps: torch.Tensor, signal: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """(noisy latents, velocity) for signal = cumulative alpha a (b,): v = sqrt(a) eps - sqrt(1 - a) x.

    Salimans & Ho 2022, appendix D.
    """
    a = signal.view(-1, 1, 1, 1, 1)
    return a.sqrt() * latents + (1 - a).sqrt() * eps, a.sqrt() * eps - (1 - a).sqrt() * latents


def _unique_tokens(texts: list[str], device: torch.device) -> torch.Tensor:
    """Token ids (b, 48) of texts, each of which is tokenized once."""
    unique = list(dict.fromkeys(texts))
    row = {text: index for index, text in enumerate(unique)}
    ids = tokens(unique)["input_ids"]
    return ids[[row[text] for text in texts]].to(device, non_blocking=True)


class DitTask:
    """See loop.Task. `vae` must be trained, with its scaling factor."""

    name = "dit"
    weight_decay = 0.01
    edges: tuple[str, ...] = ("shared", "embed", "bias", "proj_out", "norm")

    def __init__(self, plan: Plan, seed: int, device: torch.device, vae: Any) -> None:
        self.plan, self.seed, self.device = plan, seed, device
        self.schedule = plan.dit
        # Step -> the lowest time it draws; orders are made some steps ahead.
        self.lowest: dict[int, int] = {}
        self._encoded_once: dict[str, tuple[tuple[str, ...], Piece]] = {}
        self.vae = lean(vae).to(device).eval().requires_grad_(False)
        built = arch.build(seed, ["transformer", "text_encoder", "scheduler"])
        init_transformer_for_training(built["transformer"])
        self.modules: dict[str, nn.Module] = {k: built[k] for k in ("transformer", "text_encoder")}
        self.signal = built["scheduler"].alphas_cumprod.to(device, torch.float32)

    def begin(self) -> None:
        """Before the first step of a training from nothing: the text encoder's first lesson."""
        name_attributes(self.modules["text_encoder"].to(self.device), self.plan.text_steps, self.seed)

    def order(self, step: int, share: float) -> Order:
        """Clips at one of the look's sizes, whole or in windows of their latents.

        Clips that are rendered for each step (a plan without `kept`) are always whole.
        """
        look = look_at(self.plan.dit_looks, share)
        self.lowest[step] = next(time for until, time in self.plan.dit_lowest if share <= until)
        rng = np.random.default_rng([self.seed, step, 20])
        width, height = look.sizes[int(rng.integers(len(look.sizes)))]
        return Order(
            seed=self.seed * 10_000_019 + 9_000_000_000 + step,
            clips=look.clips(width, height),
            width=width,
            height=height,
            entropy=self.plan.entropy,
            crop=look.crop[1:],
            cuts=look.cuts,
            moments=look.crop[0],
        )

    def encode(self, clips: np.ndarray) -> torch.Tensor:
        """`encode` by the task's own VAE."""
        return encode(self.vae, clips, self.device)

    def compile(self) -> None:
        """Compile the blocks: 1.4 times the tokens a second on a CPU, after a minute."""
        for block in self.modules["transformer"].transformer_blocks:
            block.compile(dynamic=False)

    def loss(self, step: int, batch: Batch) -> dict[str, torch.Tensor]:
        """Mean squared error of the predicted velocity, every clip under several noises."""
        noise = generator(self.device, self.seed, step)
        rng = np.random.default_rng([self.seed, step, 21])
        repeats = self.plan.dit_noises
        times = self._times(len(batch.captions) * repeats, self.lowest.pop(step, 0), noise)
        errors, begin = [], 0
        for piece in batch.pieces or (self._encoded(batch),):
            end = begin + len(piece.latents)
            texts = [
                "" if rng.random() < CAPTION_DROP else text
                for _ in range(repeats)
                for text in batch.captions[begin:end]
            ]
            errors.append(self._error(piece, texts, times[begin * repeats : end * repeats], noise))
            begin = end
        error = torch.cat(errors)
        # By weights, not by indexing: a GPU would have to stop and count.
        late = (times >= len(self.signal) // 2).float()
        return {"loss": error.mean(), "late": (error * late).sum() / late.sum().clamp(min=1)}

    def _times(self, number: int, lowest: int, noise: torch.Generator) -> torch.Tensor:
        """One time from each of `number` equal intervals of lowest..999, in random order.

        Less variance than free draws.
        """
        places = torch.randperm(number, generator=noise, device=self.device)
        places = places + torch.rand(number, generator=noise, device=self.device)
        span = len(self.signal) - lowest
        return (lowest + places / number * span).long().clamp(max=len(self.signal) - 1)

    def _encoded(self, batch: Batch) -> Piece:
        """Rendered clips as a piece, whole and weighted alike."""
        latents = self.encode(batch.pixels)
        whole = (latents.shape[1], latents.shape[3], latents.shape[4])
        return Piece(latents=latents, animals=torch.zeros_like(latents[:, :, 0]), at=(0, 0, 0), whole=whole)

    def _error(
        self,
        piece: Piece,
        texts: list[str],
        times: torch.Tensor,
        noise: torch.Generator,
        *,
        eager: bool = False,
    ) -> torch.Tensor:
        """(b,) mean squared error of the predicted velocity; latents of animals count more."""
        repeats = len(texts) // len(piece.latents)
        latents = piece.latents.to(self.device).repeat(repeats, 1, 1, 1, 1)
        weight = 1 + _ANIMALS_COUNT * piece.animals.to(self.device).repeat(repeats, 1, 1, 1)
        eps = torch.randn(latents.shape, generator=noise, device=self.device)
        noisy, velocity = noised(latents, eps, self.signal[times])
        text_encoder, transformer = self.modules["text_encoder"], self.modules["transformer"]
        # No mask: the pipeline gives none either.
        hidden = text_encoder(_unique_tokens(texts, self.device))[0]
        eager = eager or (STRIDE * latents.shape[-1], STRIDE * latents.shape[-2]) in _NOT_COMPILED
        with torch.compiler.set_stance("force_eager" if eager else "default"):
            predicted = transformer(
                hidden_states=noisy,
                encoder_hidden_states=hidden,
                timestep=times,
                image_rotary_emb=window_rotary(piece, self.device),
                return_dict=False,
            )[0]
        error = F.mse_loss(predicted.float(), velocity, reduction="none").mean(dim=2)
        return (error * weight).mean(dim=(1, 2, 3)) / weight.mean()

    def evaluate(self) -> dict[str, float]:
        """Velocity error on held-out clips, at fixed noises and times spread over the schedule."""
        errors: dict[str, float] = {}
        for name in ("half", "native"):
            captions, piece = self._held_out(name)
            times = torch.linspace(30, 970, len(captions), device=self.device).long()
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
                # Not compiled: two more batches would take longer to compile than to compute.
                error = self._error(piece, list(captions), times, generator(self.device, 5), eager=True)
            errors[f"v_mse_{name}"] = error.mean().item()
        return errors

    def _held_out(self, name: str) -> tuple[tuple[str, ...], Piece]:
        """Captions and latents of combinations that are never trained, encoded once."""
        if name not in self._encoded_once:
            number = min(self.plan.held_out_clips, 16)
            width, height = HALF if name == "half" else NATIVE
            if self.plan.held_out_clips <= 2:
                width, height = (64, 64) if name == "half" else (96, 64)
            order = Order(
                seed=930_000_000,
                clips=number,
                width=width,
                height=height,
                entropy=self.plan.entropy,
                split="heldout",
            )
            batch = render_order(order)
            self._encoded_once[name] = (batch.captions, self._encoded(batch))
        return self._encoded_once[name]
