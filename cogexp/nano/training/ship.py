"""From checkpoints to the package and back: fp16 safetensors with notes inside, the weak model, the card."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from cogexp.nano import pack
from cogexp.nano.training import checkpoint
from cogexp.nano.training.card import LINES, card
from cogexp.nano.weights import metadata, undertrained_file, weight_file

LIMIT_MB = 30.0
UNDERTRAINED_LIMIT_MB = 6.0
# Training -> the files that it fills.
FILES = {"vae": ("vae",), "clip": ("clip",), "judge": ("judge",), "dit": ("transformer", "text_encoder")}


def ship(folder: Path, to: Path, *, parts: tuple[str, ...] = tuple(FILES)) -> dict[str, float]:
    """Write what has been trained in `folder`; what was shipped before and is not trained there stays.

    Returns file name -> MB. Raises ValueError when the whole is too big, or when a new VAE would be shipped
    under a denoiser that knows only the latents of the old one.
    """
    to.mkdir(parents=True, exist_ok=True)
    ready = [part for part in parts if _was_trained(folder / part)]
    if "vae" in ready and "dit" not in ready:
        _refuse_other_latents(folder / "vae", to)
    for part in ready:
        for file in FILES[part]:
            _write(file, folder / part, to)
    early = folder / "dit-early" / "average.safetensors"
    if early.is_file():
        save_file(pack.pack(checkpoint.load_average(early.parent)), undertrained_file(to))
    (to / "README.md").write_text(card(to), "utf-8")
    sizes = {path.name: path.stat().st_size / 1e6 for path in sorted(to.glob("*.safetensors"))}
    if sum(sizes.values()) > LIMIT_MB or sizes.get(undertrained_file(to).name, 0) > UNDERTRAINED_LIMIT_MB:
        raise ValueError(f"the weights take {sum(sizes.values()):.1f} MB of {LIMIT_MB:g}: {sizes}")
    return sizes


def _was_trained(folder: Path) -> bool:
    """Whether there are weights that are not just those of the package (`begin_from_shipped`)."""
    progress = checkpoint.load_progress(folder)
    untouched = progress is not None and progress.step == 0 and bool(progress.earlier)
    return (folder / "average.safetensors").is_file() and not untouched


def _refuse_other_latents(source: Path, to: Path) -> None:
    if not (weight_file("transformer", to).is_file() and weight_file("vae", to).is_file()):
        return
    new, old = checkpoint.of_part(checkpoint.load_average(source), "vae"), load_file(weight_file("vae", to))
    if any(not torch.equal(new[name].half(), tensor) for name, tensor in old.items()):
        raise ValueError(
            f"{weight_file('transformer', to)} was trained on another VAE; train dit on this one first, "
            "or remove the denoiser's files"
        )


def _write(file: str, source: Path, to: Path) -> None:
    tensors = checkpoint.of_part(checkpoint.load_average(source), file)
    notes = {}
    if progress := checkpoint.load_progress(source):
        latest = {name: value for name in LINES if (value := progress.last(name)) is not None}
        generated = source.parent / "adherence.json"
        if file == "transformer" and generated.is_file():
            latest |= json.loads(generated.read_text("utf-8"))
        notes = {"pieces": json.dumps(progress.pieces()), "figures": json.dumps(latest)}
    scale = source / "scaling.json"
    if file == "vae" and scale.is_file():
        notes["scaling_factor"] = repr(float(json.loads(scale.read_text("utf-8"))["scaling_factor"]))
    half = {k: v.half().contiguous() if v.is_floating_point() else v for k, v in tensors.items()}
    save_file(half, weight_file(file, to), metadata=notes)
    # safetensors writes for the owner only; an installed package is read by everyone.
    weight_file(file, to).chmod(0o644)


def begin_from_shipped(shipped: Path, folder: Path) -> tuple[str, ...]:
    """Make checkpoints of shipped weights for every part whose folder is empty; returns these parts.

    Their next training starts a schedule of its own and counts on from the shipped pieces.
    """
    begun = []
    for part, files in FILES.items():
        there = all(weight_file(file, shipped).is_file() for file in files)
        if not there or checkpoint.load_progress(folder / part):
            continue
        new = folder / part
        new.mkdir(parents=True, exist_ok=True)
        tensors = {
            f"{file}/{name}": tensor.float() if tensor.is_floating_point() else tensor
            for file in files
            for name, tensor in load_file(weight_file(file, shipped)).items()
        }
        save_file(tensors, new / "average.safetensors")
        notes = metadata(files[0], shipped)
        if part == "vae":
            scale = {"scaling_factor": float(notes["scaling_factor"])}
            (new / "scaling.json").write_text(json.dumps(scale), "utf-8")
        progress = checkpoint.Progress(earlier=json.loads(notes.get("pieces", "[]")))
        if figures := json.loads(notes.get("figures", "{}")):
            progress.note(figures)
        checkpoint.save_progress(new, progress)
        begun.append(part)
    return tuple(begun)


def keep_early(folder: Path) -> None:
    """Keep the present average of the denoiser as the weak model."""
    to = folder / "dit-early"
    checkpoint.write_compact(folder / "dit", to)
