"""What `python -m cogexp.nano.train` does besides training: measure, adherence, ship."""

from __future__ import annotations

import argparse
import json

import torch

from cogexp.nano.training import adherence, checkpoint, tasks
from cogexp.nano.training.plans import Plan
from cogexp.nano.training.ship import FILES, ship
from cogexp.nano.weights import FOLDER


def latest(progress: checkpoint.Progress) -> dict[str, float]:
    """The last value of every figure, to four digits."""
    found: dict[str, float] = {}
    for row in progress.history:
        found.update(row)
    return {k: round(v, 4) for k, v in found.items() if k not in ("step", "seconds")}


def measure(options: argparse.Namespace, plan: Plan, about: dict[str, str], device: torch.device) -> None:
    """Held-out figures of every trained part (of `options.only`, when given), noted in its progress."""
    for part in options.only or FILES:
        progress = checkpoint.load_progress(options.folder / part)
        if progress is None:
            continue
        progress.note(tasks.figures(part, plan, options.seed, device, options.folder))
        progress.about = about
        checkpoint.save_progress(options.folder / part, progress)
        print(json.dumps({"part": part, **latest(progress)}))


def measure_adherence(options: argparse.Namespace, device: torch.device) -> None:
    """Generate held-out prompts and read them with the judge; figures and a sheet go into the folder."""
    width, _, height = options.size.partition("x")
    figures = adherence.measure(
        tasks.trained_modules(options.folder, device),
        tasks.trained_judge(options.folder, device),
        tasks.trained_clip(options.folder, device),
        number=options.clips,
        size=(int(width), int(height)),
        steps=options.sampling_steps,
        guidance=options.guidance,
        device=device,
        sheet=options.folder / "adherence.png",
    )
    (options.folder / "adherence.json").write_text(json.dumps(figures, indent=1), "utf-8")
    print(json.dumps({k: round(v, 4) for k, v in figures.items()}))


def ship_all(options: argparse.Namespace) -> None:
    """Into the package, or into `options.to`."""
    sizes = ship(options.folder, options.to or FOLDER)
    print(json.dumps({name: round(size, 2) for name, size in sizes.items()}))
