"""Tests that a plain run leaves out (slow, gpu, online, bench) are loaded with it, so that none rots.

Running them is another matter; here every name that they import, also inside functions, is there, and each
benchmark has a short form that does run.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
MARK = re.compile(r"\bpytest\.mark\.(slow|gpu|online|bench)\b")
MARKED = sorted(
    file.relative_to(TESTS.parent)
    for file in TESTS.rglob("test_*.py")
    if MARK.search(file.read_text("utf-8"))
)
OWN = ("cogexp", "tests")


def imports(tree: ast.AST) -> list[tuple[str, str | None]]:
    """(module, name or None) of every import of this project anywhere in a file."""
    found: list[tuple[str, str | None]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, None) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found += [(node.module, alias.name) for alias in node.names]
    return [(module, name) for module, name in found if module.partition(".")[0] in OWN]


def is_there(module: str, name: str | None) -> bool:
    found = importlib.import_module(module)
    if name is None or hasattr(found, name):
        return True
    return importlib.util.find_spec(f"{module}.{name}") is not None


def benchmarks(tree: ast.Module) -> tuple[list[str], list[str]]:
    """Names of the marked tests and of the others."""
    tests = [
        node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    ]
    marked = [t.name for t in tests if any("mark.bench" in ast.unparse(d) for d in t.decorator_list)]
    return marked, [test.name for test in tests if test.name not in marked]


@pytest.mark.parametrize("file", MARKED, ids=lambda file: file.as_posix())
def test_everything_that_a_marked_test_imports_is_there(file: Path) -> None:
    tree = ast.parse((TESTS.parent / file).read_text("utf-8"))
    importlib.import_module(".".join(file.with_suffix("").parts))
    missing = [f"{module}.{name}" for module, name in imports(tree) if not is_there(module, name)]
    assert not missing


def test_each_benchmark_has_a_short_form() -> None:
    found = {file: benchmarks(ast.parse((TESTS.parent / file).read_text("utf-8"))) for file in MARKED}
    with_benchmarks = {file: others for file, (marked, others) in found.items() if marked}
    assert {file.name for file in with_benchmarks} >= {"test_overhead.py", "test_quick.py", "test_ray.py"}
    lacking = [
        str(file) for file, others in with_benchmarks.items() if not any("in_short" in o for o in others)
    ]
    assert not lacking
