"""Tiles of full size on the embedded VAE, with latents of rendered clips and of a denoised one: no band of
rows that stands out, and no band of columns at the edge instead.

Deviation: mean |tiled - whole| of a band, in levels of 255, over the median band of the frame. At 512x288 the
last 48 rows are what default tiling decodes from a thin tile of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from cogexp.build import build
from cogexp.engine import generate
from cogexp.engine.decode import decode_stream
from cogexp.engine.models import MODELS
from cogexp.nano import weights
from cogexp.nano.world import Scene, render

ROWS, COLUMNS = 48, 64  # px of a band
SCENES = {
    "two wolves in a meadow": (Scene(count="two"), 0),
    "a fox on a beach": (Scene(animal="fox", place="beach", colour="red", time="sunset"), 3),
}
DENOISED = "wolves in the snow, denoised"


@dataclass(frozen=True, kw_only=True)
class Deviation:
    """Of one frame decoded in tiles from the same decoded whole."""

    by_row: np.ndarray
    by_column: np.ndarray

    @property
    def bottom(self) -> float:
        """The last rows over the median band of rows."""
        return float(self.by_row[-1] / np.median(self.by_row))

    @property
    def right(self) -> float:
        """The last columns over the median band of columns."""
        return float(self.by_column[-1] / np.median(self.by_column))


@pytest.fixture(scope="module")
def vae() -> Any:
    return weights.load_part("vae")


@pytest.fixture(scope="module")
def latents(vae: Any) -> Iterator[dict[str, torch.Tensor]]:
    """Of one frame each, (1, 1, 16, 36, 64), as a denoiser leaves them."""
    made = {name: encoded(vae, scene, seed) for name, (scene, seed) in SCENES.items()}
    spec = build(
        {
            "model": {"name": "nano"},
            "device": "cpu",
            "sampler": {"steps": 8},
            "prompt": {"text": "two gray wolves running through a snowy forest"},
        }
    ).spec
    assert spec.resolution.name == "512x288"
    embeddings = generate.encode(spec, "cpu")
    made[DENOISED] = generate.denoise(spec, embeddings, "cpu", lambda done, total: None)[:, :1]
    yield made
    MODELS.free()


def encoded(vae: Any, scene: Scene, seed: int) -> torch.Tensor:
    clip = render(scene, width=512, height=288, frames=1, seed=seed)
    pixels = torch.from_numpy(clip).permute(3, 0, 1, 2)[None].float() / 127.5 - 1
    with torch.no_grad():
        z = vae.encode(pixels).latent_dist.mode()
    return z.permute(0, 2, 1, 3, 4) * vae.config.scaling_factor


def decoded(vae: Any, z: torch.Tensor, tiling: bool | str) -> np.ndarray:
    return np.concatenate(list(decode_stream(vae, z, tiling=tiling, lean=True))).astype(float)


def deviation(made: np.ndarray, whole: np.ndarray) -> Deviation:
    off = np.abs(made - whole).mean(axis=(0, 3))
    return Deviation(
        by_row=off.mean(axis=1).reshape(-1, ROWS).mean(axis=1),
        by_column=off.mean(axis=0).reshape(-1, COLUMNS).mean(axis=1),
    )


@pytest.mark.parametrize("name", [*SCENES, DENOISED])
def test_the_bottom_and_the_right_of_the_frame_are_like_the_rest(
    name: str, vae: Any, latents: dict[str, torch.Tensor]
) -> None:
    whole = decoded(vae, latents[name], False)
    edge, default = (deviation(decoded(vae, latents[name], kind), whole) for kind in ("edge", True))
    assert edge.bottom <= 1.2
    assert edge.right <= 1.2
    assert default.bottom > (5 if name == DENOISED else 2), "what is measured is there"
    assert edge.by_row.mean() < default.by_row.mean()
    assert edge.by_row.max() < default.by_row.max()
    assert edge.by_column.max() < default.by_column.max()
