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
ARCH_VERSION = 3
FOLDER = Path(__file__).parent / "weights"
# The parts with weights that make a clip. The scorer (clip.safetensors) has its own loader.
PARTS = ("text_encoder", "transformer", "vae")
COMPONENTS = ("tokenizer", *PARTS, "scheduler")
# Which weights: the trained ones, seeded random ones, or an early denoiser with the trained VAE.
KINDS = ("pretrained", "random", "undertrained")
CLIP_NAME = "cogexp/nano-clip"  # the scorer, as it stands beside its scores


def weight_file(part: str, folder: Path = FOLDER) -> Path:
    """Where the part's fp16 weights lie when they are shipped."""
    return folder / f"{part}.safetensors"


def undertrained_file(folder: Path = FOLDER) -> Path:
    """Where the weak model lies: an early denoiser and its text encoder, in four bits."""
    return folder / "undertrained.safetensors"


def trained_parts(folder: Path = FOLDER) -> tuple[str, ...]:
    """Which of PARTS have trained weights that can be used.

    Text encoder and transformer were trained together on this VAE's latents, so they count only as a whole.
    """
    there = tuple(part for part in PARTS if weight_file(part, folder).is_file())
    return there if len(there) == len(PARTS) else tuple(part for part in there if part == "vae")


def trained(folder: Path = FOLDER) -> bool:
    """Whether every part that makes a clip has shipped weights; without them the clip is an abstract one."""
    return trained_parts(folder) == PARTS


def notice(folder: Path = FOLDER) -> str | None:
    """One line that says what of the embedded model is not trained yet; None when all of it is."""
    parts = trained_parts(folder)
    if parts == PARTS:
        return None
    if not parts:
        return "the embedded model is not trained yet: seeded random weights"
    rest = " and ".join(part.replace("_", " ") for part in reversed(PARTS) if part not in parts)
    return f"the embedded model's {', '.join(parts)} is trained, its {rest} not yet: seeded random weights"


def fingerprint(folder: Path = FOLDER, kind: str = "pretrained") -> str:
    """What the model is, for identities and store keys.

    'nano-<hash>-v<n>', the hash of the files in use; 'random-<seed>-v<n>' for random weights;
    'nano-vae-<hash>-random-...' while only some parts are trained.
    """
    random = f"random-{RANDOM_SEED}-v{ARCH_VERSION}"
    parts = _parts_in_use(folder, kind)
    if not parts:
        return random
    files = [weight_file(part, folder) for part in parts]
    if kind == "undertrained":
        files.append(undertrained_file(folder))
    digests = "".join(_file_digest(file) for file in files)
    code = hashlib.sha256(digests.encode()).hexdigest()[:12]
    return f"nano-{code}-v{ARCH_VERSION}" if parts == PARTS else f"nano-{'-'.join(parts)}-{code}-{random}"


def _parts_in_use(folder: Path, kind: str) -> tuple[str, ...]:
    """The parts that have trained weights; random ones are asked for only of a model that has all of them."""
    parts = trained_parts(folder)
    return () if kind == "random" and parts == PARTS else parts


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


def components(
    which: Iterable[str] = COMPONENTS, folder: Path = FOLDER, *, kind: str = "pretrained"
) -> dict[str, Any]:
    """The asked parts of one of KINDS, float32 on the CPU, in eval mode, ready for CogVideoXPipeline.

    Of 'pretrained', `trained_parts` come from the shipped files and the others from the seeded random
    generator. Raises ValueError for an unknown part or kind, FileNotFoundError when the weak model is asked
    for and not shipped.
    """
    from cogexp.nano import arch

    names = arch.check_components(which)
    if kind not in KINDS:
        raise ValueError(f"nano weights are {', '.join(KINDS)}, got {kind!r}")
    usable = _parts_in_use(folder, kind)
    early = _undertrained_states(folder) if kind == "undertrained" else {}
    parts = {name: load_part(name, folder, early.get(name)) for name in names if name in usable}
    rest = arch.build(RANDOM_SEED, [name for name in names if name not in usable])
    return {name: parts.get(name, rest.get(name)) for name in names}


def undertrained_shipped(folder: Path = FOLDER) -> bool:
    """Whether there is a weak model: an early denoiser means something only with the VAE of its latents."""
    return trained(folder) and undertrained_file(folder).is_file()


def _undertrained_states(folder: Path) -> dict[str, dict[str, Any]]:
    from safetensors.torch import load_file

    from cogexp.nano.pack import unpack

    path = undertrained_file(folder)
    if not undertrained_shipped(folder):
        raise FileNotFoundError(f"{path}: not shipped; use nano.undertrained=false")
    states: dict[str, dict[str, Any]] = {}
    for name, tensor in unpack(load_file(path)).items():
        part, _, key = name.partition("/")
        states.setdefault(part, {})[key] = tensor
    return states


def load_part(part: str, folder: Path = FOLDER, state: dict[str, Any] | None = None) -> Any:
    """One part from its file (fp16 on disk, float32 in memory), or from a given state.

    Raises OSError when there is no file, RuntimeError when its tensors do not fill the part.
    """
    import torch
    from safetensors.torch import load_file

    from cogexp.nano import arch

    state = state or {
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
