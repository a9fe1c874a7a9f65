"""VBench's consistency metrics, and no-reference looks: sharpness, exposure, CLIP-IQA.

t frames, d features.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from cogexp.metrics import nano_clip
from cogexp.metrics.clip import ClipNetwork, unit
from cogexp.metrics.clip_frames import EvalClip, Frames
from cogexp.metrics.score import Context, Score, from_values

DINO = "facebook/dino-vitb16"  # VBench's network, in transformers' form
IQA_PROMPTS = ("Good photo.", "Bad photo.")
BLACK, WHITE = 2, 253  # levels from which on a pixel counts as clipped


class FeatureNetwork(Protocol):
    """Any network that turns a picture into a vector. Its `name` is recorded beside the score."""

    @property
    def name(self) -> str: ...

    def embed_images(self, frames: Frames) -> NDArray[np.float32]:
        """(n, h, w, 3) uint8 RGB -> (n, d), any length."""


@dataclass(frozen=True, kw_only=True)
class DinoNetwork:
    """transformers' ViTModel with DINO weights: the class token of the last layer."""

    name: str
    model: Any
    image_processor: Any
    device: str = "cpu"

    def embed_images(self, frames: Frames) -> NDArray[np.float32]:
        """(n, h, w, 3) uint8 RGB -> (n, d) float32."""
        import torch

        planes = [torch.from_numpy(frame).permute(2, 0, 1) for frame in np.ascontiguousarray(frames)]
        pixels = self.image_processor(images=planes, return_tensors="pt")["pixel_values"]
        with torch.inference_mode():
            tokens = self.model(pixel_values=pixels.to(self.device)).last_hidden_state
        return np.asarray(tokens[:, 0].float().cpu().numpy(), dtype=np.float32)


def vbench_consistency(
    features: NDArray[np.float32], opening: NDArray[np.float32] | None = None
) -> NDArray[np.float64]:
    """(t, d) unit vectors -> (t-1,): half the cosine to the previous frame plus half that to the first,
    each >= 0. `opening` (d,): the first frame's where the features are those of a later window.

    Source: VBench (Huang et al. 2024), subject_consistency.py and background_consistency.py.
    """
    wide = features.astype(np.float64)
    previous = np.maximum((wide[1:] * wide[:-1]).sum(1), 0.0)
    begun = wide[0] if opening is None else opening.astype(np.float64)
    first = np.maximum(wide[1:] @ begun, 0.0)
    return np.asarray((previous + first) / 2)


def subject_consistency(clip: EvalClip, context: Context) -> Score:
    """`vbench_consistency` of DINO features. 0..1, 1 for a still clip, higher is better."""
    network: FeatureNetwork = context.network("dino", DINO)
    parts = [
        network.embed_images(clip.frames[i : i + context.batch])
        for i in range(0, len(clip.frames), context.batch)
    ]
    features = unit(np.concatenate(parts))
    first = context.first_features.setdefault("dino", features[0])
    return from_values(vbench_consistency(features, first), note=network.name)


def background_consistency(clip: EvalClip, context: Context) -> Score:
    """`vbench_consistency` of CLIP image features. 0..1, 1 for a still clip, higher is better."""
    network: ClipNetwork = context.network("clip", context.clip_model)
    first = context.first_features.setdefault("clip", context.clip_embeddings[0])
    return from_values(vbench_consistency(context.clip_embeddings, first), note=network.name)


def clip_iqa(clip: EvalClip, context: Context) -> Score:
    """Share of "Good photo." against "Bad photo.": softmax of 100 * cosine. 0..1, higher is better.

    Source: CLIP-IQA (Wang et al. 2023), as torchmetrics computes it.
    """
    network: ClipNetwork = context.network("clip", context.clip_model)
    if network.name == nano_clip.NAME:
        return Score(value=None, reason=f"{network.name} knows nothing of good and bad photos")
    good, bad = (unit(network.embed_text(prompt)[0]).astype(np.float64) for prompt in IQA_PROMPTS)
    margin = 100.0 * (context.clip_embeddings.astype(np.float64) @ (good - bad))
    return from_values(1.0 / (1.0 + np.exp(-margin)), note=network.name)


def sharpness(clip: EvalClip, context: Context) -> Score:
    """Variance of the Laplacian of the luma at the evaluation height.

    >= 0, context: noise is sharp as well.
    """
    return from_values(np.array([cv2.Laplacian(frame, cv2.CV_32F).var() for frame in clip.gray]))


def exposure(clip: EvalClip, context: Context) -> Score:
    """Share of pixels whose luma is clipped to black or white.

    0..1, context: a night has black pixels by right.
    """
    gray = clip.gray
    return from_values(((gray <= BLACK) | (gray >= WHITE)).mean(axis=(1, 2)))
