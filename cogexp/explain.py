"""Who made the fault of a run: its latents are decoded a second time, whole, and the two clips are compared.

A fault that is gone in the second decoding came from the decoder's tiles; one that stays is in the latents.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cogexp import record as records
from cogexp.engine import generate
from cogexp.explain_picture import draw
from cogexp.metrics.artifacts.attribution import Attribution, attribute
from cogexp.record import Record
from cogexp.spec import RunSpec
from cogexp.store import Keys, Store
from cogexp.terminal import Progress

PICTURE = "explain.png"


class ExplainError(RuntimeError):
    """The run cannot be explained; the message says what helps."""


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """The verdict in one sentence, where the decodings differ, and the picture's file."""

    cause: str
    sentence: str
    rows: tuple[int, int] | None
    columns: tuple[int, int] | None
    picture: Path


def explain(folder: Path, out: Path, *, device: str, progress: Progress) -> Explanation:
    """Explain the run in `folder` with the latents kept below `out`/store; update its record and draw.

    Raises:
        ExplainError: the latents are gone, or the run made no clip.
        RecordError: the folder has no readable record.
    """
    record = records.read(folder)
    spec = RunSpec.from_dict(record.spec)
    kept = Store(out / "store", 0).load("denoise", Keys.of(spec).denoise)
    if kept is None:
        raise ExplainError(
            f"the latents of {record.run_id} are not in {out / 'store'}; make them again with: "
            f"python -m cogexp --config-path {folder} outputs={out} force=true"
        )
    made = _decode(spec, kept[0]["latents"], device, progress, "decode as run")
    lines = generate.tile_lines(spec, device)
    second = made
    if lines.rows or lines.columns:
        whole = dataclasses.replace(
            spec, optimization=dataclasses.replace(spec.optimization, vae_tiling=False)
        )
        second = _decode(whole, kept[0]["latents"], device, progress, "decode whole")
    verdict = attribute(made, second, spec.resolution.fps)
    sentence = _sentence(verdict, lines)
    title = f"{verdict.cause}: {sentence}"
    draw(made, second, verdict, lines, title=title, out=folder / PICTURE)
    _update(record, folder, verdict, sentence)
    return Explanation(
        cause=verdict.cause,
        sentence=sentence,
        rows=verdict.rows,
        columns=verdict.columns,
        picture=folder / PICTURE,
    )


def _decode(spec: RunSpec, latents: object, device: str, progress: Progress, name: str) -> np.ndarray:
    chunks: list[np.ndarray] = []
    with progress.stage(name, spec.resolution.frames) as advance:
        for chunk in generate.decode(spec, latents, device):
            chunks.append(chunk)
            advance(sum(map(len, chunks)))
    return np.concatenate(chunks)


def _sentence(verdict: Attribution, lines: generate.TileLines) -> str:
    """What happened and what helps, in words."""
    if not (lines.rows or lines.columns):
        if verdict.cause == "denoiser":
            return "the clip was decoded whole: the fault is in the latents; try the model's native size"
        return "the clip was decoded whole and no fault was found"
    if verdict.cause == "decoder":
        places = [f"{what} {span[0]}-{span[1]}" for what, span in _spans(verdict)]
        meet = ", ".join(f"row {row}" for row in lines.rows) or f"column {lines.columns[0]}"
        return (
            f"{' and '.join(places) or 'the frame'} change when the same latents are decoded whole; "
            f"VAE tiles meet at {meet}: optimization.vae_tiling=false removes it"
        )
    if verdict.cause == "denoiser":
        return "the fault stays when the latents are decoded whole: it was made while denoising"
    return "no fault was found and both decodings agree"


def _spans(verdict: Attribution) -> list[tuple[str, tuple[int, int]]]:
    spans = (("rows", verdict.rows), ("columns", verdict.columns))
    return [(what, span) for what, span in spans if span is not None]


def _update(record: Record, folder: Path, verdict: Attribution, sentence: str) -> None:
    """The cause goes into the record, so that tables and reports know it."""
    found = {**record.artifacts.get("native", {}), "cause": verdict.cause}
    records.write(
        dataclasses.replace(
            record,
            artifacts={**record.artifacts, "native": found},
            resolved={**record.resolved, "explain": sentence},
            files={**record.files, "explain": PICTURE},
        ),
        folder,
    )
