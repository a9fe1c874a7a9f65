"""Imports only run downward: the floors of the house, held by walking every import of every file."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "cogexp"

# Room -> the rooms of this package that it may import. A room is a module or a folder below cogexp/.
MAY_IMPORT: dict[str, set[str]] = {
    "catalog": set(),
    "storage": {"provenance", "spec", "system", "tiles"},
    "video": {"media", "storage"},
    "sheet": {"media"},
    "terminal": {"system"},
    "tiles": set(),
    "whole": {"storage"},
    "machine": set(),
    "allocator": set(),
    "system": set(),
    "nano": {"spec", "video"},
    "spec": set(),
    "metrics": {"media", "nano", "spec", "system", "text_window", "tiles", "video"},
    "upscale": {"spec", "video"},
    "checks": {"spec"},
    "rules": {"machine", "spec", "system", "tiles"},
    "plan": {"catalog", "engine", "machine", "nano", "record", "rules", "spec", "system", "tiles"},
    "choose": {"catalog", "machine", "plan", "spec", "system"},
    "build_parts": {"catalog", "checks", "media", "metrics", "nano", "plan", "request", "spec"},
    "build": {
        "build_parts",
        "catalog",
        "checks",
        "choose",
        "machine",
        "nano",
        "plan",
        "request",
        "rules",
        "spec",
    },
    "provenance": set(),
    "record": {"provenance", "spec", "storage", "system"},
    "store": {"spec", "storage", "tiles"},
    "engine": {"allocator", "catalog", "nano", "spec", "system", "tiles", "video", "whole"},
    "tracking": {"provenance", "record", "storage", "system", "whole"},
    "study": {
        "catalog",
        "machine",
        "media",
        "plan",
        "record",
        "sheet",
        "spec",
        "storage",
        "store",
        "video",
        "whole",
    },
    "attempt": {"engine", "provenance", "record", "spec", "storage", "system", "tracking"},
    "stages": {
        "attempt",
        "engine",
        "metrics",
        "record",
        "request",
        "sheet",
        "spec",
        "store",
        "terminal",
        "upscale",
        "video",
    },
    "tile_check": {"attempt", "engine", "metrics", "spec", "store", "tiles"},
    "scores": {"attempt", "metrics", "spec", "stages", "store", "terminal", "tile_check", "tiles"},
    "inspect": {"catalog", "engine", "media", "nano", "sheet", "spec", "terminal", "tiles", "video", "whole"},
    "pictures": {"attempt", "metrics", "sheet", "stages", "storage", "terminal"},
    "bench": {"attempt", "engine", "plan", "provenance", "record", "spec", "terminal", "whole"},
    "quality": {"metrics", "record", "spec", "store", "video"},
    "run": {
        "attempt",
        "engine",
        "machine",
        "pictures",
        "record",
        "scores",
        "spec",
        "stages",
        "storage",
        "store",
        "terminal",
        "tracking",
    },
    "explain": {
        "catalog",
        "engine",
        "explain_picture",
        "machine",
        "metrics",
        "plan",
        "record",
        "spec",
        "storage",
        "store",
        "system",
        "terminal",
    },
    "explain_picture": {"engine", "media", "metrics", "sheet"},
    "launch": {
        "allocator",
        "build",
        "catalog",
        "engine",
        "machine",
        "plan",
        "provenance",
        "record",
        "run",
        "spec",
        "storage",
        "store",
        "study",
        "system",
        "terminal",
        "tracking",
    },
    "cli": {
        "bench",
        "build",
        "catalog",
        "engine",
        "explain",
        "inspect",
        "launch",
        "machine",
        "media",
        "metrics",
        "plan",
        "provenance",
        "quality",
        "record",
        "request",
        "run",
        "spec",
        "storage",
        "study",
        "system",
        "terminal",
        "tracking",
        "video",
        "whole",
    },
    "__main__": {"cli", "machine", "spec", "system", "terminal"},
    "__init__": {"build", "record", "run", "spec"},
    "media": set(),
    "text_window": set(),
    "request": {"catalog", "machine", "nano", "spec", "text_window", "tiles"},
}

# What every room may stand on: text and secrets, and the reading of files that others may have written.
GROUND = {"storage", "system"}

# Rooms that answer --help, refuse a request or read a record: importing them must cost no heavy library.
LIGHT = (
    "catalog",
    "spec",
    "checks",
    "choose",
    "rules",
    "build",
    "build_parts",
    "record",
    "storage",
    "store",
    "system",
    "machine",
    "terminal",
    "run",
    "launch",
    "cli",
    "request",
    "text_window",
)
HEAVY = {
    "torch",
    "diffusers",
    "transformers",
    "wandb",
    "numpy",
    "cv2",
    "av",
    "decord",
    "lpips",
    "spandrel",
    "PIL",
}
ONLY_HYDRA = {"cli", "__main__"}


def files() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room_of(file: Path) -> str:
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(file: Path, *, top_only: bool = False) -> set[str]:
    """Dotted names imported by a file; with `top_only` those that run when the file is imported."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    names: set[str] = set()
    stack: list[ast.AST] = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            module = node.module or ""
            names |= {f"{module}.{alias.name}" for alias in node.names} if module == "cogexp" else {module}
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue  # for the type checker only
        elif top_only and isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        stack.extend(ast.iter_child_nodes(node))
    return names


@pytest.mark.parametrize("file", files(), ids=lambda file: str(file.relative_to(PACKAGE)))
def test_imports_run_downward(file: Path) -> None:
    room = room_of(file)
    assert room in MAY_IMPORT, f"{room} is a new room: give it a floor"
    for name in imports(file):
        parts = name.split(".")
        if parts[0] == "cogexp" and len(parts) > 1 and parts[1] not in (room, "__version__"):
            assert parts[1] in MAY_IMPORT[room] | GROUND - ({"storage"} if room == "system" else set()), (
                f"{room} must not import {name}"
            )
        if parts[0] in ("hydra", "omegaconf"):
            assert room in ONLY_HYDRA, f"{room} imports {name}: only the command line knows Hydra"
    if room in LIGHT:
        heavy = {name.split(".")[0] for name in imports(file, top_only=True)} & HEAVY
        assert not heavy, f"{file.name} imports {heavy} at the top"


def test_the_walk_sees_violations(tmp_path: Path) -> None:
    """A test of the test: what it looks for is found in a file that has it."""
    file = tmp_path / "bad.py"
    file.write_text("import torch\nfrom cogexp import build\ndef f():\n    import hydra\n")
    assert imports(file) == {"torch", "cogexp.build", "hydra"}
    assert imports(file, top_only=True) == {"torch", "cogexp.build"}
