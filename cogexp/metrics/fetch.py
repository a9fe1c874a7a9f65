"""Which networks a set of metrics needs, which of them are missing, and getting them once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from cogexp.metrics import networks
from cogexp.metrics.names import resolve_names

DEFAULT_CLIP = "openai/clip-vit-large-patch14"
CLIP_PATTERNS = ["*.json", "*.txt", "model.safetensors"]  # never a pickle
CLIP_LICENSE = "MIT (OpenAI CLIP)"
ALEXNET_LICENSE = "BSD-3-Clause (torchvision); LPIPS heads BSD-2-Clause"


@dataclass(frozen=True, kw_only=True)
class Weights:
    """One download: what it is for, where it comes from, its licence."""

    kind: str
    name: str
    license: str


def needed(names: str | Iterable[str], clip_model: str = DEFAULT_CLIP) -> list[Weights]:
    """The networks that these metrics (or presets) read."""
    from cogexp.metrics.measurement import METRICS

    kinds = {kind for name in resolve_names(names) for kind in METRICS[name].networks}
    known = {
        "clip": Weights(kind="clip", name=clip_model, license=CLIP_LICENSE),
        "lpips": Weights(kind="lpips", name="alexnet", license=ALEXNET_LICENSE),
    }
    return [weights for kind, weights in known.items() if kind in kinds]


def missing(names: str | Iterable[str], clip_model: str = DEFAULT_CLIP) -> list[Weights]:
    """Those of `needed` whose files are not on this machine. Reads the disk only."""
    return [weights for weights in needed(names, clip_model) if not _is_here(weights)]


def fetch(names: str | Iterable[str], clip_model: str = DEFAULT_CLIP) -> list[Weights]:
    """Download and verify what is missing; returns what was fetched.

    Raises OSError when the network fails.
    """
    gone = missing(names, clip_model)
    for weights in gone:
        if weights.kind == "clip":
            _fetch_clip(weights.name)
        else:
            _fetch_alexnet()
        if not _is_here(weights):
            raise OSError(f"{weights.name} was downloaded but is not complete")
    return gone


def _is_here(weights: Weights) -> bool:
    if weights.kind == "clip":
        return not networks.clip_files_missing(weights.name)
    return networks.alexnet_path().is_file()


def _fetch_clip(name: str) -> None:
    """A snapshot of the safetensors checkpoint; opening the file checks its header and length."""
    from huggingface_hub import snapshot_download
    from safetensors import safe_open

    folder = snapshot_download(name, allow_patterns=CLIP_PATTERNS)
    with safe_open(f"{folder}/model.safetensors", framework="pt") as file:
        if not any("text_projection" in key for key in file.keys()):  # noqa: SIM118 - not a dict
            raise OSError(f"{name} is not a CLIP checkpoint: it has no text_projection")


def _fetch_alexnet() -> None:
    """torchvision's own file into torch's hub folder.

    The digits in its name are checked against its SHA-256.
    """
    import torch
    from torchvision.models import AlexNet_Weights

    url = AlexNet_Weights.IMAGENET1K_V1.url
    path = networks.alexnet_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.hub.load_state_dict_from_url(url, model_dir=str(path.parent), check_hash=True, weights_only=True)
