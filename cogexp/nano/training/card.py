"""The model card: data, steps, figures against the lines they should reach, hardware, command, licence."""

from __future__ import annotations

import json
from pathlib import Path

from cogexp.nano.training.checkpoint import Progress, load_progress

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
PARTS = ("vae", "clip", "judge", "dit")


def figures(folder: Path) -> dict[str, float]:
    """The latest value of every figure of the training in `folder`."""
    found: dict[str, float] = {}
    for part in PARTS:
        progress = load_progress(folder / part)
        for row in progress.history if progress else []:
            found.update({k: v for k, v in row.items() if k not in ("step", "seconds")})
    extra = folder / "adherence.json"
    if extra.is_file():
        found.update(json.loads(extra.read_text()))
    return found


def card(folder: Path) -> str:
    """Markdown. What falls short of its line is marked."""
    found = figures(folder)
    progress = {part: p for part in PARTS if (p := load_progress(folder / part))}
    with_gpu = any(not p.device.startswith("CPU") for p in progress.values())
    rows = ["| figure | value | line | |", "|---|---|---|---|"]
    for name, (title, gpu, cpu) in LINES.items():
        line = gpu if with_gpu else cpu
        if name not in found:
            rows.append(f"| {title} | not measured | {line:g} | |")
        else:
            mark = "reached" if found[name] >= line else "short"
            rows.append(f"| {title} | {found[name]:.3g} | {line:g} | {mark} |")
    return _TEXT.format(parts=_parts(progress), figures="\n".join(rows))


def _parts(progress: dict[str, Progress]) -> str:
    rows = ["| part | steps | hours | hardware |", "|---|---|---|---|"]
    rows += [f"| {n} | {p.step} | {p.seconds / 3600:.2f} | {p.device} |" for n, p in progress.items()]
    return "\n".join(rows)


_TEXT = """# The nano CogVideoX

A CogVideoX of the real classes at small sizes (denoiser 8.05M parameters, VAE 2.1M, text encoder 0.9M) and
a CLIP (1.5M) of the same world. It makes 9-frame cartoon clips of one to three animals. It knows nothing
else, and is no judge of the full-size models' quality.

- Data: clips rendered by `cogexp.nano.world` with exact captions, made while training. One combination of
  colour, animal and place in eight is never trained; the figures below are measured on those. No
  photograph, film or text of anybody is in it.
- Licence: Apache-2.0, as the rest of the package.
- Training from nothing: `python -m cogexp.nano.train all --plan gpu` (or `--plan cpu`), which resumes
  where it stopped, then `python -m cogexp.nano.train ship`.
- Figures are of the averaged weights, before their rounding to fp16.

{parts}

{figures}
"""
