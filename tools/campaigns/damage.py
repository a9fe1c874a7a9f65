"""What may happen to a file of a study: values of other types, deletions, links, pipes, bombs, noise."""

# ruff: noqa: E501  (lists of hostile values read better in rows)
from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

HOSTILE = "<script>alert(1)</script>\x1b[2J=cmd|' /C calc'!A0"
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 3.5, -0.0, 1e308, 10**30, 10**400, float("nan"), float("inf"), "", "x", "nan",
    HOSTILE, "x" * 300, "x" * 200_000, "늑대" * 90, "\ud800", "a\x00b", "../../outside/secret.mp4", "/etc/passwd",
    "outside.mp4", "..", ".", "a/../../b", "C:\\x", "[red]x[/]", "[/]", "{{ 7*7 }}", "${oc.env:CAMPAIGN_PASSWORD}",
    "2026-13-45", "0000", [], [None], [1, 2, 3], ["a"], {}, {"": None}, {"a": {"b": {}}}, [[[]]], {"x" * 2000: 1},
)  # fmt: skip
TEXTS = (
    "", " ", "\n", "{", "[]", "null", "0", '"x"', "NaN", "{}", '{"a":' * 5000, "[" * 50_000, "\ufeff{}", "\x00" * 100,
    "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(f"{b}: &{b} [{','.join(['*' + a] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)),
    "a: &a {b: *a}\n", "<<: &m {<<: [*m, *m]}\n", "x: !!python/object/apply:os.system ['touch pwned']\n",
    "hydra: {callbacks: {x: {_target_: os.system, command: touch pwned}}}\n", "? [a]\n: b\n", "a: 2026-13-45\n",
    "defaults: [nowhere]\n", "defaults: 3\n", "- a\n- b\n", "seed: ${oc.env:CAMPAIGN_PASSWORD}\n", "seed: ${seed}\n",
    "study: ${oc.env:CAMPAIGN_PASSWORD}\n", "{" * 3000, "a: '" + "x" * 300_000 + "'\n", "\t- x", "%YAML 9.9\n---\n",
)  # fmt: skip


def change_value(file: Path, rng: random.Random) -> str:
    """Another value somewhere in a JSON file, a key less or one more."""
    try:
        plain = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return noise(file, rng)
    parent, key = _place(plain, rng)
    kind = rng.choice(("change", "change", "change", "delete", "add", "nest", "rename"))
    if parent is None:
        plain = rng.choice(VALUES)
    elif kind == "delete":
        del parent[key]
    elif kind == "add" and isinstance(parent, dict):
        parent[rng.choice((HOSTILE, "x", "native", "..", "tear"))] = rng.choice(VALUES)
    elif kind == "nest":
        for _ in range(rng.choice((2, 40, 900))):
            parent[key] = [parent[key]]
    elif kind == "rename" and isinstance(parent, dict):
        parent[rng.choice((HOSTILE, "", "native/" + "x" * 300))] = parent.pop(key)
    else:
        parent[key] = rng.choice(VALUES)
    text = json.dumps(plain, ensure_ascii=rng.random() < 0.5)
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    return f"{kind} {key!r}"[:80]


def _place(plain: Any, rng: random.Random) -> tuple[Any, Any]:
    """A random container inside and one of its keys; (None, None) for the document itself."""
    parent, key = None, None
    node = plain
    while isinstance(node, (dict, list)) and node and rng.random() < 0.85:
        parent, key = node, rng.choice(list(node) if isinstance(node, dict) else range(len(node)))
        node = parent[key]
    return parent, key


def noise(file: Path, rng: random.Random) -> str:
    """Cut, overwritten with noise, or another text altogether."""
    content = file.read_bytes() if file.is_file() else b""
    kind = rng.choice(("cut", "bytes", "text", "text", "utf-16", "double"))
    if kind == "cut":
        content = content[: rng.randrange(len(content) + 1)]
    elif kind == "bytes":
        at = rng.randrange(len(content) + 1)
        content = content[:at] + rng.randbytes(rng.randint(1, 200)) + content[at + 5 :]
    elif kind == "text":
        content = rng.choice(TEXTS).encode("utf-8", "surrogatepass")
    elif kind == "utf-16":
        content = content.decode("utf-8", "replace").encode("utf-16")
    else:
        content += content
    file.write_bytes(content)
    return kind


def replace_file(file: Path, rng: random.Random) -> str:
    """Something else in the file's place."""
    kind = rng.choice(("gone", "folder", "pipe", "link", "loop", "device", "sparse", "empty"))
    if file.is_dir() and not file.is_symlink():
        shutil.rmtree(file)
    else:
        file.unlink(missing_ok=True)
    outside = file.parents[len(file.parts) - 1 - file.parts.index("outputs")].parent / "outside"
    makers: dict[str, Callable[[], Any]] = {
        "folder": file.mkdir,
        "pipe": lambda: os.mkfifo(file),
        "link": lambda: file.symlink_to(outside / rng.choice(("secret.mp4", "folder", "record.json"))),
        "loop": lambda: file.symlink_to(file),
        "device": lambda: file.symlink_to(rng.choice(("/dev/zero", "/dev/null", "/proc/self/environ"))),
        "sparse": lambda: _sparse(file),
        "empty": lambda: file.write_bytes(b""),
    }
    makers.get(kind, lambda: None)()
    return kind


def _sparse(file: Path) -> None:
    """200 MB that take no room on the disk."""
    with file.open("wb") as opened:
        opened.truncate(200_000_000)


def damage(file: Path, rng: random.Random) -> str:
    """One of all that; what it was."""
    kind = rng.random()
    if kind < 0.65 and file.suffix == ".json":
        return change_value(file, rng)
    return (noise if kind < 0.85 else replace_file)(file, rng)
