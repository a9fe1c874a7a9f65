"""Where runs are shown beside their records: nowhere, or in W&B. The record on disk stays the truth."""

from cogexp.tracking.tracker import MODES, NullTracker, Tracked, Tracker, make_tracker
from cogexp.tracking.wandb_tracker import WandbTracker

__all__ = ["MODES", "NullTracker", "Tracked", "Tracker", "WandbTracker", "make_tracker"]
