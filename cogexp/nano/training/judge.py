"""Training the judge: cross-entropy of every attribute on worn renders, nothing else."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from cogexp.nano.judge import LOOK, build_judge, moments, to_input
from cogexp.nano.training.orders import CLIP_FRAMES, Batch, Order, labels_of, render_order
from cogexp.nano.training.plans import HALF, NATIVE, Plan
from cogexp.nano.world.grammar import CHOICES


class JudgeTask:
    """See loop.Task."""

    name = "judge"
    weight_decay = 0.02
    edges: tuple[str, ...] = ("stem", "heads")

    def __init__(self, plan: Plan, seed: int, device: torch.device) -> None:
        self.plan, self.seed, self.device = plan, seed, device
        self.schedule = plan.judge
        # Another seed than the other parts': it must not share their accidents.
        self.modules: dict[str, nn.Module] = {"judge": build_judge(seed + 77)}

    def _order(self, seed: int, clips: int, size: tuple[int, int], *, split: str, wear: float) -> Order:
        return Order(
            seed=seed,
            clips=clips,
            width=size[0],
            height=size[1],
            frames=moments(CLIP_FRAMES),
            entropy=self.plan.entropy,
            split=split,
            look=LOOK,
            wear=wear,
        )

    def order(self, step: int, share: float) -> Order:
        """All scenes, the held-out combinations too: the judge is not what is being tested."""
        seed = self.seed * 10_000_019 + 6_000_000_000 + step
        size = HALF if step % 2 else NATIVE
        return self._order(seed, self.plan.judge_batch, size, split="any", wear=1.5)

    def loss(self, step: int, batch: Batch) -> dict[str, torch.Tensor]:
        """Sum over attributes."""
        logits = self.modules["judge"](to_input(batch.pixels, self.device))
        labels = {k: torch.from_numpy(v).to(self.device) for k, v in labels_of(batch.scenes).items()}
        loss = torch.stack([F.cross_entropy(logits[name].float(), labels[name]) for name in CHOICES]).sum()
        hits = torch.stack([(logits[name].argmax(1) == labels[name]).float().mean() for name in CHOICES])
        return {"loss": loss, "accuracy": hits.mean()}

    def evaluate(self) -> dict[str, float]:
        """Accuracy on fresh unworn renders."""
        number = 64 if self.plan.held_out_clips > 2 else 4
        batch = render_order(self._order(920_000_000, number, NATIVE, split="heldout", wear=0.0))
        logits: Any = self.modules["judge"](to_input(batch.pixels, self.device))
        labels = labels_of(batch.scenes)
        return {
            f"judge_{name}": float((logits[name].argmax(1).cpu().numpy() == labels[name]).mean())
            for name in CHOICES
        }
