"""The scores of a run: its native and its upscaled clip, measured."""

from __future__ import annotations

import hashlib
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cogexp import tile_check
from cogexp.attempt import Attempt
from cogexp.metrics import EvalClip, Measurement, measure
from cogexp.spec import RunSpec
from cogexp.stages import Clips
from cogexp.store import Store
from cogexp.terminal import Progress
from cogexp.tiles import layout

if TYPE_CHECKING:
    from cogexp.metrics.artifacts.detect import Artifacts, Tiles
    from cogexp.metrics.artifacts.evidence import Finding


def measure_clips(attempt: Attempt, clips: Clips, store: Store, progress: Progress) -> Artifacts | None:
    """All metrics of the native and the upscaled clip, under 'native/' and 'upscaled/'.

    What the detectors found in the native clip is returned as it was found. A seam of the VAE's tiles is
    measured from the latents in `store`.
    """
    spec = attempt.spec
    if not spec.metrics.names:
        return None
    evaluated = {"native": clips.native_eval, "upscaled": clips.upscaled_eval}
    detected = None
    for side, clip in evaluated.items():
        if clip is None:
            continue
        with progress.stage(f"measure {side}", None):
            found = _measured(attempt, clip, side, store)
        detected = found.detected if side == "native" else detected
        attempt.scores |= {f"{side}/{name}": value for name, value in found.scores.items()}
        attempt.per_frame |= {f"{side}/{name}": values for name, values in found.per_frame.items()}
        attempt.skipped |= {f"{side}/{name}": reason for name, reason in found.skipped.items()}
        notes = {f"metrics.{name}": note for name, note in found.notes.items() if note}
        _say_what_was_cut(notes, progress)
        attempt.resolved |= notes
        if found.artifacts:
            attempt.artifacts[side] = {**found.artifacts, "cause": found.artifacts.get("cause", "unknown")}
    return detected


def _say_what_was_cut(notes: dict[str, str], progress: Progress) -> None:
    """A prompt that a metric did not read to its end, once in a process."""
    for key, note in notes.items():
        if "prompt cut:" in note and (key, note) not in _SAID:
            _SAID.add((key, note))
            progress.say(f"{key}: {note}")


def _measured(attempt: Attempt, clip: EvalClip, side: str, store: Store) -> Measurement:
    """The clip's metrics. Runs that differ in the upscaler have one native clip: it is measured once.

    Its seconds are those that it took, as with every stage that is used again.
    """
    spec = attempt.spec
    tiles = known_tiles(spec, 1 if side == "native" else spec.upscaler.scale)
    if side == "native":
        told = (_digest(clip), tiles, spec.metrics, spec.prompt.text, attempt.device)
        if told in _MEASURED:
            found, seconds = _MEASURED[told]
            with attempt.meter("measure"):
                pass
            attempt.meter.stages["measure"]["seconds"] += seconds
            return found
    started = time.perf_counter()
    with attempt.meter("measure"):
        found = measure(
            clip,
            spec.resolution.fps,
            spec.prompt.text,
            spec.metrics.names,
            device=attempt.device,
            clip_model=spec.metrics.clip_model,
            batch=spec.metrics.batch,
            tiles=tiles,
        )
        if side == "native" and found.detected is not None:
            found = _with_tiles(found, tile_check.check(attempt, store))
    if side == "native":
        _MEASURED.clear()
        _MEASURED[told] = found, time.perf_counter() - started
    return found


def _with_tiles(found: Measurement, seams: dict[str, Finding]) -> Measurement:
    """The measurement with what the VAE's tiles changed, which is the decoder's doing."""
    from cogexp.metrics.artifacts.detect import with_measured

    assert found.detected is not None
    if not seams:
        return found
    detected = with_measured(found.detected, seams)
    artifacts = detected.to_dict() | ({"cause": "decoder"} if detected.kind in seams else {})
    scores, notes = found.scores | {"tear": detected.score}, found.notes | {"tear": detected.kind or ""}
    return replace(found, detected=detected, artifacts=artifacts, scores=scores, notes=notes)


_SAID: set[tuple[str, str]] = set()

# The native clip measured last, and the seconds that it took: a sweep's next run may have the same one.
_MEASURED: dict[tuple[Any, ...], tuple[Measurement, float]] = {}


def _digest(clip: EvalClip) -> str:
    """What the metrics see of a clip, as a digest."""
    seen = hashlib.blake2b(repr((clip.fps, clip.frames.shape, clip.detail.shape)).encode())
    for frames in (clip.frames, clip.detail):
        seen.update(frames.tobytes())
    return seen.hexdigest()


def known_tiles(spec: RunSpec, scale: int) -> Tiles:
    """Where the VAE's tiles meet in the native clip, or in the one enlarged by `scale`.

    Tiles of full size are blended over all that they share: they meet at no line.
    """
    from cogexp.metrics.artifacts.detect import Tiles

    kind = spec.optimization.vae_tiling is True
    rows, columns = layout(kind, spec.resolution.height, spec.resolution.width).lines
    return Tiles(rows=tuple(scale * row for row in rows), columns=tuple(scale * column for column in columns))
