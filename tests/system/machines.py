"""Files of /proc and /sys/fs/cgroup as a machine with so much main memory would have them."""

from __future__ import annotations

from pathlib import Path

GIB = 2**30


def make_machine(
    root: Path, *, total_gib: float, available_gib: float, limit_gib: float | None = None
) -> Path:
    """Such a machine below `root`; `limit_gib` is its container's limit, of which nothing is used."""
    (root / "proc" / "self").mkdir(parents=True, exist_ok=True)
    lines = [
        f"{key}: {int(gib * 2**20)} kB\n"
        for key, gib in (("MemTotal", total_gib), ("MemAvailable", available_gib))
    ]
    (root / "proc" / "meminfo").write_text("".join(lines), encoding="utf-8")
    (root / "proc" / "self" / "cgroup").write_text("0::/\n", encoding="utf-8")
    if limit_gib is not None:
        folder = root / "sys" / "fs" / "cgroup"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "memory.max").write_text(f"{int(limit_gib * GIB)}\n", encoding="utf-8")
        (folder / "memory.current").write_text("0\n", encoding="utf-8")
    return root
