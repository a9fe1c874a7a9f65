"""Judge the artifact detectors: python -m cogexp.metrics.evaluate CLIPS_DIR [--json] [--no-ffmpeg]
[--cross-validate]

CLIPS_DIR holds video files and manifest.json, a list of {"file", "label": "clean" or another word, "type":
the kind of fault, "tags": [...], "params": {"y0": first faulty row, "x0": first faulty column, ...},
"source": what the clip was cut from}.
Printed for each kind: area under the ROC curve of the kind's own detector and of the common score, share
found at 1 % and 5 % false alarms, row error of what was found, and the best of ffmpeg's filters on the same
clips (its better direction is taken).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from cogexp.metrics import ffmpeg_filters
from cogexp.metrics.cross_validation import CrossValidation, cross_validate
from cogexp.metrics.judged import Judged, judge


@dataclass(frozen=True, kw_only=True)
class KindResult:
    """How well one kind of fault is found."""

    kind: str
    clips: int
    auc_own: float
    auc_common: float
    found_at_1pct: float
    found_at_5pct: float
    suspect: float
    certain: float
    row_error_median: float | None
    within_4_rows: float | None
    best_filter: str
    best_filter_auc: float | None


def auc(faulty: Sequence[float], clean: Sequence[float]) -> float:
    """Area under the ROC curve: the share of pairs in which the faulty clip scores higher, ties half."""
    a, b = np.asarray(faulty)[:, None], np.asarray(clean)[None]
    return float(np.mean((a > b) + 0.5 * (a == b)))


def found_at(faulty: Sequence[float], clean: Sequence[float], false_alarms: float) -> float:
    """Share of faulty clips above the threshold that this share of clean clips exceeds."""
    allowed = int(false_alarms * len(clean))
    threshold = sorted(clean, reverse=True)[allowed]
    return float(np.mean(np.asarray(faulty) > threshold))


def result_of(kind: str, clips: list[Judged], clean: list[Judged]) -> KindResult:
    """The row of one kind."""
    own, own_clean = [c.own(kind) for c in clips], [c.own(kind) for c in clean]
    common = [c.common for c in clips]
    errors = [c.row_error for c in clips if c.row_error is not None]
    best, best_auc = best_filter(clips, clean)
    return KindResult(
        kind=kind,
        clips=len(clips),
        auc_own=auc(own, own_clean),
        auc_common=auc(common, [c.common for c in clean]),
        found_at_1pct=found_at(own, own_clean, 0.01),
        found_at_5pct=found_at(own, own_clean, 0.05),
        suspect=float(np.mean([score >= 1 for score in common])),
        certain=float(np.mean([score >= 2 for score in common])),
        row_error_median=float(np.median(errors)) if errors else None,
        within_4_rows=float(np.mean([error <= 4 for error in errors])) if errors else None,
        best_filter=best,
        best_filter_auc=best_auc,
    )


def best_filter(clips: list[Judged], clean: list[Judged]) -> tuple[str, float | None]:
    """ffmpeg's statistic that separates this kind best, in its better direction."""
    best, best_auc = "", None
    for name in clips[0].filters:
        area = auc([c.filters[name] for c in clips], [c.filters[name] for c in clean])
        if name != "freezedetect":  # a clip is no worse for being less frozen
            area = max(area, 1 - area)
        if best_auc is None or area > best_auc:
            best, best_auc = name, area
    return best, best_auc


def false_alarms(clean: list[Judged]) -> dict[str, float]:
    """Share of clean clips at each level, plain and hard."""
    shares: dict[str, float] = {}
    for name, group in (("plain", [c for c in clean if not c.hard]), ("hard", [c for c in clean if c.hard])):
        if group:
            shares[f"{name} clips"] = len(group)
            shares[f"{name} suspect"] = float(np.mean([c.common >= 1 for c in group]))
            shares[f"{name} certain"] = float(np.mean([c.common >= 2 for c in group]))
    return shares


