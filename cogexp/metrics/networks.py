"""The one place that loads networks, holds them and frees them.

Nothing here touches the network or random weights.
"""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from cogexp.metrics import nano_clip
from cogexp.metrics.score import FETCH_HINT
from cogexp.nano import clip as nano
from cogexp.storage.checkpoint_code import code_asked_by
from cogexp.system import hub

ALEXNET_FILE = "alexnet-owt-7be5be79.pth"  # torchvision's name; the digits are the start of its SHA-256
RAFT_FILE = "raft_large_C_T_SKHT_V2-ff5fadd5.pth"
DINO_FILES = ("config.json", "model.safetensors", "preprocessor_config.json")
CLIP_FILES = ("config.json", "model.safetensors", "preprocessor_config.json", "tokenizer_config.json")

# What transformers, safetensors and torch raise for half a file (pickle's own error is a plain Exception).
UNREADABLE = (OSError, EOFError, RuntimeError, ValueError, KeyError, pickle.UnpicklingError, SafetensorError)

_HELD: dict[tuple[str, str, str], Any] = {}


class MissingWeights(RuntimeError):
    """A network's weights are not on this machine. The message names the file and the command that helps."""


def load(kind: str, name: str, device: str) -> Any:
    """The network (kind, name) on `device`, loaded once per process from local files only.

    Raises MissingWeights when its files are not there or cannot be read.
    """
    key = (kind, name, device)
    if key not in _HELD:
        if kind not in LOADERS:
            raise ValueError(f"unknown network {kind!r}; choices: {', '.join(LOADERS)}")
        try:
            _HELD[key] = LOADERS[kind](name, device)
        except MissingWeights:
            raise
        except UNREADABLE as error:
            remedy = FETCH_HINT.replace("metrics=default", "metrics=all")
            why = f"{type(error).__name__}: cut off or damaged"
            raise MissingWeights(
                f"the weights of {name} ({kind}) cannot be read ({why}); run: {remedy}"
            ) from error
    return _HELD[key]


def held() -> tuple[tuple[str, str, str], ...]:
    """(kind, name, device) of every network that this process keeps."""
    return tuple(_HELD)


def release() -> None:
    """Forget all networks, so that their memory can be used for something else."""
    _HELD.clear()


def missing_weights(kind: str, name: str, preset: str = "metrics=default") -> MissingWeights:
    """The error for weights that are not there, with its remedy."""
    remedy = FETCH_HINT.replace("metrics=default", preset)
    return MissingWeights(f"the weights of {name} ({kind}) are not on this machine; run: {remedy}")


def hub_files_missing(name: str, files: tuple[str, ...]) -> list[str]:
    """Those files of a checkpoint (hub id or folder) that are not on this machine."""
    if Path(name).is_dir():
        return [file for file in files if not (Path(name) / file).is_file()]
    from huggingface_hub import try_to_load_from_cache

    return [file for file in files if not isinstance(try_to_load_from_cache(name, file), str)]


def damage(name: str) -> str | None:
    """What is wrong with the weights of a checkpoint (hub id or folder) on this machine; None: nothing."""
    if Path(name).is_dir():
        return hub.damage(Path(name) / "model.safetensors")
    from huggingface_hub import try_to_load_from_cache

    return hub.damage(Path(try_to_load_from_cache(name, "model.safetensors")))


def clip_files_missing(name: str) -> list[str]:
    """Files of a CLIP checkpoint that are not on this machine."""
    return hub_files_missing(name, CLIP_FILES)


def hub_path(file: str) -> Path:
    """Where torchvision keeps this download."""
    import torch

    return Path(torch.hub.get_dir()) / "checkpoints" / file


def alexnet_path() -> Path:
    """Where torchvision keeps the AlexNet backbone."""
    return hub_path(ALEXNET_FILE)


def _load_clip(name: str, device: str) -> Any:
    if name == nano_clip.NAME:
        if not nano.available():
            raise MissingWeights(f"{name} is not trained yet; run: python -m cogexp.nano.train clip")
        return nano_clip.load(device)
    if clip_files_missing(name):
        raise missing_weights("CLIP", name)
    if Path(name).is_dir() and (code := code_asked_by(Path(name))):
        raise MissingWeights(f"{name} is not used: {code}, and no code of a checkpoint is run")
    from transformers import AutoTokenizer, CLIPImageProcessor, CLIPModel

    from cogexp.metrics.clip import HfClip

    model = CLIPModel.from_pretrained(name, local_files_only=True, use_safetensors=True)
    return HfClip(
        name=name,
        model=model.eval().to(device),
        tokenizer=AutoTokenizer.from_pretrained(name, local_files_only=True, trust_remote_code=False),
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


def _load_dino(name: str, device: str) -> Any:
    if hub_files_missing(name, DINO_FILES):
        raise missing_weights("DINO", name, "metrics=all")
    from transformers import ViTImageProcessor, ViTModel

    from cogexp.metrics.consistency import DinoNetwork

    model = ViTModel.from_pretrained(
        name, local_files_only=True, use_safetensors=True, add_pooling_layer=False
    )
    processor = ViTImageProcessor.from_pretrained(name, local_files_only=True)
    return DinoNetwork(name=name, model=model.eval().to(device), image_processor=processor, device=device)


def _load_raft(name: str, device: str) -> Any:
    path = hub_path(RAFT_FILE)
    if not path.is_file():
        raise missing_weights("optical flow", "RAFT", "metrics=all")
    import torch
    from torchvision.models.optical_flow import raft_large

    from cogexp.metrics.flow_networks import RaftNetwork

    with torch.random.fork_rng(devices=[]):
        model = raft_large(weights=None, progress=False)
    model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return RaftNetwork(name="raft", model=model.eval().to(device), device=device)


def _load_interpolator(name: str, device: str) -> Any:
    raise MissingWeights(
        f"the frame interpolator {name} has no package to install: "
        "plug one in with networks={'interpolator': ...}"
    )


LOADERS: dict[str, Callable[[str, str], Any]] = {
    "clip": _load_clip,
    "lpips": _load_lpips,
    "dino": _load_dino,
    "raft": _load_raft,
    "interpolator": _load_interpolator,
}
