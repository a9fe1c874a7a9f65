"""Batches from kept latents: drawn anew for every step, while more may still be made beside the training."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from rich.console import Console
from rich.progress import track

from cogexp.nano.training import ranks
from cogexp.nano.training.latents import CLIPS_A_FILE, Kept, digest, fill, folder_of, load, window
from cogexp.nano.training.loop import Source
from cogexp.nano.training.orders import NO_PIXELS, Batch, Order, caption_of

if TYPE_CHECKING:
    from cogexp.nano.training.dit import DitTask

# A training waits for so many clips of a size; the others are made beside it.
_ENOUGH = 1024
# How often a training looks for clips that came in meanwhile.
_LOOK_SECONDS = 4.0


class Keeper:
    """A source of batches (see loop.Source) that draws from kept latents instead of rendering.

    maker: fills the folder at the same time. Which clips a step sees then depends on how far it is.
    Raises FileNotFoundError for an order of a size of which nothing is kept.
    """

    def __init__(self, folder: Path, device: torch.device | str = "cpu", maker: Maker | None = None) -> None:
        self.folder, self.device, self.maker = folder, torch.device(device), maker
        self._kept: dict[tuple[int, int], Kept] = {}
        self._read: dict[tuple[int, int], set[Path]] = {}
        self._looked: dict[tuple[int, int], float] = {}
        self._whole: set[tuple[int, int]] = set()

    def kept(self, size: tuple[int, int]) -> Kept:
        """The clips of one size, so far."""
        if size not in self._whole and time.monotonic() - self._looked.get(size, -1e9) > _LOOK_SECONDS:
            self._update(size)
            while size not in self._whole and self._number(size) < self._enough(size):
                time.sleep(0.2)
                self._update(size)
        if size not in self._kept:
            raise FileNotFoundError(f"{folder_of(self.folder, size)}: no latents of clips of this size")
        return self._kept[size]

    def _enough(self, size: tuple[int, int]) -> int:
        wanted = dict(self.maker.task.plan.kept).get(size, 0) if self.maker else 0
        return min(_ENOUGH, wanted // 2)

    def _update(self, size: tuple[int, int]) -> None:
        """Look once more; whoever makes them may have ended, or failed."""
        ended = self.maker is None or not self.maker.is_alive()
        if self.maker is not None:
            self.maker.complain()
        self._look(size)
        if ended:
            self._whole.add(size)

    def _number(self, size: tuple[int, int]) -> int:
        return len(self._kept[size].scenes) if size in self._kept else 0

    def _look(self, size: tuple[int, int]) -> None:
        """Read the files that came since the last look."""
        self._looked[size] = time.monotonic()
        known = self._read.setdefault(size, set())
        fresh = sorted(set(folder_of(self.folder, size).glob("*.safetensors")) - known)
        found = load(fresh, self.device)
        if found is not None:
            known.update(fresh)
            self._kept[size] = self._kept[size] + found if size in self._kept else found

    def batches(self, orders: Iterable[Order]) -> Iterator[Batch]:
        """For every order as many kept clips of its size, by its seed, with fresh captions."""
        for order in orders:
            kept = self.kept((order.width, order.height))
            rng = np.random.default_rng([order.seed, 5])
            chosen = rng.integers(len(kept.scenes), size=order.clips)
            scenes = tuple(kept.scenes[i] for i in chosen)
            shares = np.array_split(chosen, order.cuts)
            yield Batch(
                pixels=NO_PIXELS,
                captions=tuple(caption_of(scene, rng, plain=False) for scene in scenes),
                scenes=scenes,
                pieces=tuple(window(kept, share, (order.moments, *order.crop), rng) for share in shares),
            )


class Maker(threading.Thread):
    """Makes the latents that a plan asks for. `run()` makes them now, `start()` beside other work."""

    def __init__(self, task: DitTask, folder: Path, renderer: Source) -> None:
        super().__init__(daemon=True, name="latents")
        self.task, self.folder, self.renderer = task, folder, renderer
        self._failure: Exception | None = None
        self._stop_asked = False

    def run(self) -> None:
        """All sizes in the plan's order; a failure is kept for `complain`."""
        try:
            self._make()
        except Exception as error:  # noqa: BLE001 - raised by `complain`, in the thread that trains
            self._failure = error

    def complain(self) -> None:
        """Raise what went wrong."""
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """End after the file under way."""
        self._stop_asked = True
        if self.is_alive():
            self.join()

    def _make(self) -> None:
        task, world = self.task, ranks.join()
        console = Console(stderr=True)
        for size, clips in task.plan.kept:
            made = fill(
                self.folder,
                size,
                clips,
                world=world,
                entropy=task.plan.entropy,
                seed=task.seed,
                encode=task.encode,
                renderer=self.renderer,
            )
            files = -(-clips // CLIPS_A_FILE)
            beside = threading.current_thread() is self
            quiet = beside or not (world.first and console.is_terminal)
            label = f"latents {size[0]}x{size[1]}"
            for _ in track(made, label, total=-(-files // world.size), console=console, disable=quiet):
                if self._stop_asked:
                    return


def keeper(task: DitTask, folder: Path, renderer: Source) -> Keeper:
    """A keeper of the latents that the task's plan asks for, in a folder of their VAE and world.

    On a CPU missing ones are made first. A GPU would idle for minutes while clips are rendered: there they
    are made beside the training, which begins with the first thousand.
    """
    name = f"{digest(task.vae)}-entropy{task.plan.entropy:g}-seed{task.seed}"
    place = folder / "latents" / name
    maker = Maker(task, place, renderer)
    if task.device.type == "cuda":
        maker.start()
        return Keeper(place, task.device, maker)
    maker.run()
    maker.complain()
    ranks.join().wait()
    return Keeper(place, task.device)
