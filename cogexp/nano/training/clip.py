"""Training the nano CLIP: both-way InfoNCE over batches of scenes with their one-attribute variants.

Linear readers of the attributes, shared by pictures and texts, are trained beside it and thrown away: their
exact labels teach the towers what to look at long before the similarities do.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from cogexp.nano.clip import (
    CLIP_CONFIG,
    IMAGE_PX,
    build_clip,
    image_features,
    text_features,
    to_input,
    tokens,
)
from cogexp.nano.training.orders import VARIED, Batch, Order, hard_negatives, labels_of, render_order
from cogexp.nano.training.plans import HALF, NATIVE, Plan
from cogexp.nano.world import caption
from cogexp.nano.world.grammar import CHOICES, Scene

# A scene and three variants of it, each with one attribute changed.
GROUP = 4
HELD_OUT_SCENES = 64
# Attributes that one frame shows; a camera's movement it does not.
READ = ("count", "colour", "animal", "action", "direction", "place", "time")
# Unit features are short: the readers see them this many times longer.
READER_GAIN = 8.0


class ClipTask:
    """See loop.Task."""

    name = "clip"
    weight_decay = 0.05
    edges: tuple[str, ...] = ("position", "token", "class", "embedding.0.", *READ)

    def __init__(self, plan: Plan, seed: int, device: torch.device) -> None:
        self.plan, self.seed, self.device = plan, seed, device
        self.schedule = plan.clip
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            width = CLIP_CONFIG["projection_dim"]
            readers = nn.ModuleDict({name: nn.Linear(width, len(CHOICES[name])) for name in READ})
        self.modules: dict[str, nn.Module] = {"clip": build_clip(seed), "readers": readers}

    def order(self, step: int, share: float) -> Order:
        """One worn frame of each scene, rendered at the native size or (cheaper, mostly) at half of it."""
        width, height = HALF if step % 8 else NATIVE
        return Order(
            seed=self.seed * 10_000_019 + 3_000_000_000 + step,
            clips=self.plan.clip_batch,
            width=width,
            height=height,
            entropy=self.plan.entropy,
            group=GROUP,
            look=(IMAGE_PX, IMAGE_PX),
            wear=1.0,
            random_frame=True,
        )

    def loss(self, step: int, batch: Batch) -> dict[str, torch.Tensor]:
        """Cross-entropy of the similarity matrix along both axes (Radford et al. 2021, figure 3); readers."""
        model: Any = self.modules["clip"]
        output = model(
            pixel_values=to_input(batch.pixels[:, 0], self.device), **tokens(batch.captions, self.device)
        )
        logits = output.logits_per_image.float().clamp(-100, 100)
        target = torch.arange(len(logits), device=self.device)
        match = (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
        seen, said = self._read(output.image_embeds, batch), self._read(output.text_embeds, batch)
        with torch.no_grad():
            model.logit_scale.clamp_(max=float(np.log(100)))
            hit = (logits.argmax(1) == target).float().mean()
        return {"loss": match + seen + said, "match": match, "seen": seen, "said": said, "batch_r1": hit}

    def _read(self, features: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Mean cross-entropy of the readers on unit features (b, 128); unsaid attributes are guessed."""
        labels = labels_of(batch.scenes)
        readers: Any = self.modules["readers"]
        losses = [
            F.cross_entropy(
                readers[name](features.float() * READER_GAIN), torch.from_numpy(labels[name]).to(self.device)
            )
            for name in READ
        ]
        return torch.stack(losses).mean()

    def evaluate(self) -> dict[str, float]:
        """R@1 of held-out scenes both ways, and the share won against one-attribute negatives."""
        number = HELD_OUT_SCENES if self.plan.held_out_clips > 2 else 6
        order = Order(
            seed=910_000_000,
            clips=number,
            width=NATIVE[0],
            height=NATIVE[1],
            entropy=self.plan.entropy,
            split="heldout",
            frames=(0, 2, 4, 6, 8),
            look=(IMAGE_PX, IMAGE_PX),
            plain=True,
        )
        return scores(self.modules["clip"], render_order(order))


def scores(model: Any, batch: Batch) -> dict[str, float]:
    """Retrieval both ways and one-attribute accuracies of a batch of clips with plain captions."""
    images = torch.stack([image_features(model, clip).mean(0) for clip in batch.pixels])
    images = images / images.norm(dim=-1, keepdim=True)
    similarity = images @ text_features(model, batch.captions).T
    target = torch.arange(len(images), device=similarity.device)
    figures = {
        "r1_image": (similarity.argmax(1) == target).float().mean().item(),
        "r1_text": (similarity.argmax(0) == target).float().mean().item(),
    }
    for attribute in VARIED:
        figures[f"hard_{attribute}"] = _against_negatives(model, images, batch.scenes, attribute)
    return figures


def _against_negatives(model: Any, images: torch.Tensor, scenes: tuple[Scene, ...], attribute: str) -> float:
    kept = [i for i, scene in enumerate(scenes) if not (attribute == "animal" and scene.action == "flying")]
    right = [scenes[i] for i in kept]
    wrong = hard_negatives(right, attribute, seed=1)
    chosen = images[kept]
    true = (chosen * text_features(model, [caption(s) for s in right])).sum(-1)
    false = (chosen * text_features(model, [caption(s) for s in wrong])).sum(-1)
    return (true > false).float().mean().item()
