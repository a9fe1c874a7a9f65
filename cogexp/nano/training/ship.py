"""From checkpoints to the package: fp16 safetensors with notes inside, the weak model, and the model card."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors.torch import save_file

from cogexp.nano import pack
from cogexp.nano.training import checkpoint
from cogexp.nano.training.card import card
from cogexp.nano.weights import undertrained_file, weight_file

LIMIT_MB = 30.0
UNDERTRAINED_LIMIT_MB = 6.0
# Shipped part -> the training that makes it.
SOURCES = {"vae": "vae", "transformer": "dit", "text_encoder": "dit", "clip": "clip", "judge": "judge"}
# The judge is for measuring a training; it stays with the checkpoints.
SHIPPED = ("vae", "transformer", "text_encoder", "clip")
# At this share of its training the denoiser is kept as the weak model.
UNDERTRAINED_AT = 0.12


def ship(folder: Path, to: Path, *, parts: tuple[str, ...] = SHIPPED) -> dict[str, float]:
    """Write what has been trained; returns file name -> MB. Raises ValueError when the whole is too big."""
    to.mkdir(parents=True, exist_ok=True)
    for part in parts:
        source = folder / SOURCES[part]
        if (source / "average.safetensors").is_file():
            _write(part, source, to)
    early = folder / "dit-early" / "average.safetensors"
    if early.is_file():
        save_file(pack.pack(checkpoint.load_average(early.parent)), undertrained_file(to))
    (to / "README.md").write_text(card(folder))
    sizes = {path.name: path.stat().st_size / 1e6 for path in sorted(to.glob("*.safetensors"))}
    if sum(sizes.values()) > LIMIT_MB or sizes.get(undertrained_file(to).name, 0) > UNDERTRAINED_LIMIT_MB:
        raise ValueError(f"the weights take {sum(sizes.values()):.1f} MB of {LIMIT_MB:g}: {sizes}")
    return sizes


def _write(part: str, source: Path, to: Path) -> None:
    tensors = checkpoint.of_part(checkpoint.load_average(source), part)
    progress = checkpoint.load_progress(source)
    notes = {} if progress is None else {"steps": str(progress.step), "device": progress.device}
    scale = source / "scaling.json"
    if part == "vae" and scale.is_file():
        notes["scaling_factor"] = repr(float(json.loads(scale.read_text())["scaling_factor"]))
    half = {k: v.half().contiguous() if v.is_floating_point() else v for k, v in tensors.items()}
    save_file(half, weight_file(part, to), metadata=notes)


def keep_early(folder: Path) -> None:
    """Keep the present average of the denoiser as the weak model."""
    to = folder / "dit-early"
    checkpoint.write_compact(folder / "dit", to)
