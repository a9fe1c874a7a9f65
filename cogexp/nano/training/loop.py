"""The loop that every part shares: batches, steps, an average of the weights, figures, checkpoints.

Step k sees batch k and noise k, made from (seed, k) alone, so a resumed run repeats an uninterrupted one. Of
several processes (ranks.py) each sees its own batch of step k.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import nn

from cogexp.nano.training import checkpoint, ranks
from cogexp.nano.training.checkpoint import Tensors
from cogexp.nano.training.muon import optimizer_of
from cogexp.nano.training.orders import Batch, Order


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How long and how fast: rate `peak`, warmed up, constant, then down to a fiftieth over the last part.

    minutes: when given, the whole training of this part takes so long, over all calls, whatever `steps`.
    muon: Muon's rate at the peak for the kernels inside the network; 0 leaves them to AdamW.
    """

    steps: int
    peak: float
    minutes: float | None = None
    warmup: int = 100
    cooldown: float = 0.3
    average_decay: float = 0.998
    muon: float = 0.0

    def share(self, progress: checkpoint.Progress) -> float:
        """0 at the beginning, 1 when done."""
        done = progress.seconds / (self.minutes * 60) if self.minutes else progress.step / max(self.steps, 1)
        return min(done, 1.0)

    def rate(self, progress: checkpoint.Progress) -> float:
        """The learning rate at this point."""
        down = min(1.0, max((1.0 - self.share(progress)) / self.cooldown, 0.02))
        return self.peak * min((progress.step + 1) / self.warmup, 1.0) * down


class Task(Protocol):
    """One part to train."""

    name: str
    modules: dict[str, nn.Module]
    schedule: Schedule
    weight_decay: float
    device: torch.device
    # Parameters whose names contain one of these are left to AdamW: first and last layers, embeddings.
    edges: tuple[str, ...]

    def order(self, step: int, share: float) -> Order:
        """What batch `step` shows; share: how far the training is, 0..1."""

    def loss(self, step: int, batch: Batch) -> dict[str, torch.Tensor]:
        """Scalars; 'loss' is what is minimized."""

    def evaluate(self) -> dict[str, float]:
        """Held-out figures of the modules as they are."""


class Source(Protocol):
    """Where batches come from: a Renderer, or latents that were kept."""

    def batches(self, orders: Iterable[Order]) -> Iterator[Batch]:
        """One batch an order, in their order."""


def generator(device: torch.device, *numbers: int) -> torch.Generator:
    """A generator for these numbers, the same on every call."""
    seed = 0
    for number in numbers:
        seed = (seed * 1_000_003 + number + 1) % (2**63 - 1)
    return torch.Generator(device).manual_seed(seed)


def train(
    task: Task,
    folder: Path,
    renderer: Source,
    *,
    seconds: float = math.inf,
    save_every: float = 300.0,
    evaluate_every: float = 600.0,
    pause_at: float | None = None,
    about: Mapping[str, str] | None = None,
    console: Console | None = None,
) -> checkpoint.Progress:
    """Train until the schedule ends or `seconds` of this call are spent; keeps `folder` current.

    pause_at: also return at this share of the schedule, once it is passed. about: noted in the progress.
    """
    run = _Run(task, folder, console or Console(stderr=True))
    run.progress.about = {**run.progress.about, **(about or {})}
    began = saved = evaluated = run.mark
    pause_at = None if pause_at is not None and task.schedule.share(run.progress) >= pause_at else pause_at
    if task.schedule.share(run.progress) >= 1.0:
        return run.progress
    with run.bar:
        for batch in renderer.batches(run.orders()):
            run.step(batch)
            now = run.mark
            done = task.schedule.share(run.progress) >= 1.0
            out_of_time = now - began >= seconds
            if pause_at is not None and task.schedule.share(run.progress) >= pause_at:
                break
            if now - evaluated > evaluate_every and not (done or out_of_time):
                run.evaluate()
                evaluated = run.mark
            if now - saved > save_every and not (done or out_of_time):
                run.save()
                saved = run.mark
            if done or out_of_time:
                break
        run.evaluate()
        run.save()
    return run.progress


