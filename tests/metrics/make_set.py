"""A folder of clean and faulty clips for `python -m cogexp.metrics.evaluate`:
python -m tests.metrics.make_set OUT [SEED]

Clean clips of tests/metrics/sources.py at 512x288, two of the edits of tests/metrics/edits.py of each, and
faults of tests/faults with parameters drawn at random; all compressed with H.264 at several qualities.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cogexp.video import Writer
from tests.faults import FAULTS, compressed, visible
from tests.metrics.edits import EDITS
from tests.metrics.sources import Source, all_sources

FPS = 12
CRFS = (14, 18, 23, 28)
PER_KIND = 24
TRIES = 6  # draws of a fault's parameters before another clip is taken

Entry = dict[str, Any]


def drawn(
    sources: Sequence[Source], per_kind: int, seed: int, kinds: Sequence[str] = tuple(FAULTS)
) -> Iterator[tuple[Entry, np.ndarray]]:
    """(entry of the manifest, clip before compression): clean ones, edited ones, faulty ones.

    Every kind has a generator of its own, so that a kind's clips do not depend on the others.
    """
    edits = list(EDITS)
    for i, source in enumerate(sources):
        yield _entry(f"clean_{source.name}", source, "clean", "clean", [], {}), source.clip
        for edit in (edits[i % len(edits)], edits[(i + len(edits) // 2) % len(edits)]):
            entry = _entry(f"clean_{source.name}_{edit}", source, "clean", "clean", ["hard", edit], {})
            yield entry, EDITS[edit](source.clip)
    for kind in kinds:
        rng = np.random.default_rng([seed, list(FAULTS).index(kind)])
        made = 0
        while made < per_kind:
            for k in rng.permutation(len(sources)):
                faulty = _seen(sources[int(k)].clip, kind, rng)
                if faulty is not None and made < per_kind:
                    clip, params = faulty
                    yield _entry(f"{kind}_{made:02d}", sources[int(k)], "fault", kind, [], params), clip
                    made += 1


def _seen(clip: np.ndarray, kind: str, rng: np.random.Generator) -> tuple[np.ndarray, dict[str, Any]] | None:
    """A fault that changes something, None when this clip shows none (a still has no other frame)."""
    for _ in range(TRIES):
        faulty, params = FAULTS[kind](clip, rng)
        if visible(clip, faulty, kind):
            return faulty, params
    return None


def _entry(
    name: str, source: Source, label: str, kind: str, tags: list[str], params: dict[str, Any]
) -> Entry:
    return {
        "file": f"{name}.mp4",
        "label": label,
        "type": kind,
        "source": source.origin,
        "clip": source.name,
        "tags": tags,
        "params": params,
    }


def make(out: Path, seed: int = 20, per_kind: int = PER_KIND) -> list[Entry]:
    """Write the clips and manifest.json; returns the manifest."""
    rng = np.random.default_rng(seed)
    out.mkdir(parents=True, exist_ok=True)
    manifest: list[Entry] = []
    for entry, clip in drawn(all_sources(), per_kind, seed):
        entry["crf"] = int(rng.choice(CRFS))
        # Compressed here, then kept nearly losslessly: the writer's own quality must not matter.
        with Writer(out / entry["file"], FPS, crf=4) as writer:
            writer.write(compressed(clip, entry["crf"], FPS))
        manifest.append(entry)
    (out / "manifest.json").write_text(json.dumps(manifest, indent=1), encoding="utf-8")
    return manifest


if __name__ == "__main__":
    clips = make(Path(sys.argv[1]), seed=int(sys.argv[2]) if len(sys.argv) > 2 else 20)
    print(f"{len(clips)} clips in {sys.argv[1]}")
