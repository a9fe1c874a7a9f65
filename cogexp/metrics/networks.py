"""The one place that loads networks, holds them and frees them.

Nothing here touches the network or random weights.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cogexp.metrics.score import FETCH_HINT

ALEXNET_FILE = "alexnet-owt-7be5be79.pth"  # torchvision's name; the digits are the start of its SHA-256
CLIP_FILES = ("config.json", "model.safetensors", "preprocessor_config.json", "tokenizer_config.json")

_HELD: dict[tuple[str, str, str], Any] = {}


class MissingWeights(RuntimeError):
    """A network's weights are not on this machine. The message names the file and the command that helps."""


def load(kind: str, name: str, device: str) -> Any:
    """The network (kind, name) on `device`, loaded once per process from local files only.

    Raises MissingWeights when its files are not there.
    """
    key = (kind, name, device)
    if key not in _HELD:
        if kind not in LOADERS:
            raise ValueError(f"unknown network {kind!r}; choices: {', '.join(LOADERS)}")
        _HELD[key] = LOADERS[kind](name, device)
    return _HELD[key]


def held() -> tuple[tuple[str, str, str], ...]:
    """(kind, name, device) of every network that this process keeps."""
    return tuple(_HELD)


def release() -> None:
    """Forget all networks, so that their memory can be used for something else."""
    _HELD.clear()


def missing_weights(kind: str, name: str) -> MissingWeights:
    """The error for weights that are not there, with its remedy."""
    return MissingWeights(f"the weights of {name} ({kind}) are not on this machine; run: {FETCH_HINT}")


def clip_files_missing(name: str) -> list[str]:
    """Files of a CLIP checkpoint (hub id or folder) that are not on this machine."""
    if Path(name).is_dir():
        return [file for file in CLIP_FILES if not (Path(name) / file).is_file()]
    from huggingface_hub import try_to_load_from_cache

    return [file for file in CLIP_FILES if not isinstance(try_to_load_from_cache(name, file), str)]


def alexnet_path() -> Path:
    """Where torchvision keeps the AlexNet backbone."""
    import torch

    return Path(torch.hub.get_dir()) / "checkpoints" / ALEXNET_FILE


def _load_clip(name: str, device: str) -> Any:
    if clip_files_missing(name):
        raise missing_weights("CLIP", name)
    from transformers import AutoTokenizer, CLIPImageProcessor, CLIPModel

    from cogexp.metrics.clip import HfClip

    model = CLIPModel.from_pretrained(name, local_files_only=True, use_safetensors=True)
    return HfClip(
        name=name,
        model=model.eval().to(device),
        tokenizer=AutoTokenizer.from_pretrained(name, local_files_only=True),
        image_processor=CLIPImageProcessor.from_pretrained(name, local_files_only=True),
        device=device,
    )


def _load_lpips(name: str, device: str) -> Any:
    path = alexnet_path()
    if name != "alex" or not path.is_file():
        raise missing_weights("the LPIPS backbone", "AlexNet")
    import torch

    from cogexp.metrics.perceptual import LpipsNetwork

    state = torch.load(path, map_location="cpu", weights_only=True)
    return LpipsNetwork(name="lpips alex v0.1", model=lpips_with_backbone(state).to(device), device=device)


def lpips_with_backbone(state: dict[str, Any]) -> Any:
    """lpips.LPIPS (its own linear heads) on torchvision AlexNet weights `state`, without a download.

    The package can only build a pretrained backbone by downloading it: it is built empty and filled here.
    """
    import lpips
    import torch

    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchvision: the package uses its old `pretrained` argument
        model = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
    layers = dict(model.net.named_parameters())  # "slice2.3.weight" is AlexNet's "features.3.weight"
    filled = {key: state["features." + key.split(".", 1)[1]] for key in layers}
    model.net.load_state_dict(filled, strict=True)
    return model.eval()


LOADERS: dict[str, Callable[[str, str], Any]] = {"clip": _load_clip, "lpips": _load_lpips}
