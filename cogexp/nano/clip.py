"""The nano world's CLIP: transformers' CLIPModel at 1.2M parameters, and its features.

Its patches are embedded by a stack of strided convolutions instead of one (Xiao et al. 2021, "Early
convolutions help transformers see better"). It scores only this world. Frames are squeezed to 160x160, so
that the whole picture is seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cogexp.nano.tokenizer import EOS_ID, PAD_ID, VOCAB_SIZE, build_tokenizer
from cogexp.nano.weights import CLIP_NAME, FOLDER, MAX_SEQUENCE_LENGTH, weight_file

if TYPE_CHECKING:
    import torch

NAME = CLIP_NAME
IMAGE_PX = 160

CLIP_CONFIG: dict[str, Any] = {
    "projection_dim": 128,
    "vision_config": {
        "hidden_size": 128,
        "intermediate_size": 384,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "image_size": IMAGE_PX,
        "patch_size": 16,
    },
    "text_config": {
        "vocab_size": VOCAB_SIZE,
        "hidden_size": 128,
        "intermediate_size": 256,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": MAX_SEQUENCE_LENGTH,
        "pad_token_id": PAD_ID,
        "bos_token_id": EOS_ID,
        "eos_token_id": EOS_ID,
    },
}
# Channels of the convolutions that embed the patches; each halves the picture.
STEM = (24, 48, 96)


def build_clip(seed: int) -> Any:
    """A CLIPModel with seeded random weights, float32, on the CPU; the caller's random state is kept."""
    import torch
    from transformers import CLIPConfig, CLIPModel

    from cogexp.nano.stem import Stem

    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.manual_seed(seed)
        model = CLIPModel(CLIPConfig(**CLIP_CONFIG))
        hidden = CLIP_CONFIG["vision_config"]["hidden_size"]
        model.vision_model.embeddings.patch_embedding = Stem(STEM, hidden)
        return model.eval().requires_grad_(False)


def available(folder: Path = FOLDER) -> bool:
    """Whether trained weights are shipped; without them nothing is scored."""
    return weight_file("clip", folder).is_file()


def load_clip(folder: Path = FOLDER) -> Any:
    """The trained CLIPModel, float32 on the CPU. Raises FileNotFoundError when its weights are not there."""
    from safetensors.torch import load_file

    path = weight_file("clip", folder)
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: the nano CLIP is not trained yet (python -m cogexp.nano.train clip)"
        )
    model = build_clip(0)
    state = {name: t.float() if t.is_floating_point() else t for name, t in load_file(path).items()}
    model.load_state_dict(state)
    return model


def squeeze(frames: NDArray[np.uint8], size: tuple[int, int] = (IMAGE_PX, IMAGE_PX)) -> NDArray[np.uint8]:
    """uint8 (t, h, w, 3) -> (t, size[1], size[0], 3), averaged over areas."""
    import cv2

    return np.stack([cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in frames])


def to_input(frames: NDArray[np.uint8], device: torch.device | str = "cpu") -> torch.Tensor:
    """Squeezed uint8 (n, 160, 160, 3) -> float32 (n, 3, 160, 160) in [-1, 1]."""
    import torch

    tensor = torch.from_numpy(np.ascontiguousarray(frames)).to(device)
    return tensor.permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0)


@lru_cache(maxsize=1)
def _tokenizer() -> Any:
    return build_tokenizer()


def tokens(texts: Sequence[str], device: torch.device | str = "cpu") -> dict[str, torch.Tensor]:
    """input_ids and attention_mask, padded to MAX_SEQUENCE_LENGTH."""
    batch = _tokenizer()(
        list(texts),
        padding="max_length",
        max_length=MAX_SEQUENCE_LENGTH,
        truncation=True,
        return_tensors="pt",
    )
    return {"input_ids": batch.input_ids.to(device), "attention_mask": batch.attention_mask.to(device)}


def image_features(model: Any, frames: NDArray[np.uint8]) -> torch.Tensor:
    """Unit features (t, 128) of uint8 frames (t, h, w, 3) of any size."""
    import torch

    with torch.no_grad():
        return _unit(model.get_image_features(pixel_values=to_input(squeeze(frames), model.device)))


def text_features(model: Any, texts: Sequence[str]) -> torch.Tensor:
    """Unit features (n, 128) of texts."""
    import torch

    with torch.no_grad():
        return _unit(model.get_text_features(**tokens(texts, model.device)))


def _unit(features: Any) -> torch.Tensor:
    # Newer transformers wrap the projected features in an output object.
    tensor: torch.Tensor = getattr(features, "pooler_output", features).float()
    return tensor / tensor.norm(dim=-1, keepdim=True)
