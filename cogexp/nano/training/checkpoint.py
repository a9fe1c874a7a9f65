"""A part's training state on disk: weights and their average, the optimizer, and a JSON of progress."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn


@dataclass
class Progress:
    """Steps done, seconds spent, the device, and the history of figures.

    about: what was trained on (plan, entropy). earlier: the pieces of training that the first weights came
    from, each {"steps", "seconds", "device", ...}; empty when training began from nothing.
    """

    step: int = 0
    seconds: float = 0.0
    device: str = ""
    history: list[dict[str, float]] = field(default_factory=list)
    about: dict[str, str] = field(default_factory=dict)
    earlier: list[dict[str, Any]] = field(default_factory=list)

    @property
    def first_step(self) -> int:
        """Steps of the earlier pieces: batches are numbered on from there, so that none comes twice."""
        return sum(int(piece["steps"]) for piece in self.earlier)

    def pieces(self) -> list[dict[str, Any]]:
        """The earlier pieces and this one, if it took any step."""
        piece = {
            "steps": self.step,
            "seconds": round(self.seconds, 1),
            "device": self.device,
            **self.about,
        }
        return [*self.earlier, piece] if self.step else list(self.earlier)

    def note(self, figures: Mapping[str, float]) -> None:
        """Append figures at the present step."""
        self.history.append({"step": self.step, "seconds": round(self.seconds, 1), **figures})

    def last(self, name: str) -> float | None:
        """The latest value of a figure."""
        return next((row[name] for row in reversed(self.history) if name in row), None)


Tensors = dict[str, torch.Tensor]


def flat(modules: Mapping[str, nn.Module]) -> Tensors:
    """'part/name' -> tensor, without the second name of a tied one."""
    seen: dict[int, str] = {}
    tensors: Tensors = {}
    for part, module in modules.items():
        for name, tensor in module.state_dict().items():
            if seen.setdefault(tensor.data_ptr(), name) == name or tensor.numel() == 0:
                tensors[f"{part}/{name}"] = tensor
    return tensors


def of_part(tensors: Tensors, part: str) -> Tensors:
    """The tensors of one part, under their own names."""
    return {name.split("/", 1)[1]: t for name, t in tensors.items() if name.startswith(f"{part}/")}


def fill_modules(modules: Mapping[str, nn.Module], tensors: Tensors) -> None:
    """Copy saved tensors into live modules, in place. Raises KeyError if one is missing."""
    with torch.no_grad():
        for name, tensor in flat(modules).items():
            tensor.copy_(tensors[name])


def save(
    folder: Path,
    modules: Mapping[str, nn.Module],
    average: Tensors,
    optimizer: torch.optim.Optimizer,
    progress: Progress,
) -> None:
    """Write everything beside the old state, then exchange the folders: a kill leaves one of them whole."""
    new, old = folder.with_name(folder.name + ".new"), folder.with_name(folder.name + ".old")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    save_file(
        {k: v.detach().cpu().contiguous() for k, v in flat(modules).items()}, new / "weights.safetensors"
    )
    save_file({k: v.detach().cpu().contiguous() for k, v in average.items()}, new / "average.safetensors")
    torch.save(optimizer.state_dict(), new / "optimizer.pt")
    save_progress(new, progress)
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    new.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def save_progress(folder: Path, progress: Progress) -> None:
    """Replace the progress beside the weights in `folder`."""
    part = folder / "progress.json.part"
    part.write_text(json.dumps(asdict(progress), indent=1, allow_nan=False), "utf-8")
    part.replace(folder / "progress.json")


def load_progress(folder: Path) -> Progress | None:
    """The progress kept in `folder` (or in the copy an interrupted exchange left), or None."""
    for place in (folder, folder.with_name(folder.name + ".old")):
        if (place / "progress.json").is_file():
            if place != folder:
                place.rename(folder)
            return Progress(**json.loads((folder / "progress.json").read_text("utf-8")))
    return None


def load_average(folder: Path) -> Tensors:
    """The averaged weights, 'part/name' -> tensor. Raises FileNotFoundError when nothing was trained."""
    path = folder / "average.safetensors"
    if not path.is_file():
        raise FileNotFoundError(f"{path}: train this part first (python -m cogexp.nano.train)")
    return load_file(path)


def load_into(
    folder: Path, modules: Mapping[str, nn.Module], average: Tensors, optimizer: torch.optim.Optimizer
) -> None:
    """Fill live modules, their average and the optimizer; a compact copy has the average alone.

    Modules of which such a copy knows nothing (helpers that are not shipped) stay as they are.
    """
    kept = load_average(folder)
    full = (folder / "optimizer.pt").is_file()
    known = {name.split("/", 1)[0] for name in kept}
    fill_modules(
        {name: module for name, module in modules.items() if name in known},
        load_file(folder / "weights.safetensors") if full else kept,
    )
    for name, tensor in kept.items():
        average[name].copy_(tensor)
    if full:
        optimizer.load_state_dict(torch.load(folder / "optimizer.pt", map_location="cpu", weights_only=True))


def write_compact(folder: Path, to: Path) -> None:
    """What is needed to go on elsewhere with a fresh optimizer: the average in fp16, and the progress."""
    to.mkdir(parents=True, exist_ok=True)
    half = {k: v.half() if v.is_floating_point() else v for k, v in load_average(folder).items()}
    save_file(half, to / "average.safetensors")
    shutil.copyfile(folder / "progress.json", to / "progress.json")
