"""Fit the weights of cogexp/metrics/artifacts/seam_rows.py:
python -m tests.metrics.fit_seam FOLDER [FOLDER ...] [--cross-validate]

Each FOLDER holds clips and manifest.json as made by tests/metrics/make_set.py; its clean clips and seams are
used. The network learns to give the seam's rows of a faulty clip more than any row of a clean one, which is
what the area under the ROC curve counts (Burges et al., Learning to rank using gradient descent, 2005).
Without the option seam_weights.py is written; with it, every fifth of the sources is judged by a network that
was fitted on the others. The weights there were fitted on 1559 clean clips and 696 seams of the five sets of
docs/metrics.md, 513 of them drawn once more from those sets' own clean clips and compressed again.
"""

from __future__ import annotations

import argparse
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import softplus

from cogexp import video
from cogexp.metrics.artifacts import seam_rows
from cogexp.metrics.artifacts.detect import default_tiles, evidence_of
from cogexp.metrics.clip_frames import EvalClip
from cogexp.metrics.evaluate import auc

WEIGHTS = Path(seam_rows.__file__).with_name("seam_weights.py")
HIDDEN, STEPS, RATE, DECAY, FOLDS = 16, 500, 0.02, 3e-3, 5
FAULTY, CLEAN = 96, 160  # clips a step
NEAR = {0: 1, 4: 1, 16: 4, 40: 6}  # blend -> pairs of rows beside the seam's that are as right
ELSEWHERE = 0.1  # weight of telling a seam's rows from the others of its clip
PAIRS = 144 - 2 * seam_rows.EDGE


@dataclass(frozen=True, kw_only=True)
class Example:
    """table: (PAIRS, signs). place: (first, last) pair of the seam, None in a clean clip."""

    table: np.ndarray
    source: str
    place: tuple[int, int] | None
    blend: int = -1


Network = dict[str, np.ndarray]  # the names of seam_weights.py


def examples_of(folder: Path) -> list[Example]:
    """The clean clips and the seams of a folder."""
    found = []
    for entry in json.loads((folder / "manifest.json").read_text(encoding="utf-8")):
        if entry["type"] not in ("clean", "seam"):
            continue
        read = video.read(folder / entry["file"])
        clip = EvalClip.collect([read.frames], read.fps)
        table, _ = seam_rows.signs(evidence_of(clip, default_tiles(clip)))
        found.append(example(table, entry, clip.detail.shape[1]))
    return found


