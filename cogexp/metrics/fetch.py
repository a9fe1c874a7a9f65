"""Which networks a set of metrics needs, which of them are missing, and getting them once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from cogexp.metrics import nano_clip, networks
from cogexp.metrics.consistency import DINO
from cogexp.metrics.names import resolve_names
from cogexp.system import hub
from cogexp.system.network import Cause, NetworkError

DEFAULT_CLIP = "openai/clip-vit-large-patch14"
REMEDY = "python -m cogexp fetch with the same words goes on where it stopped"
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

    Raises NetworkError, an OSError of one line, for the first that cannot be had.
    """
    gone = missing(names, clip_model)
    for weights in gone:
        fetch_one(weights)
    return gone


def fetch_one(weights: Weights) -> None:
    """Download and verify one network. Raises NetworkError."""
    FETCHERS[weights.kind](weights.name)
    if not _is_here(weights):
        text = f"{weights.name} was downloaded but is not complete"
        raise NetworkError(f"{text}; {REMEDY}", Cause(kind="damaged", text=text))


def _is_here(weights: Weights) -> bool:
    """Whether all files are there and whole."""
    if weights.kind in HUB_FILES:
        files = HUB_FILES[weights.kind]
        return not networks.hub_files_missing(weights.name, files) and not networks.damage(weights.name)
    file = networks.hub_path(TORCHVISION_FILES[weights.kind])
    return file.is_file() and hub.has_digest(file, _digest_in(file.name))


def _digest_in(name: str) -> str:
    """torchvision's file names end in the first digits of their SHA-256."""
    return name.rpartition("-")[2].partition(".")[0]


def _fetch_clip(name: str) -> None:
    _fetch_snapshot(name, "text_projection", "CLIP")


def _fetch_dino(name: str) -> None:
    _fetch_snapshot(name, "cls_token", "DINO")


def _fetch_snapshot(name: str, key: str, kind: str) -> None:
    """A snapshot of a safetensors checkpoint.

    Opening the file checks its header and length, `key` its kind.
    """
    from safetensors import SafetensorError, safe_open

    folder = hub.snapshot(name, None, SAFE_PATTERNS, remedy=REMEDY)
    try:
        with safe_open(f"{folder}/model.safetensors", framework="np") as file:
            found = list(file.keys())
    except (OSError, SafetensorError):
        found = []
    if not any(key in name for name in found):
        text = f"{name} is not a {kind} checkpoint: its model.safetensors has no {key}"
        raise NetworkError(text, Cause(kind="wrong", text=text))


def _fetch_alexnet(name: str) -> None:
    from torchvision.models import AlexNet_Weights

    _fetch_torchvision(AlexNet_Weights.IMAGENET1K_V1.url)


def _fetch_raft(name: str) -> None:
    from torchvision.models.optical_flow import Raft_Large_Weights

    _fetch_torchvision(Raft_Large_Weights.C_T_SKHT_V2.url)


def _fetch_torchvision(url: str) -> None:
    """torchvision's own file into torch's hub folder."""
    file = networks.hub_path(url.rpartition("/")[2])
    hub.fetch_file(url, file, _digest_in(file.name), remedy=REMEDY)


HUB_FILES = {"clip": networks.CLIP_FILES, "dino": networks.DINO_FILES}
TORCHVISION_FILES = {"lpips": networks.ALEXNET_FILE, "raft": networks.RAFT_FILE}
FETCHERS: dict[str, Callable[[str], None]] = {
    "clip": _fetch_clip,
    "lpips": _fetch_alexnet,
    "dino": _fetch_dino,
    "raft": _fetch_raft,
}
