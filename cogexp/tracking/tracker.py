"""What a tracker is, the one that does nothing, and the choice between them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Protocol

from cogexp.record import Record
from cogexp.tracking.study_table import StudyTable

MODES = ("auto", "online", "offline", "off")
WANDB_MODES = {  # the values of WANDB_MODE: what they mean here
    "online": "online",
    "run": "online",
    "shared": "online",
    "offline": "offline",
    "dryrun": "offline",
    "disabled": "off",
}


@dataclass(frozen=True, kw_only=True)
class Tracked:
    """What became of one run in the tracker; `problem` is one line when something is missing there."""

    mode: str = "off"
    url: str | None = None
    folder: Path | None = None
    problem: str | None = None


class Tracker(Protocol):
    """Shows runs as they start and end. No method asks, and none raises for a fault of the service."""

    def start(
        self, run_id: str, config: Mapping[str, Any], *, study: str | None, name: str, tags: Sequence[str]
    ) -> None:
        """Open the run, so that a crash shows. `config` is the nested spec (`RunSpec.to_dict()`)."""

    def progress(self, stage: str, seconds: float) -> None:
        """`stage` of the run started last is done and took `seconds`."""

    def study(self, table: StudyTable) -> Tracked:
        """Show the runs of a study as one table."""

    def finish(self, record: Record, folder: Path) -> Tracked:
        """Show what the record and the files in the run's `folder` hold, and close the run."""


class NullTracker:
    """Shows nothing and imports nothing."""

    def start(
        self, run_id: str, config: Mapping[str, Any], *, study: str | None, name: str, tags: Sequence[str]
    ) -> None:
        """Nothing to open."""

    def progress(self, stage: str, seconds: float) -> None:
        """Nothing to show."""

    def study(self, table: StudyTable) -> Tracked:
        """Nothing was tracked."""
        return Tracked()

    def finish(self, record: Record, folder: Path) -> Tracked:
        """Nothing was tracked."""
        return Tracked()


def make_tracker(
    mode: str, *, project: str, entity: str | None, folder: Path, say: Callable[[str], None]
) -> Tracker:
    """The tracker for `mode`; one serves all runs of a process. W&B's own files go below `folder`.

    auto: what WANDB_MODE says if it is set; else online when a key is found without asking, else offline.
    Every fall-back is told once through `say`. ValueError for an unknown mode.
    """
    if mode not in MODES:
        near = get_close_matches(str(mode), MODES, n=1, cutoff=0.4)
        hint = f"; nearest: {near[0]}" if near else ""
        raise ValueError(f"tracking must be one of {', '.join(MODES)}, got {mode!r}{hint}")
    if mode == "auto" and (wish := os.environ.get("WANDB_MODE")):
        mode = WANDB_MODES.get(wish.lower(), "offline")
        if wish.lower() not in WANDB_MODES:
            say(f"W&B: WANDB_MODE={wish} is none of {', '.join(WANDB_MODES)}; going on offline")
    if mode == "off":
        return NullTracker()
    from cogexp.tracking.wandb_tracker import WandbTracker

    return WandbTracker(mode=mode, project=project, entity=entity, folder=folder, say=say)
