"""Imports only run downward: the floors of the house, held by walking every import of every file."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "cogexp"

# Room -> the rooms of this package that it may import. A room is a module or a folder below cogexp/.
MAY_IMPORT: dict[str, set[str]] = {
    # ground
    "catalog": set(),
    "media": set(),
    "video": {"media"},
    "sheet": set(),
    "terminal": set(),
    "tiles": set(),
    "whole": set(),
    "machine": set(),
    "allocator": set(),
    "nano": {"video", "spec"},
    # second
    "spec": set(),
    "metrics": {"media", "video", "spec", "tiles", "nano"},
    "upscale": {"video", "spec"},
    # third
    "checks": {"spec"},
    "rules": {"spec", "machine", "tiles"},
    # exact.py traces what runs: it alone imports the engine and the embedded model, when it is called
    "plan": {"spec", "catalog", "machine", "record", "engine", "nano", "rules", "tiles"},
    "choose": {"spec", "catalog", "machine", "plan"},
    "build_parts": {"spec", "catalog", "checks", "media", "nano", "metrics", "plan"},
    "build": {"build_parts", "spec", "catalog", "machine", "rules", "checks", "choose", "nano", "plan"},
    "provenance": set(),
    "record": {"provenance", "spec"},
    "store": {"spec", "tiles"},
    "engine": {"allocator", "spec", "catalog", "video", "nano", "tiles", "whole"},
    # fourth
    "tracking": {"provenance", "record", "whole"},
    # order.py and forecast.py say what a study will compute and how long that takes
    "study": {"media", "record", "sheet", "spec", "store", "plan", "catalog", "machine", "video", "whole"},
    "attempt": {"provenance", "record", "spec", "engine", "tracking"},
    "stages": {
        "attempt",
        "engine",
        "metrics",
        "upscale",
        "sheet",
        "store",
        "spec",
        "terminal",
        "video",
        "record",
    },
    "tile_check": {"attempt", "engine", "metrics", "spec", "store", "tiles"},
    "scores": {"attempt", "metrics", "spec", "stages", "store", "terminal", "tile_check", "tiles"},
    "inspect": {"engine", "nano", "catalog", "sheet", "spec", "terminal", "tiles", "video", "whole"},
    "pictures": {"attempt", "stages", "metrics", "sheet", "terminal"},
    "bench": {"attempt", "engine", "plan", "provenance", "record", "spec", "terminal", "whole"},
    "quality": {"metrics", "record", "spec", "store", "video"},
    "run": {
        "attempt",
        "engine",
        "pictures",
        "scores",
        "stages",
        "record",
        "spec",
        "store",
        "machine",
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
        "store",
        "terminal",
    },
    "explain_picture": {"engine", "metrics", "sheet"},
    "launch": {
        "allocator",
        "build",
        "catalog",
        "machine",
        "plan",
        "provenance",
        "record",
        "run",
        "spec",
        "store",
        "study",
        "terminal",
        "tracking",
    },
    # top
    "cli": {
        "bench",
        "quality",
        "launch",
        "provenance",
        "explain",
        "build",
        "catalog",
        "engine",
        "inspect",
        "machine",
        "media",
        "metrics",
        "plan",
        "record",
        "run",
        "spec",
        "study",
        "terminal",
        "tracking",
        "video",
    },
    "__main__": {"cli", "machine", "spec"},
    "__init__": {"build", "run", "spec", "record"},
}

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
    "store",
    "machine",
    "terminal",
    "run",
    "launch",
    "cli",
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
            assert parts[1] in MAY_IMPORT[room], f"{room} must not import {name}"
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
