"""Training the VAE: L1 + MSE + a little KL on crops, single frames first; then the latents' scale.

Pixels: (b, 3, t, h, w) in [-1, 1].
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from cogexp.nano import arch
from cogexp.nano.initialize import init_vae_for_training
from cogexp.nano.training.lean import lean
from cogexp.nano.training.loop import generator
from cogexp.nano.training.orders import LATENT_FRAME_OF, STRIDE, Batch, Order, render_order
from cogexp.nano.training.plans import NATIVE, Plan, look_at

KL_WEIGHT = 1e-4
# A cartoon's charm is in its edges: differences of neighbouring pixels are matched as well.
EDGE_WEIGHT = 0.1
# The figure to reach is PSNR, so squared errors lead; absolute ones keep flat areas clean.
MSE_WEIGHT, L1_WEIGHT = 4.0, 0.5
# A pixel that animals cover counts so many times more (whole pictures only): they are a tenth of a picture,
# all that moves by itself, and what people look at.
ANIMALS_COUNT = 7.0


def to_pixels(clips: NDArray[np.uint8], device: torch.device) -> torch.Tensor:
    """uint8 (b, t, h, w, 3) -> float32 (b, 3, t, h, w) in [-1, 1]."""
    tensor = torch.from_numpy(np.ascontiguousarray(clips)).to(device)
    return tensor.permute(0, 4, 1, 2, 3).float().div_(127.5).sub_(1.0)


def psnr_db(a: torch.Tensor, b: torch.Tensor) -> float:
    """Peak signal-to-noise ratio in dB of pictures in [-1, 1] (peak 2), clamped to the range first."""
    error = F.mse_loss(a.float().clamp(-1, 1), b.float().clamp(-1, 1)).item()
    return float(10 * np.log10(4.0 / max(error, 1e-12)))


class VaeTask:
    """See loop.Task."""

    name = "vae"
    weight_decay = 1e-4
    edges: tuple[str, ...] = ("encoder.conv_in", "conv_out", "conv_y", "conv_b")

    def __init__(self, plan: Plan, seed: int, device: torch.device) -> None:
        self.plan, self.seed, self.device = plan, seed, device
        self.schedule = plan.vae
        vae = arch.build(seed, ["vae"])["vae"]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            init_vae_for_training(vae)
        self.modules: dict[str, nn.Module] = {"vae": lean(vae)}

    def order(self, step: int, share: float) -> Order:
        """Clips at one of the look's sizes; one frame of each where one is enough."""
        look = look_at(self.plan.vae_looks, share)
        rng = np.random.default_rng([self.seed, step, 10])
        width, height = look.sizes[int(rng.integers(len(look.sizes)))]
        return Order(
            seed=self.seed * 10_000_019 + step,
            clips=look.clips(width, height),
            width=width,
            height=height,
            entropy=self.plan.entropy,
            random_frame=look.crop[0] == 1,
            crop=look.crop[1:],
            cuts=look.cuts,
            split="any",
            animals=look.crop == (0, 0, 0),
        )

    def loss(self, step: int, batch: Batch) -> dict[str, torch.Tensor]:
        """Reconstruction of what the order shows."""
        noise = generator(self.device, self.seed, step)
        pixels = to_pixels(batch.pixels, self.device)
        vae: Any = self.modules["vae"]
        latents = vae.encode(pixels).latent_dist
        picture = vae.decode(latents.sample(noise)).sample.float()
        error = picture - pixels
        mse, weight = error.square().mean(), self._weight(batch)
        l1, squares = (weight * error.abs()).mean(), (weight * error.square()).mean()
        edges = F.l1_loss(picture.diff(dim=-1), pixels.diff(dim=-1)) + F.l1_loss(
            picture.diff(dim=-2), pixels.diff(dim=-2)
        )
        kl = 0.5 * (latents.mean.float().square() + latents.var.float() - 1 - latents.logvar.float()).mean()
        loss = MSE_WEIGHT * squares + L1_WEIGHT * l1 + EDGE_WEIGHT * edges + KL_WEIGHT * kl
        return {"loss": loss, "mse": mse, "kl": kl}

    def _weight(self, batch: Batch) -> torch.Tensor | float:
        """(b, 1, t, h, w): more where animals are, when the order asked for them; else 1."""
        if batch.animals is None:
            return 1.0
        there = torch.from_numpy(batch.animals).to(self.device).float()[:, None] / 255
        there = there.repeat_interleave(STRIDE, -1).repeat_interleave(STRIDE, -2)
        return 1 + ANIMALS_COUNT * there[:, :, list(LATENT_FRAME_OF)]

    def evaluate(self) -> dict[str, float]:
        """Mean PSNR (dB) over held-out native clips, from the latents' means."""
        vae: Any = self.modules["vae"]
        scores = []
        for index in range(self.plan.held_out_clips):
            pixels = to_pixels(_held_out(index, self.plan).pixels, self.device)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
                picture = vae.decode(vae.encode(pixels).latent_dist.mode()).sample
            scores.append(psnr_db(picture, pixels))
        return {"psnr_db": float(np.mean(scores)), "worst_psnr_db": float(np.min(scores))}


def _held_out(index: int, plan: Plan) -> Batch:
    width, height = NATIVE if plan.held_out_clips > 2 else (96, 64)
    return render_order(
        Order(
            seed=900_000_000 + index,
            clips=1,
            width=width,
            height=height,
            entropy=plan.entropy,
            split="heldout",
        )
    )


@torch.no_grad()
def scaling_factor(vae: Any, plan: Plan, device: torch.device, clips: int = 16) -> float:
    """1 / standard deviation of the latents over training clips: gives the denoiser unit variance."""
    total, squares, count = 0.0, 0.0, 0
    width, height = NATIVE if plan.held_out_clips > 2 else (96, 64)
    for index in range(min(clips, 4 * plan.held_out_clips)):
        order = Order(seed=800_000_000 + index, clips=1, width=width, height=height, entropy=plan.entropy)
        mean = vae.encode(to_pixels(render_order(order).pixels, device)).latent_dist.mean.double()
        total, squares, count = (
            total + mean.sum().item(),
            squares + mean.square().sum().item(),
            count + mean.numel(),
        )
    return float(1.0 / np.sqrt(squares / count - (total / count) ** 2))
