"""Latents of rendered clips, encoded once and kept: on a CPU the encoder costs as much as the denoiser.

One file holds 16 clips of one size: latents fp16 (16, f, 16, h/8, w/8), scaled to unit variance; animals
uint8 (16, f, h/8, w/8), the share of each latent's pixels that animals cover (255: all); the scenes as JSON.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from cogexp.nano.training.loop import Source
from cogexp.nano.training.orders import Batch, Order, Piece
from cogexp.nano.training.ranks import World
from cogexp.nano.training.renderer import Renderer
from cogexp.nano.world import Scene

CLIPS_A_FILE = 16
# Latents along each side of the denoiser's patches.
PATCH = 2


@dataclass(frozen=True)
class Kept:
    """All kept clips of one size: latents fp16 (n, f, 16, h, w), animals fp16 0..1 (n, f, h, w)."""

    latents: torch.Tensor
    animals: torch.Tensor
    scenes: tuple[Scene, ...]

    def __add__(self, other: Kept) -> Kept:
        return Kept(
            torch.cat([self.latents, other.latents]),
            torch.cat([self.animals, other.animals]),
            self.scenes + other.scenes,
        )


def folder_of(folder: Path, size: tuple[int, int]) -> Path:
    """Where the latents of clips of (width, height) lie, in the folder of their VAE."""
    return folder / f"{size[0]}x{size[1]}"


def fill(
    folder: Path,
    size: tuple[int, int],
    clips: int,
    *,
    world: World = World(),  # noqa: B008
    entropy: float,
    seed: int,
    encode: Callable[[NDArray[np.uint8]], torch.Tensor],
    renderer: Source | None = None,
) -> Iterator[int]:
    """Encode until `clips` clips (or the next multiple of 16) are kept; yields their number after each file.

    Of several processes, each makes its share of the files. Files that are there stay.
    encode: uint8 (b, 9, h, w, 3) -> latents (b, 3, 16, h/8, w/8). renderer: none renders in this process.
    """
    place = folder_of(folder, size)
    place.mkdir(parents=True, exist_ok=True)
    mine = range(world.rank, -(-clips // CLIPS_A_FILE), world.size)
    paths = {index: place / f"{index:05d}.safetensors" for index in mine}
    missing = [index for index, path in paths.items() if not path.is_file()]
    orders = {index: _order(seed, index, size, entropy) for index in missing}
    rendered = iter((renderer or Renderer(0)).batches(orders.values()))
    for index, path in paths.items():
        if index in orders:
            _write(path, next(rendered), entropy, encode)
        yield (index + 1) * CLIPS_A_FILE


def _order(seed: int, index: int, size: tuple[int, int], entropy: float) -> Order:
    return Order(
        seed=seed * 10_000_019 + 12_000_000_000 + index,
        clips=CLIPS_A_FILE,
        width=size[0],
        height=size[1],
        entropy=entropy,
        animals=True,
    )


def _write(
    path: Path, batch: Batch, entropy: float, encode: Callable[[NDArray[np.uint8]], torch.Tensor]
) -> None:
    assert batch.animals is not None, "ordered with animals"
    tensors = {
        "latents": encode(batch.pixels).half().cpu().contiguous(),
        "animals": torch.from_numpy(batch.animals),
    }
    notes = {"scenes": json.dumps([asdict(scene) for scene in batch.scenes]), "entropy": f"{entropy:g}"}
    part = path.with_suffix(".part")
    save_file(tensors, part, metadata=notes)
    part.replace(path)


def load(paths: Iterable[Path], device: torch.device | str = "cpu") -> Kept | None:
    """Everything in these files, or None when there are none."""
    latents, animals, scenes = [], [], []
    for path in paths:
        with safe_open(path, framework="pt") as file:
            latents.append(file.get_tensor("latents"))
            animals.append(file.get_tensor("animals"))
            scenes += [Scene(**plain) for plain in json.loads(file.metadata()["scenes"])]
    if not scenes:
        return None
    shares = torch.cat(animals).to(device).half() / 255
    return Kept(torch.cat(latents).to(device), shares, tuple(scenes))


def window(
    kept: Kept, chosen: NDArray[np.int64], crop: tuple[int, int, int], rng: np.random.Generator
) -> Piece:
    """The chosen clips, cut to one random window of `crop` latents (frames, rows, columns), 0 for all.

    Windows begin at even latents, where the denoiser's patches do, and half of them lie in the lower half,
    where animals walk.
    """
    whole = (kept.latents.shape[1], kept.latents.shape[3], kept.latents.shape[4])
    frames, rows, columns = (min(c, all_) if c else all_ for c, all_ in zip(crop, whole, strict=True))
    spare = ((whole[1] - rows) // PATCH, (whole[2] - columns) // PATCH)
    y = PATCH * int(rng.integers(spare[0] // 2 if rng.random() < 0.5 else 0, spare[0] + 1))
    x = PATCH * int(rng.integers(spare[1] + 1))
    t = int(rng.integers(whole[0] - frames + 1))
    index = torch.from_numpy(chosen).to(kept.latents.device)
    return Piece(
        latents=kept.latents[index, t : t + frames, :, y : y + rows, x : x + columns].float(),
        animals=kept.animals[index, t : t + frames, y : y + rows, x : x + columns].float(),
        at=(t, y, x),
        whole=whole,
    )


def digest(vae: nn.Module) -> str:
    """Twelve hex digits of a VAE's weights: another VAE's latents are of no use."""
    code = hashlib.sha256()
    for name, tensor in sorted(vae.state_dict().items()):
        code.update(name.encode())
        code.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return code.hexdigest()[:12]
