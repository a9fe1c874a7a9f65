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
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from cogexp.nano.training import ranks
from cogexp.nano.training.orders import CLIP_FRAMES, Batch, Order, Piece, caption_of, scenes_of
from cogexp.nano.training.ranks import World
from cogexp.nano.world import Scene, Stage

if TYPE_CHECKING:
    from cogexp.nano.training.dit import DitTask

CLIPS_A_FILE = 16
# Pixels a latent stands for along rows and columns, and frames of each latent frame: 1, then 4 at a time.
_STRIDE = 8
_MOMENTS = (slice(0, 1), slice(1, 5), slice(5, 9))
# Latents along each side of the denoiser's patches.
PATCH = 2
# A pixel belongs to an animal (or its shadow) when it differs by more than this without the animals.
_DIFFERENT = 10


@dataclass(frozen=True)
class Kept:
    """All kept clips of one size: latents fp16 (n, f, 16, h, w), animals float 0..1 (n, f, h, w)."""

    latents: torch.Tensor
    animals: torch.Tensor
    scenes: tuple[Scene, ...]


def folder_of(folder: Path, size: tuple[int, int]) -> Path:
    """Where the latents of clips of (width, height) lie, in the folder of their VAE."""
    return folder / f"{size[0]}x{size[1]}"


def render_pair(
    scene: Scene, size: tuple[int, int], layout: int, entropy: float
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A clip uint8 (9, h, w, 3), and where its animals are: uint8 (3, h/8, w/8)."""
    stage = Stage(scene, size[0], size[1], CLIP_FRAMES, layout, entropy)
    clip = np.stack([stage.frame(i) for i in range(CLIP_FRAMES)])
    empty = np.stack([stage.frame(i, with_animals=False) for i in range(CLIP_FRAMES)])
    there = (np.abs(clip.astype(np.int16) - empty).max(-1) > _DIFFERENT).astype(np.float32) * 255
    grid = (size[0] // _STRIDE, size[1] // _STRIDE)
    small = np.stack([cv2.resize(frame, grid, interpolation=cv2.INTER_AREA) for frame in there])
    return clip, np.stack([small[moment].max(0) for moment in _MOMENTS]).round().astype(np.uint8)


def fill(
    folder: Path,
    size: tuple[int, int],
    clips: int,
    *,
    world: World = World(),  # noqa: B008
    entropy: float,
    seed: int,
    encode: Callable[[NDArray[np.uint8]], torch.Tensor],
) -> Iterator[int]:
    """Encode until `clips` clips (or the next multiple of 16) are kept; yields their number after each file.

    Of several processes, each makes its share of the files.
    encode: uint8 (b, 9, h, w, 3) -> latents (b, 3, 16, h/8, w/8). Files that are there stay.
    """
    place = folder_of(folder, size)
    place.mkdir(parents=True, exist_ok=True)
    for index in range(world.rank, -(-clips // CLIPS_A_FILE), world.size):
        path = place / f"{index:05d}.safetensors"
        if not path.is_file():
            order = Order(
                seed=seed * 10_000_019 + 12_000_000_000 + index,
                clips=CLIPS_A_FILE,
                width=size[0],
                height=size[1],
                entropy=entropy,
            )
            _write(path, order, encode)
        yield (index + 1) * CLIPS_A_FILE


def _write(path: Path, order: Order, encode: Callable[[NDArray[np.uint8]], torch.Tensor]) -> None:
    scenes = scenes_of(order)
    rng = np.random.default_rng([order.seed, 4])
    size = (order.width, order.height)
    pairs = [render_pair(scene, size, int(rng.integers(2**31)), order.entropy) for scene in scenes]
    latents = [encode(np.stack([clip for clip, _ in pairs[i : i + 4]])) for i in range(0, len(pairs), 4)]
    tensors = {
        "latents": torch.cat(latents).half().contiguous(),
        "animals": torch.from_numpy(np.stack([animals for _, animals in pairs])),
    }
    notes = {"scenes": json.dumps([asdict(scene) for scene in scenes]), "entropy": f"{order.entropy:g}"}
    part = path.with_suffix(".part")
    save_file(tensors, part, metadata=notes)
    part.replace(path)


def load(folder: Path, size: tuple[int, int]) -> Kept | None:
    """Everything kept for this size, or None when there is nothing."""
    latents, animals, scenes = [], [], []
    for path in sorted(folder_of(folder, size).glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            latents.append(file.get_tensor("latents"))
            animals.append(file.get_tensor("animals"))
            scenes += [Scene(**plain) for plain in json.loads(file.metadata()["scenes"])]
    if not scenes:
        return None
    return Kept(torch.cat(latents), torch.cat(animals).float() / 255, tuple(scenes))


class Keeper:
    """A renderer (see renderer.Renderer) that draws from kept latents instead of rendering.

    Raises FileNotFoundError for an order of a size of which nothing is kept.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._kept: dict[tuple[int, int], Kept] = {}

    def kept(self, size: tuple[int, int]) -> Kept:
        """The clips of one size, read once."""
        if size not in self._kept:
            found = load(self.folder, size)
            if found is None:
                raise FileNotFoundError(f"{folder_of(self.folder, size)}: no latents of clips of this size")
            self._kept[size] = found
        return self._kept[size]

    def batches(self, orders: Iterable[Order]) -> Iterator[Batch]:
        """For every order as many kept clips of its size, by its seed, with fresh captions."""
        for order in orders:
            kept = self.kept((order.width, order.height))
            rng = np.random.default_rng([order.seed, 5])
            chosen = rng.integers(len(kept.scenes), size=order.clips)
            scenes = tuple(kept.scenes[i] for i in chosen)
            shares = np.array_split(chosen, order.cuts)
            yield Batch(
                pixels=np.empty((0, 0, 0, 0, 3), np.uint8),
                captions=tuple(caption_of(scene, rng, plain=False) for scene in scenes),
                scenes=scenes,
                pieces=tuple(window(kept, share, (order.moments, *order.crop), rng) for share in shares),
            )


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
    index = torch.from_numpy(chosen)
    return Piece(
        latents=kept.latents[index, t : t + frames, :, y : y + rows, x : x + columns].float(),
        animals=kept.animals[index, t : t + frames, y : y + rows, x : x + columns],
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


def keeper(task: DitTask, folder: Path) -> Keeper:
    """The latents that the task's plan asks for, made now where they are missing."""
    name = f"{digest(task.vae)}-entropy{task.plan.entropy:g}-seed{task.seed}"
    place = folder / "latents" / name
    world, console = ranks.join(), Console(stderr=True)
    for size, clips in task.plan.kept:
        made = fill(
            place,
            size,
            clips,
            world=world,
            entropy=task.plan.entropy,
            seed=task.seed,
            encode=lambda pixels: task.encode(pixels).cpu(),
        )
        files = -(-clips // CLIPS_A_FILE)
        quiet = not (world.first and console.is_terminal)
        label = f"latents {size[0]}x{size[1]}"
        for _ in track(made, label, total=-(-files // world.size), console=console, disable=quiet):
            pass
    world.wait()
    return Keeper(place)