def example(table: np.ndarray, entry: dict, height: int) -> Example:
    """One clip: (n, signs) -> (PAIRS, signs), its edges cut off."""
    table = table[np.arange(144) * len(table) // 144][seam_rows.EDGE : -seam_rows.EDGE]
    source = str(entry.get("source") or entry.get("src") or entry["file"])
    if entry["type"] == "clean":
        return Example(table=table, source=source, place=None)
    blend = int(entry["params"]["blend"])
    middle = int(entry["params"]["y0"]) * 144 // height - seam_rows.EDGE
    place = max(0, middle - NEAR[blend]), min(PAIRS - 1, middle + NEAR[blend])
    return Example(table=table, source=source, place=place, blend=blend)


def fit(examples: Sequence[Example], seed: int = 0) -> Network:
    """The weights, less what makes the middle clean clip 0."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    tables = np.stack([each.table for each in examples])
    mean = tables.mean(axis=(0, 1))
    deviation = tables.std(axis=(0, 1)) + 1e-6
    inputs = torch.tensor(np.clip((tables - mean) / deviation, *seam_rows.FURTHEST), dtype=torch.float32)
    inside = np.zeros(tables.shape[:2], bool)
    for rows, each in zip(inside, examples, strict=True):
        if each.place is not None:
            rows[each.place[0] : each.place[1] + 1] = True
    faulty, clean = (np.flatnonzero(inside.any(1) == kind) for kind in (True, False))
    hidden, output = torch.nn.Linear(tables.shape[2], HIDDEN), torch.nn.Linear(HIDDEN, 1)
    parameters = [*hidden.parameters(), *output.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=STEPS)

    def evidence(clips: np.ndarray) -> torch.Tensor:
        return output(torch.tanh(hidden(inputs[clips])))[..., 0]

    for _ in range(STEPS):
        some_faulty, some_clean = rng.choice(faulty, FAULTY), rng.choice(clean, CLEAN)
        rows, there = evidence(some_faulty), torch.tensor(inside[some_faulty])
        seam = rows.masked_fill(~there, -1e3).max(1).values
        elsewhere = torch.logsumexp(rows.masked_fill(there, -1e3), 1)
        none = torch.logsumexp(2 * evidence(some_clean), 1) / 2  # a soft maximum
        loss = softplus(none[None] - seam[:, None]).mean() + ELSEWHERE * softplus(elsewhere - seam).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        middle = float(np.median(evidence(clean).max(1).values.numpy()))
    return {
        "MEAN": mean,
        "DEVIATION": deviation,
        "HIDDEN": hidden.weight.detach().numpy().T,
        "HIDDEN_BIAS": hidden.bias.detach().numpy(),
        "OUTPUT": output.weight.detach().numpy()[0],
        "OUTPUT_BIAS": output.bias.detach().numpy() - middle,
    }


def judged(network: Network, examples: Sequence[Example]) -> np.ndarray:
    """(clips, PAIRS) evidence."""
    inputs = np.clip(
        (np.stack([e.table for e in examples]) - network["MEAN"]) / network["DEVIATION"], *seam_rows.FURTHEST
    )
    hidden = np.tanh(inputs @ network["HIDDEN"] + network["HIDDEN_BIAS"])
    return hidden @ network["OUTPUT"] + network["OUTPUT_BIAS"]


def cross_validated(examples: Sequence[Example]) -> np.ndarray:
    """(clips, PAIRS) evidence of each clip by a network that has not seen its source."""
    fold = np.array([zlib.crc32(e.source.rsplit("-", 1)[0].encode()) % FOLDS for e in examples])
    found = np.empty((len(examples), PAIRS))
    for k in range(FOLDS):
        network = fit([e for e, own in zip(examples, fold, strict=True) if own != k])
        found[fold == k] = judged(network, [e for e, own in zip(examples, fold, strict=True) if own == k])
    return found


HEAD = '''"""Weights of seam_rows.py, made by tests/metrics/fit_seam.py: do not edit."""

# ruff: noqa: E501

import numpy as np
from numpy.typing import NDArray


def numbers(text: str) -> NDArray[np.float32]:
    """Numbers apart by blanks."""
    return np.array(text.split(), np.float32)


'''


def written(network: Network) -> str:
    """seam_weights.py: numbers as text, a row of them a line."""
    parts = []
    for name, values in network.items():
        rows = np.atleast_2d(np.asarray(values, dtype=float))
        text = "\n".join(" ".join(f"{value:.3g}" for value in row) for row in rows)
        shape = f".reshape({rows.shape[0]}, -1)" if np.ndim(values) == 2 else ""
        parts.append(f'{name} = numbers("""\n{text}\n"""){shape}\n')
    return HEAD + "\n".join(parts)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.metrics.fit_seam")
    parser.add_argument("folders", type=Path, nargs="+", help="clips with manifest.json")
    parser.add_argument("--cross-validate", action="store_true", help="judge instead of writing weights")
    options = parser.parse_args()
    examples = [each for folder in options.folders for each in examples_of(folder)]
    if not options.cross_validate:
        WEIGHTS.write_text(written(fit(examples)), encoding="utf-8")
        return
    largest = cross_validated(examples).max(1)
    clean = [s for s, e in zip(largest, examples, strict=True) if e.place is None]
    for blends in ((0, 4, 16, 40), (0,), (4,), (16,), (40,)):
        seams = [s for s, e in zip(largest, examples, strict=True) if e.blend in blends]
        print(f"blend {blends}: AUC {auc(seams, clean):.3f} ({len(seams)} seams, {len(clean)} clean clips)")


if __name__ == "__main__":
    main()
