"""The atlas: one page of all that was seen, with its pictures beside it. Opens from disk, no network.

A folder: index.html, pictures/, the clip and numbers.json; copy it as a whole. Text of the user's reaches the
page through escaping only.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cogexp.inspect.draw import attention, blocks, effects, heat, measured, text, tokens, vae
from cogexp.inspect.draw.kit import Picture
from cogexp.inspect.measured import Measured
from cogexp.inspect.seen import Activations
from cogexp.inspect.tables import Table
from cogexp.system.html import content_policy, new_nonce
from cogexp.terminal import Progress, Silent
from cogexp.video import Writer
from cogexp.whole import write_whole

PAGE = Path(__file__).parent / "page"
PICTURES = "pictures"

ABOUT = {
    measured.SECTION: "Measured over a suite of prompts with known attributes, not read off one picture. The "
    "sentence of each plot is made of its numbers.",
    text.SECTION: "The prompt's tokens in every layer. Rows are tokens as the tokenizer cut them; the last"
    " row is the first token of padding, which the model attends to as well.",
    heat.SECTION: "What each video patch reads of each word through attention (exact shares of the softmax"
    " over all text and video tokens, averaged over the heads, in the pass with the prompt), and what each"
    " word changes. The text encoder writes a word into many tokens, so a token counts for the words by how"
    " far it moves without each of them.",
    blocks.SECTION: "The video tokens after each watched block, on their grid of patches.",
    vae.SECTIONS["encoder"]: "The layers of the encoder, shown the clip (or the video that was given).",
    vae.SECTIONS["decoder"]: "The layers of the decoder while the clip was made: its first group of frames.",
}


@dataclass(frozen=True, kw_only=True)
class Atlas:
    """What was written: the page, and the pictures below `folder`/pictures in the page's order."""

    folder: Path
    page: Path
    pictures: tuple[Picture, ...]

    def files(self) -> dict[str, str]:
        """'inspect/text-00' -> 'pictures/text-00.png', relative to the folder."""
        return {f"inspect/{Path(p.file).stem}": f"{PICTURES}/{p.file}" for p in self.pictures}


def write_atlas(
    folder: Path,
    found: Activations,
    layers: Measured | None,
    *,
    title: str,
    facts: str,
    warnings: Sequence[str] = (),
    tables: Sequence[Table] = (),
    extra: Sequence[Picture] = (),
    fps: float = 8.0,
    progress: Progress | None = None,
) -> Atlas:
    """Draw everything into `folder` and write the page, last and atomically.

    `extra` are pictures that lie in the folder's pictures/ already. Needs matplotlib and jinja2.
    """
    progress, drawn = progress or Silent(), list(extra)
    folder.mkdir(parents=True, exist_ok=True)
    pictures = folder / PICTURES
    for old in pictures.glob("*.png"):
        if old.name not in {picture.file for picture in extra}:
            old.unlink()  # of an earlier prompt of the same setting
    kinds = (
        text.draw, attention.draw, effects.draw, tokens.draw, attention.draw_words, blocks.draw, vae.draw,
    )  # fmt: skip
    with progress.stage("draw", len(kinds) + 1) as advance:
        drawn += measured.draw(layers, pictures) if layers else []
        for done, kind in enumerate(kinds, 1):
            advance(done)
            drawn += kind(found, pictures)
        advance(len(kinds) + 1)
    with Writer(folder / "clip.mp4", fps) as file:
        file.write(found.frames)
    write_whole(folder / "numbers.json", json.dumps(numbers(found, layers), allow_nan=False, indent=1))
    page = folder / "index.html"
    write_whole(page, _render(found, drawn, title=title, facts=facts, warnings=warnings, tables=tables))
    return Atlas(folder=folder, page=page, pictures=tuple(drawn))


def numbers(found: Activations, layers: Measured | None) -> dict[str, Any]:
    """The figures behind the pictures, for programs."""
    watched = [(step, block) for step in found.steps for block in found.blocks]
    return {
        "prompt": found.prompt.text,
        "tokens": list(found.prompt.tokens),
        "padded_to": found.prompt.length,
        "blocks": list(found.blocks),
        "steps": [step + 1 for step in found.steps],
        "grid": list(found.passes.grid),
        "attention": {
            "columns": list(found.columns),
            "mean": [
                {"step": step + 1, "block": block, "shares": _rounded(found.maps(step, block))}
                for step, block in watched
            ],
        },
        "readings": {
            "words": [word.text for word in found.prompt.words],
            "mean": [
                {"step": step + 1, "block": block, "shares": _rounded(found.readings(step, block))}
                for step, block in watched
            ],
            "influence": [[round(float(share), 4) for share in row] for row in found.influence],
        },
        "effects": _effects(found),
        "norms": [
            {
                "step": step + 1,
                "block": block,
                "mean": round(float(np.mean(found.passes.views[step, block].norms)), 4),
            }
            for step, block in watched
        ],
        "text_layers": layers.plain() if layers else None,
    }


def _effects(found: Activations) -> dict[str, Any] | None:
    """Mean change of the prediction without each word."""
    if found.effects is None:
        return None
    return {"step": found.effect_step + 1, "mean": _rounded(found.effects)}


def _rounded(maps: np.ndarray) -> list[float]:
    """The mean of each of (n, f, h, w) to six digits."""
    return [float(f"{value:.6g}") for value in maps.mean((1, 2, 3))]


def _render(
    found: Activations,
    drawn: Sequence[Picture],
    *,
    title: str,
    facts: str,
    warnings: Sequence[str],
    tables: Sequence[Table],
) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(loader=FileSystemLoader(PAGE), autoescape=True, undefined=StrictUndefined)
    names = list(dict.fromkeys(picture.section for picture in drawn))
    sections = [
        {
            "id": f"section-{index}",
            "name": name,
            "about": ABOUT.get(name, ""),
            "pictures": [picture for picture in drawn if picture.section == name],
        }
        for index, name in enumerate(names)
    ]
    nonce = new_nonce()
    return environment.get_template("atlas.html").render(
        nonce=nonce,
        policy=content_policy(nonce),
        title=title,
        prompt=found.prompt.text,
        facts=facts,
        warnings=list(warnings),
        sections=sections,
        tables=list(tables),
        clip="clip.mp4",
        width=found.frames.shape[2],
        height=found.frames.shape[1],
        # Our own files, not text of the user's: these two alone are not escaped.
        style=Markup((PAGE / "atlas.css").read_text(encoding="utf-8")),
        script=Markup((PAGE / "atlas.js").read_text(encoding="utf-8")),
    )
