"""Tiles of full size on the embedded VAE, with latents of rendered clips: no band that stands out.

Deviation: mean |tiled - whole| of a band of 48 rows; at 512x288 the last band is what default tiling decodes
from a thin tile of its own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from cogexp.engine.decode import decode_stream
from cogexp.nano import weights
from cogexp.nano.world import Scene, render

BAND = 48
SCENES = (
    (Scene(count="two"), 0),
    (Scene(animal="fox", place="beach", colour="red", time="sunset"), 3),
)


def latents_of(vae: Any, scene: Scene, seed: int) -> torch.Tensor:
    """Of one frame, (1, 1, 16, 36, 64), scaled as a denoiser leaves them."""
    clip = render(scene, width=512, height=288, frames=1, seed=seed)
    pixels = torch.from_numpy(clip).permute(3, 0, 1, 2)[None].float() / 127.5 - 1
    with torch.no_grad():
        z = vae.encode(pixels).latent_dist.mode()
    return z.permute(0, 2, 1, 3, 4) * vae.config.scaling_factor


def decoded(vae: Any, latents: torch.Tensor, tiling: bool | str) -> np.ndarray:
    return np.concatenate(list(decode_stream(vae, latents, tiling=tiling, lean=True))).astype(float)


def bands(made: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Mean |difference| of each band of rows, in levels."""
    rows: np.ndarray = np.abs(made - whole).mean(axis=(0, 2, 3))
    return rows.reshape(-1, BAND).mean(axis=1)


@pytest.mark.skipif(not weights.weight_file("vae").is_file(), reason="the embedded VAE is not trained")
def test_the_bottom_of_the_frame_is_like_the_rest() -> None:
    vae = weights.load_part("vae")
    found = {kind: np.zeros(288 // BAND) for kind in ("edge", True)}
    for scene, seed in SCENES:
        latents = latents_of(vae, scene, seed)
        whole = decoded(vae, latents, False)
        for kind in found:
            found[kind] += bands(decoded(vae, latents, kind), whole)
    edge, default = (found[kind][-1] / np.median(found[kind]) for kind in ("edge", True))
    # 1.4 to 1.8 on the shipped VAE, whose group norms lean on the sky that the lower tile does not see: less
    # than a level of 255, and a third to a half of what default tiles leave.
    assert edge <= 1.9
    assert default > 1.6 * edge, "default tiles leave a band"
    assert found["edge"].max() / len(SCENES) < 1.2
    assert found["edge"].max() < found[True][-1]
