"""CLIP: how well the frames show the prompt, and how steadily. Shapes: t frames, d embedding width."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cogexp.metrics.clip_frames import EvalClip, Frames
from cogexp.metrics.score import Context, Score, from_values
from cogexp.text_window import cut_line


class ClipNetwork(Protocol):
    """Any network that puts pictures and sentences into one space.

    Its `name` is recorded beside the score.
    """

    @property
    def name(self) -> str: ...

    def embed_images(self, frames: Frames) -> NDArray[np.float32]:
        """(n, h, w, 3) uint8 RGB -> (n, d), any length."""

    def embed_text(self, text: str) -> tuple[NDArray[np.float32], str]:
        """A sentence -> (d,), any length, and a remark ('' or that it was cut)."""


@dataclass(frozen=True, kw_only=True)
class HfClip:
    """transformers' CLIPModel with its own tokenizer and image processor (which does the 1/255.

    Frames stay uint8).
    """

    name: str
    model: Any
    tokenizer: Any
    image_processor: Any
    device: str = "cpu"

    def embed_images(self, frames: Frames) -> NDArray[np.float32]:
        """(n, h, w, 3) uint8 RGB -> (n, d) float32.

        Short side resized, centre cropped, as CLIP was trained.
        """
        import torch

        planes = [torch.from_numpy(frame).permute(2, 0, 1) for frame in np.ascontiguousarray(frames)]
        pixels = self.image_processor(images=planes, return_tensors="pt")["pixel_values"]
        with torch.inference_mode():
            features = self.model.get_image_features(pixel_values=pixels.to(self.device, self.model.dtype))
        return _as_array(features)

    def embed_text(self, text: str) -> tuple[NDArray[np.float32], str]:
        """A sentence -> (d,) float32.

        Text beyond the network's window (77 tokens) is cut, and the remark says so.
        """
        import torch

        window = int(self.model.config.text_config.max_position_embeddings)
        tokens = self.tokenizer([text], padding=True, truncation=True, max_length=window, return_tensors="pt")
        remark = self._remark(text, window)
        with torch.inference_mode():
            features = self.model.get_text_features(
                input_ids=tokens["input_ids"].to(self.device),
                attention_mask=tokens["attention_mask"].to(self.device),
            )
        return _as_array(features)[0], remark

    def _remark(self, text: str, window: int) -> str:
        """Where the text is cut; '' when it is read to its end."""
        count = len(self.tokenizer(text, truncation=False, verbose=False)["input_ids"])
        if count <= window:
            return ""
        if not getattr(self.tokenizer, "is_fast", False):
            return f"prompt cut: CLIP reads {window} of {count} tokens"
        spans = self.tokenizer(
            text, truncation=False, verbose=False, add_special_tokens=False, return_offsets_mapping=True
        )["offset_mapping"]
        special = count - len(spans)
        return "prompt " + cut_line(text, spans, encoder="CLIP", window=window, special=special)


def _as_array(features: Any) -> NDArray[np.float32]:
    """transformers 4 returns the tensor, transformers 5 an output object that holds it."""
    tensor = getattr(features, "pooler_output", features)
    return np.asarray(tensor.float().cpu().numpy(), dtype=np.float32)


def embed_frames(network: ClipNetwork, frames: Frames, batch: int) -> NDArray[np.float32]:
    """(t, h, w, 3) uint8 -> (t, d) of unit length, `batch` frames at a time."""
    parts = [network.embed_images(frames[i : i + batch]) for i in range(0, len(frames), batch)]
    return unit(np.concatenate(parts))


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Divide by the length along the last axis."""
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True), dtype=np.float32)


def adjacent_cosine(embeddings: NDArray[np.float32]) -> NDArray[np.float64]:
    """(t, d) unit vectors -> (t-1,) cosines of neighbours."""
    return np.einsum("td,td->t", embeddings[:-1].astype(np.float64), embeddings[1:].astype(np.float64))


def clip_score(clip: EvalClip, context: Context) -> Score:
    """100 * max(cos(E_image, E_text), 0), mean over frames. 0..100, higher is better (Hessel et al. 2021).

    The factor is torchmetrics' 100, not the paper's 2.5; values of different networks cannot be compared.
    """
    network: ClipNetwork = context.network("clip", context.clip_model)
    text, remark = network.embed_text(context.prompt or "")
    cosine = context.clip_embeddings.astype(np.float64) @ unit(text).astype(np.float64)
    note = f"{network.name}; {remark}" if remark else network.name
    return from_values(100.0 * np.maximum(cosine, 0.0), note=note)


def clip_consistency(clip: EvalClip, context: Context) -> Score:
    """Mean cosine of adjacent frames' CLIP image embeddings. -1..1, 1 for a still clip, higher is better."""
    network: ClipNetwork = context.network("clip", context.clip_model)
    return from_values(adjacent_cosine(context.clip_embeddings), note=network.name)