class _Run:
    """The state of one call of `train`."""

    def __init__(self, task: Task, folder: Path, console: Console) -> None:
        self.task, self.folder, self.console = task, folder, console
        self.world = ranks.join()
        for module in task.modules.values():
            module.to(task.device).train().requires_grad_(True)
        weights = list(checkpoint.flat(task.modules).values())
        self.world.share_out([0] * len(weights), weights)  # all begin with the first one's
        self.optimizer = optimizer_of(task)
        self.average: Tensors = {k: v.detach().clone() for k, v in checkpoint.flat(task.modules).items()}
        self.progress = checkpoint.load_progress(folder) or checkpoint.Progress()
        if (folder / "average.safetensors").is_file():
            checkpoint.load_into(folder, task.modules, self.average, self.optimizer)
        live = checkpoint.flat(task.modules)  # changed in place from now on
        self.averaged = [(self.average[k], v) for k, v in live.items() if v.is_floating_point()]
        self.progress.device = _device_name(task.device)
        self.recent: list[dict[str, torch.Tensor]] = []
        self.mark = self.world.agree(time.monotonic())
        self.bar = Progress(
            TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[figures]}"),
            TimeElapsedColumn(), TimeRemainingColumn(), console=console,
            disable=not (console.is_terminal and self.world.first),
        )  # fmt: skip
        self.line = self.bar.add_task(task.name, total=1.0, figures="")

    def orders(self) -> Iterator[Order]:
        """Endless orders from the present step on; the renderer works some steps ahead."""
        step, first = self.progress.step, self.progress.first_step
        while True:
            # With a time budget the share of a batch rendered ahead is that of now: near enough.
            ahead = checkpoint.Progress(step=step, seconds=self.progress.seconds)
            yield self.task.order(self._number(first + step), self.task.schedule.share(ahead))
            step += 1

    def _number(self, step: int) -> int:
        """Of this process's batch of a step: no two processes have the same."""
        return step * self.world.size + self.world.rank

    def step(self, batch: Batch) -> None:
        """One optimizer step and one of the average."""
        rate = self.task.schedule.rate(self.progress)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["gain"]
        with torch.autocast(self.task.device.type, torch.bfloat16, enabled=self.task.device.type == "cuda"):
            losses = self.task.loss(self._number(self.progress.first_step + self.progress.step), batch)
        losses["loss"].backward()
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        self.world.average_gradients(parameters)
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self._average()
        self.progress.step += 1
        now = self.world.agree(time.monotonic())
        self.progress.seconds += now - self.mark
        self.mark = now
        self.recent.append({name: value.detach() for name, value in losses.items()})
        if len(self.recent) >= 50:
            self._report()

    def _average(self) -> None:
        """An exponential average whose memory grows with the steps, so that its beginning is not noise."""
        decay = min(self.task.schedule.average_decay, (1 + self.progress.step) / (10 + self.progress.step))
        with torch.no_grad():
            torch._foreach_lerp_([a for a, _ in self.averaged], [b for _, b in self.averaged], 1 - decay)

    def _report(self) -> None:
        figures = {
            name: float(torch.stack([row[name].float() for row in self.recent]).mean())
            for name in self.recent[0]
        }
        self.recent.clear()
        if not math.isfinite(figures["loss"]):
            raise FloatingPointError(
                f"{self.task.name}: the loss is {figures['loss']} at step {self.progress.step}"
            )
        self.progress.note(figures)
        self._say(figures)

    def _say(self, figures: Mapping[str, float]) -> None:
        text = " ".join(f"{name} {value:.4g}" for name, value in figures.items())
        share = self.task.schedule.share(self.progress)
        self.bar.update(self.line, completed=share, figures=f"step {self.progress.step} {text}")
        if not self.console.is_terminal and self.world.first:
            minutes = self.progress.seconds / 60
            self.console.print(
                f"{self.task.name} {share:4.0%} step {self.progress.step} {minutes:.1f} min {text}",
                highlight=False,
            )

    def evaluate(self) -> None:
        """Held-out figures of the averaged weights; the live ones come back afterwards."""
        if self.recent:
            self._report()
        if self.world.first:
            self._evaluate()
        # The time of an evaluation is not the training's: a budget of steps must not depend on it.
        self.mark = self.world.agree(time.monotonic())

    def _evaluate(self) -> None:
        live = {name: tensor.clone() for name, tensor in checkpoint.flat(self.task.modules).items()}
        checkpoint.fill_modules(self.task.modules, self.average)
        for module in self.task.modules.values():
            module.eval()
        with torch.no_grad():
            figures = self.task.evaluate()
        checkpoint.fill_modules(self.task.modules, live)
        for module in self.task.modules.values():
            module.train()
        self.progress.note(figures)
        self._say(figures)

    def save(self) -> None:
        """The checkpoint, replaced as a whole."""
        if self.world.first:
            checkpoint.save(self.folder, self.task.modules, self.average, self.optimizer, self.progress)
        self.mark = self.world.agree(time.monotonic())


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    threads = torch.get_num_threads()
    return f"CPU ({torch.backends.cpu.get_cpu_capability()}), {threads} thread{'s'[: threads != 1]}"
