"""Clips of any length in bounded memory: frames are reduced while they are decoded, and measured by windows.

A window is as many frames as WINDOW_BYTES hold once reduced (910 at 512x288, 355 of 1080p); a clip of one
window is measured at once. Windows share one frame, so each pair of neighbours is in exactly one of them:
curves, and their means, are those of the clip measured at once. Only the detectors look at each window by
itself, and the worst one stands for the clip.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cogexp.media.isolated import Isolated
from cogexp.media.probe import Probe
from cogexp.media.reading import Clip
from cogexp.metrics.artifacts.detect import Artifacts, summed_up
from cogexp.metrics.clip_frames import DEFAULT_HEIGHT, EvalClip, EvalClipBuilder, Reduced, reduce_frame
from cogexp.metrics.measurement import METRICS, Measurement, measure
from cogexp.metrics.score import from_values

WINDOW_BYTES = 384 << 20
SHORTEST = 49  # frames of a window, whatever they take


def reduced_frames(path: str, height: int) -> Iterator[object]:
    """In the child that decodes: the file's Probe, a Reduced for each frame, and the warnings."""
    clip = Clip.open(path)
    yield clip.facts
    for frame in clip.frames():
        yield reduce_frame(frame, height)
    yield clip.warnings


def measure_file(
    path: Path,
    prompt: str | None,
    names: Sequence[str],
    *,
    decoder: Isolated,
    height: int = DEFAULT_HEIGHT,
    advance: Callable[[int, int], None] = lambda done, total: None,
    **options: Any,
) -> tuple[Probe, Measurement, list[str]]:
    """The file's facts (frames: as many as were shown), its measurement, and what could not be read.

    advance: called with (frames read, frames expected). options: as of `measure`. Raises VideoError.
    """
    items = decoder.items(reduced_frames, str(path), height)
    facts = next(items)
    warnings: list[str] = []
    count = 0

    def frames() -> Iterator[Reduced]:
        nonlocal count
        for item in items:
            if not isinstance(item, Reduced):
                warnings.extend(item)
                return
            count += 1
            advance(count, facts.frames)
            yield item

    clips = windows(frames(), facts, height)
    found = measure_windows(clips, prompt, names, **options)
    return replace(facts, frames=count), found, warnings


def windows(
    frames: Iterable[Reduced], facts: Probe, height: int, most_bytes: int = WINDOW_BYTES
) -> Iterator[EvalClip]:
    """The clip by windows of nearly one length that share a frame; an odd number of frames each, so that what
    looks at every second frame goes on in step."""
    builder, length = EvalClipBuilder(fps=facts.fps, height=height), 0
    last: Reduced | None = None
    for frame in frames:
        if not length:
            length = window_length(facts.frames, max(SHORTEST, most_bytes // frame.nbytes))
        if len(builder) == length:
            yield builder.finish()
            assert last is not None
            builder.add_reduced(last, (facts.width, facts.height))
        builder.add_reduced(frame, (facts.width, facts.height))
        last = frame
    yield builder.finish()


def window_length(frames: int, most: int) -> int:
    """Frames of each window, odd where there are several: few windows of nearly one length, up to `most`."""
    if frames <= most:
        return most
    most -= 1 - most % 2
    count = math.ceil((frames - 1) / (most - 1))
    length = math.ceil((frames - 1) / count) + 1
    return min(most, length + 1 - length % 2)


def measure_windows(
    clips: Iterable[EvalClip], prompt: str | None, names: Sequence[str], **options: Any
) -> Measurement:
    """The measurement of a clip that comes by windows. Raises ValueError without any."""
    first_features: dict[str, np.ndarray] = {}
    parts: list[Measurement] = []
    lengths: list[int] = []
    for clip in clips:
        found = measure(clip, clip.fps, prompt, names, first_features=first_features, **options)
        parts.append(found)
        lengths.append(len(clip.detail))
    if not parts:
        raise ValueError("expected at least one window, got none")
    return parts[0] if len(parts) == 1 else joined(parts, lengths)


def joined(parts: Sequence[Measurement], lengths: Sequence[int]) -> Measurement:
    """One measurement of the windows' ones; `lengths` in frames, the shared one counted in both."""
    found = Measurement(notes=dict(parts[0].notes))
    starts = np.cumsum([0, *(length - 1 for length in lengths)])
    for name in parts[0].scores:
        if name == "tear":
            continue
        curve: list[float | None] = []
        for index, part in enumerate(parts):
            values = part.per_frame.get(name, [])
            curve += values if METRICS[name].pairwise or not index else values[1:]
        score = from_values(np.array([np.nan if value is None else value for value in curve]))
        found.scores[name] = score.value
        if curve:
            found.per_frame[name] = curve
        if score.value is None:
            found.skipped[name] = next(part.skipped[name] for part in parts if name in part.skipped)
    detected = [part.detected for part in parts]
    if not all(detected):
        return found
    worst = worst_of([each for each in detected if each is not None], starts)
    found.scores["tear"] = worst.score
    notes = dict.fromkeys(each.note for part in detected if part for _, each in part.findings.values())
    found.notes["tear"] = "; ".join(
        filter(None, (worst.kind, *notes, f"the worst of {len(parts)} windows of {lengths[0]} frames"))
    )
    order: Mapping[str, float | None] = {name: found.scores[name] for name in parts[0].scores}
    return replace(found, scores=dict(order), artifacts=worst.to_dict(), detected=worst)


def worst_of(detected: Sequence[Artifacts], starts: Sequence[int] | np.ndarray) -> Artifacts:
    """Of each detector its largest score, with the frames counted from the clip's beginning."""
    findings = {}
    for name in detected[0].findings:
        index = max(range(len(detected)), key=lambda i: detected[i].findings[name][0])
        score, finding = detected[index].findings[name]
        moved = tuple(frame + int(starts[index]) for frame in finding.frames)
        findings[name] = (score, replace(finding, frames=moved))
    return summed_up(findings, detected[0].row_factor)
