"""Did the VAE's tiles tear this run's clip? One latent frame is decoded both ways and compared.

A blend over 40 rows hides a seam from every blind detector, but the runner has the latents: what the tiles
change in one frame is what they change in the clip. It costs two frames of decoding, and less memory than the
tiles themselves, each of which goes through a group of frames at a time.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cogexp.attempt import Attempt
from cogexp.engine import generate
from cogexp.metrics.artifacts.attribution import tile_seams
from cogexp.metrics.artifacts.detect import Tiles
from cogexp.metrics.artifacts.evidence import Finding
from cogexp.spec import RunSpec
from cogexp.store import Keys, Store
from cogexp.tiles import layout

GROUP = 8  # frames that a tile goes through at a time: a whole frame of so many tiles needs no more memory


def check(attempt: Attempt, store: Store) -> dict[str, Finding]:
    """Detector -> what the run's default tiles changed; nothing for a clip that was decoded otherwise.

    Where it cannot be told (the latents are not kept, the frame is very large) that is noted.
    """
    spec = attempt.spec
    if spec.optimization.vae_tiling is not True:
        return {}
    laid = layout(True, spec.resolution.height, spec.resolution.width)
    if not laid.tiled:
        return {}
    kept = store.load("denoise", Keys.of(spec).denoise, spec)
    if kept is None:
        return _unknown(attempt, "the latents are not kept (store_gb=0)")
    if spec.resolution.height * spec.resolution.width > GROUP * laid.tile_pixels:
        return _unknown(attempt, "a whole frame may need more memory than the tiles")
    latents = kept[0]["latents"]
    middle = latents.shape[1] // 2
    tiled, whole = (
        one_frame(spec, latents[:, middle : middle + 1], attempt.device, tiling) for tiling in (True, False)
    )
    rows, columns = laid.lines
    return tile_seams(tiled, whole, Tiles(rows=rows, columns=columns))


def one_frame(spec: RunSpec, latent: object, device: str, tiling: bool) -> np.ndarray:
    """(1, 1, c, h, w) -> (1, H, W, 3) uint8, with default tiles or whole."""
    flags = replace(spec.optimization, vae_tiling=tiling, lean_vae=spec.optimization.lean_vae or not tiling)
    alone = replace(spec, resolution=replace(spec.resolution, frames=1), optimization=flags)
    return np.concatenate(list(generate.decode(alone, latent, device)))


def _unknown(attempt: Attempt, reason: str) -> dict[str, Finding]:
    attempt.resolved["artifacts.tiles"] = f"whether the VAE's tiles tore the clip was not checked: {reason}"
    return {}
