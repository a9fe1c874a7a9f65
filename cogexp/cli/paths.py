"""Where conf/ and sweeps/ lie. Standard library only."""

from __future__ import annotations

from pathlib import Path


def conf_dir() -> Path:
    """conf/ beside the package in a checkout, inside the package when installed from a wheel."""
    return _travelling("conf")


def sweeps_dir() -> Path:
    """sweeps/, the ready studies, in the same two places."""
    return _travelling("sweeps")


def _travelling(name: str) -> Path:
    package = Path(__file__).resolve().parent.parent
    inside = package / name
    return inside if inside.is_dir() else package.parent / name
