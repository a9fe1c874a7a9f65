"""Who made the fault of a run: its latents are decoded a second time, whole, and the two clips are compared.

A fault that is gone in the second decoding came from the decoder's tiles; one that stays is in the latents.
Where memory forbids a whole frame, the second decoding is made of tiles of full size.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cogexp import machine
from cogexp import record as records
from cogexp.catalog import VARIANTS
from cogexp.engine import generate
from cogexp.explain_picture import draw
from cogexp.metrics.artifacts.attribution import Attribution, attribute
from cogexp.plan import cards, memory
from cogexp.spec import RunSpec
from cogexp.storage.durable import replacing
from cogexp.storage.lock import LOCK_FILE, Lock
from cogexp.store import Keys, Store
from cogexp.system import faults, host_memory
from cogexp.terminal import Progress

PICTURE = "explain.png"
WHOLE, EDGE = "decoded whole", "decoded in tiles of full size"


class ExplainError(RuntimeError):
    """The run cannot be explained; the message says what helps."""


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """The verdict in one sentence, where the decodings differ, and the picture's file."""

    cause: str
    sentence: str
    rows: tuple[int, int] | None
    columns: tuple[int, int] | None
    picture: Path | None


def explain(folder: Path, out: Path, *, device: str, progress: Progress) -> Explanation:
    """Explain the run in `folder` with the latents kept below `out`/store; update its record and draw.

    Raises:
        ExplainError: the latents are gone, or the run made no clip.
        RecordError: the folder has no readable record.
    """
    record = records.read(folder)
    spec = RunSpec.from_dict(record.spec)
    kept = Store(out / "store", 0).load("denoise", Keys.of(spec).denoise, spec)
    if kept is None:
        raise ExplainError(
            f"the latents of {record.run_id} are not in {out / 'store'}; make them again with: "
            f"python -m cogexp --config-path {folder} outputs={out} force=true"
        )
    latents = kept[0]["latents"]
    made = _decode(spec, latents, device, progress, "decode as run")
    lines = generate.tile_lines(spec, device)
    second, how = made, WHOLE
    if lines.rows or lines.columns:
        again = second_decoding(spec, device)
        how = EDGE if again.optimization.vae_tiling else WHOLE
        second = _decode(again, latents, device, progress, how)
    verdict = attribute(made, second, spec.resolution.fps, latents[0].float().cpu().numpy())
    sentence = _sentence(verdict, lines, how)
    title = f"{verdict.cause}: {sentence}"
    picture: Path | None = folder / PICTURE
    try:
        with replacing(folder / PICTURE) as staged:
            draw(made, second, verdict, lines, title=title, how=how, out=staged)
        _update(folder, verdict, sentence, progress)
    except OSError as error:  # a folder that takes no files costs the picture, not the answer
        progress.say(f"the picture and the record could not be written: {faults.described(error)}")
        picture = None
    return Explanation(
        cause=verdict.cause,
        sentence=sentence,
        rows=verdict.rows,
        columns=verdict.columns,
        picture=picture,
    )


def second_decoding(spec: RunSpec, device: str) -> RunSpec:
    """How the latents of a tiled run are decoded again: whole; where that does not fit, in full-size tiles.

    Raises:
        ExplainError: the run had such tiles itself and cannot be decoded whole here.
    """
    lean = dataclasses.replace(spec.optimization, vae_tiling=False, lean_vae=True)
    whole = dataclasses.replace(spec, optimization=lean)
    needed = memory.stages(whole, VARIANTS[spec.model.name])["decode"].peak_allocated_gib
    room = _room_gib(device)
    if needed <= room:
        return whole
    if spec.optimization.vae_tiling == "edge":
        raise ExplainError(
            f"decoding {spec.resolution.name} whole needs {needed:.1f} GiB and {device} has {room:.1f}; "
            "the run's own tiles already have full size"
        )
    return dataclasses.replace(spec, optimization=dataclasses.replace(lean, vae_tiling="edge"))


def _room_gib(device: str) -> float:
    """Memory that a decode may use on this device."""
    here = machine.gpu() if device.startswith("cuda") else None
    if here is not None:
        return cards.of_machine(here).usable_gib
    return host_memory.host_memory().available_gib


def _decode(spec: RunSpec, latents: object, device: str, progress: Progress, name: str) -> np.ndarray:
    chunks: list[np.ndarray] = []
    with progress.stage(name, spec.resolution.frames) as advance:
        for chunk in generate.decode(spec, latents, device):
            chunks.append(chunk)
            advance(sum(map(len, chunks)))
    return np.concatenate(chunks)


def _sentence(verdict: Attribution, lines: generate.TileLines, how: str) -> str:
    """What happened and what helps, in words."""
    if verdict.latent_rows is not None:
        return f"the latents are torn from row {verdict.latent_rows[0]} on: it was made while denoising"
    if not (lines.rows or lines.columns):
        if verdict.cause == "denoiser":
            return "the clip was decoded whole: the fault is in the latents; try the model's native size"
        return "the clip was decoded whole and no fault was found"
    if verdict.cause == "decoder":
        places = [f"{what} {span[0]}-{span[1]}" for what, span in _spans(verdict)]
        meet = ", ".join(f"row {row}" for row in lines.rows) or f"column {lines.columns[0]}"
        setting = "false" if how == WHOLE else "edge"
        return (
            f"{' and '.join(places) or 'the frame'} change when the same latents are {how}; "
            f"VAE tiles meet at {meet}: optimization.vae_tiling={setting} removes it"
        )
    if verdict.cause == "denoiser":
        return f"the fault stays when the latents are {how}: it was made while denoising"
    return "no fault was found and both decodings agree"


def _spans(verdict: Attribution) -> list[tuple[str, tuple[int, int]]]:
    spans = (("rows", verdict.rows), ("columns", verdict.columns))
    return [(what, span) for what, span in spans if span is not None]


def _update(folder: Path, verdict: Attribution, sentence: str, progress: Progress) -> None:
    """The cause goes into the record, so that tables and reports know it.

    Raises:
        ExplainError: the run is made anew at this moment, or its files are damaged.
    """
    lock = Lock(
        folder / LOCK_FILE, on_wait=lambda who: progress.say(f"waiting for {folder.name}: {who} works on it")
    )
    with lock:
        record = records.read(folder)
        found = {**record.artifacts.get("native", {}), "cause": verdict.cause}
        explained = dataclasses.replace(
            record,
            artifacts={**record.artifacts, "native": found},
            resolved={**record.resolved, "explain": sentence},
            files={**record.files, "explain": PICTURE},
        )
        if record.status == "ok":
            if record.digests and not records.is_done(folder):
                raise ExplainError(f"the files of {record.run_id} are not those of its record: run it again")
            explained = records.with_digests(explained, folder)
        records.write(explained, folder)
