"""The embedded model's weights: where they lie, whether they are trained, and loading them.

Only the standard library is imported here; torch, diffusers and transformers come with `components`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

# Texts are padded to this many tokens; the pipeline must be told so (its default is 226).
MAX_SEQUENCE_LENGTH = 48
RANDOM_SEED = 0
# Raised when shapes, vocabulary or the random initialization change: old latents then no longer belong.
ARCH_VERSION = 1
FOLDER = Path(__file__).parent / "weights"
# The parts with weights that make a clip. The scorer (clip.safetensors) has its own loader.
PARTS = ("text_encoder", "transformer", "vae")
COMPONENTS = ("tokenizer", *PARTS, "scheduler")


def weight_file(part: str, folder: Path = FOLDER) -> Path:
    """Where the part's fp16 weights lie when they are shipped."""
    return folder / f"{part}.safetensors"


def trained(folder: Path = FOLDER) -> bool:
    """Whether every part that makes a clip has shipped weights; without them the clip is an abstract one."""
    return all(weight_file(part, folder).is_file() for part in PARTS)


def fingerprint(folder: Path = FOLDER) -> str:
    """What the model is, for identities and store keys: a hash of its weights or 'random-<seed>-v1'."""
    random = f"random-{RANDOM_SEED}-v{ARCH_VERSION}"
    if not trained(folder):
        return random
    digests = "".join(_file_digest(weight_file(part, folder)) for part in PARTS)
    return f"nano-{hashlib.sha256(digests.encode()).hexdigest()[:12]}-v{ARCH_VERSION}"


def _file_digest(path: Path) -> str:
    stat = path.stat()
    return _digest_of(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=32)
def _digest_of(path: Path, size: int, mtime_ns: int) -> str:
    """SHA-256 (hex) of a file's content; size and time are only keys of the cache."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def metadata(part: str, folder: Path = FOLDER) -> dict[str, str]:
    """The notes inside a weight file (steps, figures, scaling_factor); no torch needed; {} without a file."""
    path = weight_file(part, folder)
    if not path.is_file():
        return {}
    with path.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    notes: dict[str, str] = header.get("__metadata__", {})
    return notes


def components(which: Iterable[str] = COMPONENTS, folder: Path = FOLDER) -> dict[str, Any]:
    """The asked parts, float32 on the CPU, in eval mode, ready for CogVideoXPipeline.

    All three parts with weights come from the shipped files, or all three from the seeded random
    generator: a trained denoiser over a random decoder would show nothing. Raises ValueError for an
    unknown part.
    """
    from cogexp.nano import arch

    names = arch.check_components(which)
    if not trained(folder):
        return arch.build(RANDOM_SEED, names)
    parts = {name: load_part(name, folder) for name in names if name in PARTS}
    plain = arch.build(RANDOM_SEED, [name for name in names if name not in PARTS])
    return {name: parts.get(name, plain.get(name)) for name in names}


def load_part(part: str, folder: Path = FOLDER) -> Any:
    """One part from its file, fp16 on disk, float32 in memory.

    Raises OSError when there is no file, RuntimeError when its tensors do not fill the part.
    """
    import torch
    from safetensors.torch import load_file

    from cogexp.nano import arch

    state = {
        name: tensor.float() if tensor.is_floating_point() else tensor
        for name, tensor in load_file(weight_file(part, folder)).items()
    }
    module = arch.skeleton(part)
    module.load_state_dict(state, strict=False, assign=True)
    if part == "text_encoder":
        # T5 ties its two names of the embedding; the file holds it once.
        module.encoder.embed_tokens.weight = module.shared.weight
    missing = [name for name, tensor in module.state_dict().items() if tensor.device == torch.device("meta")]
    if missing:
        raise RuntimeError(
            f"{weight_file(part, folder).name} lacks {len(missing)} tensors, e.g. {missing[0]}"
        )
    if "scaling_factor" in (notes := metadata(part, folder)):
        module.register_to_config(scaling_factor=float(notes["scaling_factor"]))
    return module.eval().requires_grad_(False)
