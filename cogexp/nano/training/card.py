"""The model card: data, steps, figures against the lines they should reach, hardware, command, licence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cogexp.nano.weights import metadata

# figure -> (what it is, the line with a GPU, the line without).
LINES: dict[str, tuple[str, float, float]] = {
    "psnr_db": ("VAE: PSNR (dB), held-out 512x288x9 clips", 30.0, 27.0),
    "r1_image": ("CLIP: R@1 of 64, clip to text", 0.85, 0.85),
    "r1_text": ("CLIP: R@1 of 64, text to clip", 0.85, 0.85),
    "hard_place": ("CLIP: against another place", 0.98, 0.98),
    "hard_time": ("CLIP: against another time", 0.98, 0.98),
    "hard_colour": ("CLIP: against another colour", 0.95, 0.95),
    "hard_animal": ("CLIP: against another animal", 0.90, 0.90),
    "hard_count": ("CLIP: against another count", 0.85, 0.85),
    "hard_action": ("CLIP: against another action", 0.75, 0.75),
    "adherence_place": ("Generated: place", 0.95, 0.90),
    "adherence_time": ("Generated: time", 0.95, 0.95),
    "adherence_animal": ("Generated: animal", 0.80, 0.55),
    "adherence_colour": ("Generated: colour", 0.80, 0.60),
    "adherence_count": ("Generated: count", 0.70, 0.50),
    "clip_auc": ("Generated: AUC of matching over mismatching prompts", 0.95, 0.95),
}
# Shipped file -> what it is; text encoder and transformer are trained together.
PARTS = {
    "vae": "VAE",
    "clip": "CLIP",
    "judge": "judge",
    "transformer": "denoiser and text encoder",
}


def notes(part: str, shipped: Path) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """(pieces of its training, held-out figures) of a shipped part; ([], {}) when it is not there."""
    found = metadata(part, shipped)
    return json.loads(found.get("pieces", "[]")), json.loads(found.get("figures", "{}"))


def figures(shipped: Path) -> dict[str, float]:
    """The held-out figures of all shipped parts."""
    return {name: value for part in PARTS for name, value in notes(part, shipped)[1].items()}


def card(shipped: Path) -> str:
    """Markdown. What falls short of its line, and what is not trained yet, is said."""
    found = figures(shipped)
    pieces = {part: notes(part, shipped)[0] for part in PARTS}
    with_gpu = any(not str(piece["device"]).startswith("CPU") for rows in pieces.values() for piece in rows)
    rows = ["| figure | value | line | |", "|---|---|---|---|"]
    for name, (title, gpu, cpu) in LINES.items():
        line = gpu if with_gpu else cpu
        if name not in found:
            rows.append(f"| {title} | not measured | {line:g} | |")
        else:
            mark = "reached" if found[name] >= line else "short"
            rows.append(f"| {title} | {found[name]:.3g} | {line:g} | {mark} |")
    short = [name for name, (_, gpu, cpu) in LINES.items()
             if name in found and found[name] < (gpu if with_gpu else cpu)]  # fmt: skip
    return _TEXT.format(parts=_parts(pieces), figures="\n".join(rows), rest=_rest(pieces, short, found))


def _parts(pieces: dict[str, list[dict[str, Any]]]) -> str:
    rows = ["| part | trained on | steps | hours | hardware |", "|---|---|---|---|---|"]
    for part, title in PARTS.items():
        for piece in pieces[part]:
            world = f"entropy {piece.get('entropy', '?')}, plan {piece.get('plan', '?')}"
            hours = piece["seconds"] / 3600
            rows.append(f"| {title} | {world} | {piece['steps']} | {hours:.2f} | {piece['device']} |")
        if len(pieces[part]) > 1:
            steps = sum(piece["steps"] for piece in pieces[part])
            hours = sum(piece["seconds"] for piece in pieces[part]) / 3600
            rows.append(f"| {title} | all pieces | {steps} | {hours:.2f} | |")
        if not pieces[part]:
            rows.append(f"| {title} | not trained yet | 0 | 0 | |")
    return "\n".join(rows)


def _rest(pieces: dict[str, list[dict[str, Any]]], short: list[str], found: dict[str, float]) -> str:
    lines = []
    if "generated_clips" in found:
        lines.append(
            f"Generated: {found['generated_clips']:g} held-out prompts at {found['generated_width']:g}x"
            f"{found['generated_height']:g}, {found['generated_steps']:g} steps, guidance "
            f"{found['generated_guidance']:g}, read by the judge."
        )
    if not pieces["transformer"]:
        lines.append(
            "The denoiser is not trained yet: generated clips are abstract, and no figure of generated clips "
            "can be measured. `python -m cogexp.nano.train dit --from shipped` trains it on the shipped "
            "VAE's latents; about 20 minutes of a data-centre GPU by plan `gpu`, many hours of a CPU."
        )
    for name in short:
        lines.append(f"{LINES[name][0]}: short of its line; more steps of the same training would mend it.")
    return "\n".join(f"- {line}" for line in lines)


_TEXT = """# The nano CogVideoX

A CogVideoX of the real classes at small sizes (denoiser 8.05M parameters, VAE 1.95M, text encoder 0.9M) and
a CLIP (1.06M) of the same world. Its world is 9-frame cartoon clips of one to three animals. It knows nothing
else, and is no judge of the full-size models' quality.

- Data: clips rendered by `cogexp.nano.world` with exact captions, made while training. One combination of
  colour, animal and place in eight is never trained by the CLIP and the denoiser; the figures below are
  measured on those. No photograph, film or text of anybody is in it.
- Licence: Apache-2.0, as the rest of the package.
- Training from nothing: `python -m cogexp.nano.train all --plan gpu` (or `--plan cpu`), which resumes
  where it stopped; further from these weights: the same with `--from shipped` (a denoiser on a CPU: with
  `--plan cpu-more`). Then `python -m cogexp.nano.train adherence`,
  `python -m cogexp.nano.train measure` and `python -m cogexp.nano.train ship`.
- Figures are of the weights before their rounding to fp16.

{parts}

{figures}

{rest}
"""
