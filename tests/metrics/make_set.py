"""A folder of clean and faulty clips for `python -m cogexp.metrics.evaluate`:
python -m tests.metrics.make_set OUT [--seed N] [--sources development|fresh|later|latest|none]
[--files FOLDER [--leave-out FILE] [--no-repeats]] [--per-kind N]

Clean clips of tests/metrics/sources.py at 512x288 (and of a folder of videos and pictures), two of the edits
of tests/metrics/edits.py of each, and faults of tests/faults with parameters drawn at random; all compressed
with H.264 at several qualities.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cogexp.video import Writer
from tests.faults import FAULTS, compressed, left_by_codec, visible
from tests.metrics.edits import EDITS
from tests.metrics.sources import SETS, Source, files_of

FPS = 12
CRFS = (14, 18, 23, 28)
PER_KIND = 24
LEFT = 0.3  # share of a fault that the compression must leave
TRIES = 6  # draws of a fault's parameters before another clip is taken

Entry = dict[str, Any]


def drawn(
    sources: Sequence[Source], per_kind: int, seed: int, kinds: Sequence[str] = tuple(FAULTS)
) -> Iterator[tuple[Entry, np.ndarray]]:
    """(entry of the manifest, clip after H.264): clean ones, edited ones, faulty ones.

    Every kind has a generator of its own, so that a kind's clips do not depend on the others.
    """
    edits, rng = list(EDITS), np.random.default_rng(seed)
    for i, source in enumerate(sources):
        crf = int(rng.choice(CRFS))
        yield _entry("clean_" + source.name, source, "clean", crf, []), compressed(source.clip, crf, FPS)
        for edit in (edits[i % len(edits)], edits[(i + len(edits) // 2) % len(edits)]):
            crf = int(rng.choice(CRFS))
            entry = _entry(f"clean_{source.name}_{edit}", source, "clean", crf, ["hard", edit])
            yield entry, compressed(EDITS[edit](source.clip), crf, FPS)
    for kind in kinds:
        rng = np.random.default_rng([seed, list(FAULTS).index(kind)])
        made = 0
        while made < per_kind:
            for k in rng.permutation(len(sources))[: per_kind - made]:
                crf = int(rng.choice(CRFS))
                faulty = _seen(sources[int(k)].clip, kind, crf, rng)
                if faulty is not None:
                    clip, params = faulty
                    yield _entry(f"{kind}_{made:02d}", sources[int(k)], kind, crf, [], params), clip
                    made += 1


def _seen(
    clip: np.ndarray, kind: str, crf: int, rng: np.random.Generator
) -> tuple[np.ndarray, dict[str, Any]] | None:
    """A compressed clip with a fault that can be seen in it, None when this clip shows none.

    A still has no other frame to take a band from, and a strong compression wipes fine patterns away.
    """
    for _ in range(TRIES):
        faulty, params = FAULTS[kind](clip, rng)
        if visible(clip, faulty, kind):
            coded = compressed(faulty, crf, FPS)
            if left_by_codec(clip, faulty, coded) >= LEFT:
                return coded, params
    return None


def _entry(
    name: str,
    source: Source,
    kind: str,
    crf: int,
    tags: list[str],
    params: dict[str, Any] | None = None,
) -> Entry:
    return {
        "file": f"{name}.mp4",
        "label": "clean" if kind == "clean" else "fault",
        "type": kind,
        "source": source.origin,
        "clip": source.name,
        "tags": tags,
        "crf": crf,
        "params": params or {},
    }


def make(out: Path, sources: Sequence[Source], seed: int = 20, per_kind: int = PER_KIND) -> list[Entry]:
    """Write the clips and manifest.json; returns the manifest."""
    out.mkdir(parents=True, exist_ok=True)
    manifest: list[Entry] = []
    for entry, clip in drawn(sources, per_kind, seed):
        # Compressed already, so kept nearly losslessly: the writer's own quality must not matter.
        with Writer(out / entry["file"], FPS, crf=4) as writer:
            writer.write(clip)
        manifest.append(entry)
    (out / "manifest.json").write_text(json.dumps(manifest, indent=1), encoding="utf-8")
    return manifest


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.metrics.make_set")
    parser.add_argument("out", type=Path, help="folder for the clips and manifest.json")
    parser.add_argument("--seed", type=int, default=20, help="of the faults' parameters")
    parser.add_argument("--sources", choices=SETS, default="development", help="clean clips of the tests")
    parser.add_argument("--files", type=Path, help="folder of videos and pictures for clean clips as well")
    parser.add_argument(
        "--leave-out", type=Path, help="text file: names in that folder to leave out, one a line"
    )
    parser.add_argument("--no-repeats", action="store_true", help="take no video where it repeats a frame")
    parser.add_argument("--per-kind", type=int, default=PER_KIND, help="faulty clips a kind")
    options = parser.parse_args()
    sources = SETS[options.sources]()
    if options.files:
        leave_out = options.leave_out.read_text(encoding="utf-8").split() if options.leave_out else ()
        sources += files_of(options.files, leave_out, repeats=not options.no_repeats)
    clips = make(options.out, sources, options.seed, options.per_kind)
    origins = {source.origin for source in sources}
    print(f"{len(clips)} clips of {len(sources)} clean ones ({len(origins)} sources) in {options.out}")


if __name__ == "__main__":
    main()
