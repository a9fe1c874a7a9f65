"""Which networks a set of metrics needs, which of them are missing, and getting them once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from cogexp.metrics import nano_clip, networks
from cogexp.metrics.consistency import DINO
from cogexp.metrics.names import resolve_names

DEFAULT_CLIP = "openai/clip-vit-large-patch14"
SAFE_PATTERNS = ["*.json", "*.txt", "model.safetensors"]  # never a pickle


@dataclass(frozen=True, kw_only=True)
class Weights:
    """One download: what it is for, where it comes from, its licence."""

    kind: str
    name: str
    license: str


def needed(names: str | Iterable[str], clip_model: str = DEFAULT_CLIP) -> list[Weights]:
    """The networks that these metrics (or presets) read and that can be fetched."""
    from cogexp.metrics.measurement import METRICS

    kinds = {kind for name in resolve_names(names) for kind in METRICS[name].networks}
    if clip_model == nano_clip.NAME:
        kinds.discard("clip")  # part of this package
    known = (
        Weights(kind="clip", name=clip_model, license="MIT (OpenAI CLIP)"),
        Weights(kind="lpips", name="alexnet", license="BSD-3-Clause (torchvision); LPIPS heads BSD-2-Clause"),
        Weights(kind="dino", name=DINO, license="Apache-2.0 (DINO)"),
        Weights(kind="raft", name="raft_large", license="BSD-3-Clause (torchvision)"),
    )
    return [weights for weights in known if weights.kind in kinds]


def missing(names: str | Iterable[str], clip_model: str = DEFAULT_CLIP) -> list[Weights]:
    """Those of `needed` whose files are not on this machine. Reads the disk only."""
    return [weights for weights in needed(names, clip_model) if not _is_here(weights)]


def fetch(names: str | Iterable[str], clip_model: str = DEFAULT_CLIP) -> list[Weights]:
    """Download and verify what is missing; returns what was fetched.

    Raises OSError when the network fails.
    """
    gone = missing(names, clip_model)
    for weights in gone:
        FETCHERS[weights.kind](weights.name)
        if not _is_here(weights):
            raise OSError(f"{weights.name} was downloaded but is not complete")
    return gone


def _is_here(weights: Weights) -> bool:
    if weights.kind == "clip":
        return not networks.clip_files_missing(weights.name)
    if weights.kind == "dino":
        return not networks.hub_files_missing(weights.name, networks.DINO_FILES)
    return networks.hub_path(TORCHVISION_FILES[weights.kind]).is_file()


def _fetch_clip(name: str) -> None:
    _fetch_snapshot(name, "text_projection", "CLIP")


def _fetch_dino(name: str) -> None:
    _fetch_snapshot(name, "cls_token", "DINO")


def _fetch_snapshot(name: str, key: str, kind: str) -> None:
    """A snapshot of a safetensors checkpoint.

    Opening the file checks its header and length, `key` its kind.
    """
    from huggingface_hub import snapshot_download
    from safetensors import safe_open

    folder = snapshot_download(name, allow_patterns=SAFE_PATTERNS)
    with safe_open(f"{folder}/model.safetensors", framework="pt") as file:
        if not any(key in found for found in file.keys()):  # noqa: SIM118 - not a dict
            raise OSError(f"{name} is not a {kind} checkpoint: it has no {key}")


def _fetch_alexnet(name: str) -> None:
    from torchvision.models import AlexNet_Weights

    _fetch_torchvision(AlexNet_Weights.IMAGENET1K_V1.url)


def _fetch_raft(name: str) -> None:
    from torchvision.models.optical_flow import Raft_Large_Weights

    _fetch_torchvision(Raft_Large_Weights.C_T_SKHT_V2.url)


def _fetch_torchvision(url: str) -> None:
    """torchvision's own file into torch's hub folder.

    The digits in its name are checked against its SHA-256.
    """
    import torch

    folder = networks.hub_path("")
    folder.mkdir(parents=True, exist_ok=True)
    torch.hub.load_state_dict_from_url(url, model_dir=str(folder), check_hash=True, weights_only=True)


TORCHVISION_FILES = {"lpips": networks.ALEXNET_FILE, "raft": networks.RAFT_FILE}
FETCHERS: dict[str, Callable[[str], None]] = {
    "clip": _fetch_clip,
    "lpips": _fetch_alexnet,
    "dino": _fetch_dino,
    "raft": _fetch_raft,
}
