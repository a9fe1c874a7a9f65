"""Where conf/ lies. Standard library only."""

from __future__ import annotations

from pathlib import Path


def conf_dir() -> Path:
    """conf/ beside the package in a checkout, inside the package when installed from a wheel."""
    package = Path(__file__).resolve().parent.parent
    inside = package / "conf"
    return inside if inside.is_dir() else package.parent / "conf"