def judge_all(folder: Path, filters: bool = True) -> list[Judged]:
    """Every clip of the folder's manifest. Raises ValueError without clean clips."""
    from rich.progress import track

    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    if not any(entry["label"] == "clean" for entry in manifest):
        raise ValueError(f"expected clean clips in {folder}/manifest.json, got none")
    return [judge(folder, entry, filters) for entry in track(manifest, "judging", transient=True)]


def evaluate(judged: list[Judged]) -> tuple[list[KindResult], dict[str, float]]:
    """All kinds of the judged clips, and the false alarms on the clean ones."""
    clean = [c for c in judged if c.clean]
    kinds = list(dict.fromkeys(c.kind for c in judged if not c.clean))
    results = [
        result_of(kind, [c for c in judged if c.kind == kind and not c.clean], clean) for kind in kinds
    ]
    return results, false_alarms(clean)


def markdown(results: list[KindResult], alarms: dict[str, float]) -> str:
    """The table as it stands in the documentation."""
    lines = [
        "| fault | clips | AUC own | AUC common | found at 1 % / 5 % | row error, <= 4 | best of ffmpeg |",
        "|---|---|---|---|---|---|---|",
    ]
    for r in results:
        rows = "-" if r.row_error_median is None else f"{r.row_error_median:.0f}, {r.within_4_rows:.0%}"
        rival = "-" if r.best_filter_auc is None else f"{r.best_filter_auc:.2f} {r.best_filter}"
        found = f"{r.found_at_1pct:.0%} / {r.found_at_5pct:.0%}"
        lines.append(
            f"| {r.kind} | {r.clips} | {r.auc_own:.3f} | {r.auc_common:.3f} | {found} | {rows} | {rival} |"
        )
    alarm = ", ".join(f"{k} {v:.1%}" if "clips" not in k else f"{k} {v:.0f}" for k, v in alarms.items())
    return "\n".join([*lines, "", f"False alarms on clean clips: {alarm}."])


def cross_validated(result: CrossValidation) -> str:
    """The cross-validation in words and a table."""
    lines = [
        f"Thresholds chosen without the clip's own source ({result.sources} sources): clean clips suspect "
        f"{result.suspect:.1%}, certain {result.certain:.1%}.",
        "",
        "| fault | found suspect | found certain |",
        "|---|---|---|",
        *(f"| {kind} | {some:.0%} | {sure:.0%} |" for kind, (some, sure) in result.found.items()),
        "",
        "| detector | usual | suspect | certain (chosen on all clips) |",
        "|---|---|---|---|",
        *(f"| {name} | {a:.2f} | {b:.2f} | {c:.2f} |" for name, (a, b, c) in result.thresholds.items()),
    ]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m cogexp.metrics.evaluate", description=__doc__.split("\n")[0]
    )
    parser.add_argument("folder", type=Path, help="clips and manifest.json")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--no-ffmpeg", action="store_true", help="do not run ffmpeg's filters for comparison")
    parser.add_argument(
        "--cross-validate", action="store_true", help="choose thresholds on all sources but a clip's own"
    )
    options = parser.parse_args(arguments)
    if not (options.folder / "manifest.json").is_file():
        print(f"expected {options.folder}/manifest.json, found none", file=sys.stderr)
        return 2
    gone = () if options.no_ffmpeg else ffmpeg_filters.unavailable()
    if gone:
        print(f"ffmpeg comparison skipped: this build has no {', '.join(gone)}", file=sys.stderr)
    judged = judge_all(options.folder, filters=not options.no_ffmpeg and not gone)
    results, alarms = evaluate(judged)
    crossed = cross_validate(judged) if options.cross_validate else None
    if options.json:
        found = {"kinds": [asdict(r) for r in results], "false_alarms": alarms}
        if crossed is not None:
            found["cross_validation"] = asdict(crossed)
        print(json.dumps(found, allow_nan=False))
    else:
        print(markdown(results, alarms))
        if crossed is not None:
            print("\n" + cross_validated(crossed))
    return 0


if __name__ == "__main__":
    sys.exit(main())
