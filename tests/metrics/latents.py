"""Latents of rendered scenes, decoded whole and in tiles: python -m tests.metrics.latents [SCENES]

The scenes are encoded by the embedded VAE. Each is decoded whole, with diffusers' default tiles, and whole
once more from latents that were rounded to half precision (two decodings that may differ by rounding only).
Faults put into the latents are a denoiser's faults: both decodings have them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from cogexp.engine.decode import decode_stream
from cogexp.engine.optimize import set_tiling
from cogexp.metrics.artifacts.attribution import Attribution, attribute
from cogexp.metrics.evaluate import auc
from cogexp.nano.weights import components
from cogexp.nano.world import render, sample_scene

Tensor = torch.Tensor
SIZES = ((512, 288), (384, 256), (640, 384))
FRAMES = 5


@dataclass(frozen=True, kw_only=True)
class Verdicts:
    """Of one scene: tiled against whole and whole against whole; with faults in the latents the same two."""

    tiled: Attribution
    whole: Attribution
    faults: dict[str, Attribution]
    tiled_faults: dict[str, Attribution]


@lru_cache(maxsize=1)
def vae() -> Any:
    return components(["vae"])["vae"].eval()


@torch.inference_mode()
def encoded(width: int, height: int, frames: int, seed: int) -> Tensor:
    """(1, t, c, h/8, w/8) scaled latents of a rendered scene."""
    scene = sample_scene(np.random.default_rng(seed))
    clip = render(scene, width=width, height=height, frames=frames, seed=seed, entropy=1.0)
    pixels = torch.from_numpy(clip).permute(3, 0, 1, 2)[None].float() / 127.5 - 1
    set_tiling(vae(), False)
    mode = vae().encode(pixels).latent_dist.mode()
    return mode.permute(0, 2, 1, 3, 4) * vae().config.scaling_factor


def decoded(latents: Tensor, tiling: bool) -> np.ndarray:
    """(t, h, w, 3) uint8."""
    set_tiling(vae(), tiling)
    return np.concatenate(list(decode_stream(vae(), latents, tiling=tiling, lean=True)))


def sheared(latents: Tensor) -> Tensor:
    """The lowest quarter of the rows lies three latent columns (24 px) to the right."""
    first = latents.shape[3] * 3 // 4
    out = latents.clone()
    out[:, :, :, first:] = torch.roll(latents[:, :, :, first:], 3, dims=4)
    return out


def noisy(latents: Tensor) -> Tensor:
    """Noise of twice the latents' spread in the lowest eighth of the rows."""
    first = latents.shape[3] * 7 // 8
    out = latents.clone()
    noise = torch.randn(out[:, :, :, first:].shape, generator=torch.Generator().manual_seed(0))
    out[:, :, :, first:] += 2 * latents.std() * noise
    return out


def smeared(latents: Tensor) -> Tensor:
    """The lowest sixth of the rows repeat one row."""
    first = latents.shape[3] * 5 // 6
    out = latents.clone()
    out[:, :, :, first:] = latents[:, :, :, first : first + 1]
    return out


def repeated(latents: Tensor) -> Tensor:
    """The lowest sixth of the rows are those above it once more."""
    first = latents.shape[3] * 5 // 6
    out, rows = latents.clone(), latents.shape[3] - first
    out[:, :, :, first:] = latents[:, :, :, first - rows : first]
    return out


FAULTS: dict[str, Callable[[Tensor], Tensor]] = {
    "shear": sheared,
    "noise": noisy,
    "smear": smeared,
    "repeat": repeated,
}


def verdicts(
    width: int, height: int, frames: int, seed: int, faults: Iterable[str] = tuple(FAULTS)
) -> Verdicts:
    latents = encoded(width, height, frames, seed)
    put = {name: both(FAULTS[name](latents)) for name in faults}
    tiled, whole = both(latents)
    return Verdicts(
        tiled=tiled,
        whole=whole,
        faults={name: pair[1] for name, pair in put.items()},
        tiled_faults={name: pair[0] for name, pair in put.items()},
    )


def both(latents: Tensor) -> tuple[Attribution, Attribution]:
    """Tiled against whole, and whole against whole from latents rounded to half precision."""
    whole, plain = decoded(latents, False), latents[0].numpy()
    rounded = decoded(latents.half().float(), False)
    return attribute(decoded(latents, True), whole, latents=plain), attribute(rounded, whole, latents=plain)


def main(scenes: int) -> None:
    for width, height in SIZES:
        found = [verdicts(width, height, FRAMES, seed) for seed in range(scenes)]
        area = auc([v.tiled.score for v in found], [v.whole.score for v in found])
        named = np.mean([v.tiled.cause == "decoder" for v in found])
        print(f"{width}x{height}: AUC of the score {area:.3f}, tiled named decoder {named:.0%}", flush=True)
        for name in FAULTS:
            for how, causes in (
                ("whole", [v.faults[name].cause for v in found]),
                ("tiled", [v.tiled_faults[name].cause for v in found]),
            ):
                shares = {cause: f"{causes.count(cause) / len(causes):.0%}" for cause in sorted(set(causes))}
                print(f"  {name} in the latents, decoded {how}: {shares}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10)
