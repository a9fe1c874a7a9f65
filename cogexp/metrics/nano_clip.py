"""The nano world's own CLIP as a network of the metrics. It scores only that world, and its name says so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cogexp.metrics.clip_frames import Frames
from cogexp.nano import clip
from cogexp.nano.weights import MAX_SEQUENCE_LENGTH
from cogexp.text_window import cut_line

NAME = clip.NAME


@dataclass(frozen=True, kw_only=True)
class NanoClip:
    """`cogexp.nano.clip` behind the face of a ClipNetwork: it sees whole frames, squeezed, not cropped."""

    model: Any
    name: str = NAME

    def embed_images(self, frames: Frames) -> NDArray[np.float32]:
        """(n, h, w, 3) uint8 RGB -> (n, 128) of unit length."""
        return np.asarray(clip.image_features(self.model, frames).cpu().numpy(), dtype=np.float32)

    def embed_text(self, text: str) -> tuple[NDArray[np.float32], str]:
        """A sentence -> (128,), and which of its words the network has never seen or does not read."""
        from cogexp.nano.tokenizer import token_spans, unknown_words_line

        features = clip.text_features(self.model, [text])[0].cpu().numpy()
        cut = cut_line(text, token_spans(text), encoder="its CLIP", window=MAX_SEQUENCE_LENGTH)
        remarks = [unknown_words_line(text) or "", f"prompt {cut}" if cut else ""]
        return np.asarray(features, dtype=np.float32), "; ".join(filter(None, remarks))


def load(device: str) -> NanoClip:
    """The shipped network on `device`. Raises FileNotFoundError when its weights are not there."""
    return NanoClip(model=clip.load_clip().to(device))
