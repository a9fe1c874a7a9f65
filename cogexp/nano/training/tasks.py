"""Parts by name: building the task of each, and loading what has been trained so far."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from cogexp.nano import arch
from cogexp.nano.clip import build_clip
from cogexp.nano.judge import Judge, build_judge
from cogexp.nano.training import checkpoint
from cogexp.nano.training.clip import ClipTask
from cogexp.nano.training.dit import DitTask
from cogexp.nano.training.judge import JudgeTask
from cogexp.nano.training.loop import Task
from cogexp.nano.training.plans import Plan
from cogexp.nano.training.vae import VaeTask, scaling_factor

PLAIN_TASKS: dict[str, Callable[[Plan, int, torch.device], Task]] = {
    "vae": VaeTask,
    "clip": ClipTask,
    "judge": JudgeTask,
}


def build(part: str, plan: Plan, seed: int, device: torch.device, folder: Path) -> Task:
    """The task of a part. The denoiser needs a trained VAE in `folder`: FileNotFoundError without one."""
    if part == "dit":
        return DitTask(plan, seed, device, trained_vae(folder))
    return PLAIN_TASKS[part](plan, seed, device)


@torch.no_grad()
def figures(part: str, plan: Plan, seed: int, device: torch.device, folder: Path) -> dict[str, float]:
    """Held-out figures of a part's averaged weights."""
    task = build(part, plan, seed, device, folder)
    kept = checkpoint.load_average(folder / part)
    known = {name.split("/", 1)[0] for name in kept}
    for name, module in task.modules.items():
        if name in known:
            checkpoint.fill_modules({name: module}, kept)
        module.to(device).eval().requires_grad_(False)
    return task.evaluate()


def write_scaling(plan: Plan, folder: Path, device: torch.device) -> float:
    """Measure the trained VAE's scaling factor and keep it beside its checkpoint."""
    vae = _averaged("vae", arch.build(0, ["vae"])["vae"], folder / "vae").to(device)
    factor = scaling_factor(vae, plan, device)
    (folder / "vae" / "scaling.json").write_text(json.dumps({"scaling_factor": factor}), "utf-8")
    return factor


def _averaged(part: str, module: Any, source: Path) -> Any:
    checkpoint.fill_modules({part: module}, checkpoint.load_average(source))
    return module.eval().requires_grad_(False)


def trained_vae(folder: Path) -> Any:
    """The averaged VAE with its scaling factor, on the CPU."""
    vae = _averaged("vae", arch.build(0, ["vae"])["vae"], folder / "vae")
    factor = json.loads((folder / "vae" / "scaling.json").read_text("utf-8"))["scaling_factor"]
    vae.register_to_config(scaling_factor=factor)
    return vae


def trained_modules(folder: Path, device: torch.device) -> dict[str, Any]:
    """VAE, denoiser and text encoder of a training, averaged."""
    built = arch.build(0, ["transformer", "text_encoder"])
    modules = {name: _averaged(name, module, folder / "dit").to(device) for name, module in built.items()}
    return {**modules, "vae": trained_vae(folder).to(device)}


def trained_judge(folder: Path, device: torch.device) -> Judge:
    """The averaged judge."""
    judge: Judge = _averaged("judge", build_judge(0), folder / "judge").to(device)
    return judge


def trained_clip(folder: Path, device: torch.device) -> Any | None:
    """The averaged CLIP, or None if it was not trained yet."""
    if not (folder / "clip" / "average.safetensors").is_file():
        return None
    return _averaged("clip", build_clip(0), folder / "clip").to(device)
