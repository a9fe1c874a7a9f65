"""Main memory that a process may still take: the machine's, and its container's by every control group above.

Linux kills a process that exceeds the limit of its control group, whatever the machine has free. Both
versions are read: v2 (memory.max, memory.current) and v1 (memory.limit_in_bytes, memory.usage_in_bytes).
Swap does not count: a run whose weights are swapped out takes hours. Where there is no /proc, psutil answers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

GIB = 2**30
ROOT = Path("/")  # /proc and /sys are read below it
# Where the memory controller is mounted when /proc/self/mountinfo does not say it.
USUAL_MOUNTS = {"cgroup2": "/sys/fs/cgroup", "cgroup": "/sys/fs/cgroup/memory"}
LIMIT = {"cgroup2": "memory.max", "cgroup": "memory.limit_in_bytes"}
USAGE = {"cgroup2": "memory.current", "cgroup": "memory.usage_in_bytes"}
# Pages of files: the kernel takes them back before it kills anyone.
PAGE_CACHE = {
    "cgroup2": ("active_file", "inactive_file"),
    "cgroup": ("total_active_file", "total_inactive_file"),
}


@dataclass(frozen=True, kw_only=True)
class HostMemory:
    """Main memory in GiB.

    total_gib: the machine's, or the smallest limit of a control group above this process when that is less;
    it does not change while others work. available_gib: what can be taken now without swapping or being
    killed. limited: whether a control group's limit is less than the machine has.
    """

    total_gib: float
    available_gib: float
    limited: bool = False

    def __str__(self) -> str:
        limit = ", the container's limit" if self.limited else ""
        return f"{self.available_gib:.1f} GiB available of {self.total_gib:.1f} GiB{limit}"


def host_memory(root: Path | None = None) -> HostMemory:
    """What is there now, by the files below `root` (default: ROOT)."""
    base = root or ROOT
    total, available = machine, _ = _of_machine(base)
    for limit, used in _limits(base):
        total, available = min(total, limit), min(available, max(limit - used, 0))
    return HostMemory(total_gib=total / GIB, available_gib=available / GIB, limited=total < machine)


def own_resident_gib() -> float:
    """What this process holds already: it counts for a run that is done in this very process."""
    import psutil

    held: int = psutil.Process().memory_info().rss
    return held / GIB


def _of_machine(base: Path) -> tuple[int, int]:
    """Bytes: total, available."""
    found = _numbers(base / "proc" / "meminfo")
    if "MemTotal" in found and "MemAvailable" in found:
        return found["MemTotal"] * 1024, found["MemAvailable"] * 1024
    import psutil

    memory = psutil.virtual_memory()
    return memory.total, memory.available


def _limits(base: Path) -> Iterator[tuple[int, int]]:
    """(limit, bytes in use that cannot be taken back) of this process's control group and each above it."""
    for version, path in _groups(base):
        mount, top = _mount(base, version)
        inner = _below(path, top)
        for group in (inner, *inner.parents):
            folder = base / mount.lstrip("/") / str(group).lstrip("/")
            if (limit := _limit(folder, version)) is not None:
                yield limit, _in_use(folder, version)


def _groups(base: Path) -> Iterator[tuple[str, str]]:
    """('cgroup2' or 'cgroup', path) of the groups that can limit this process's memory."""
    for line in _lines(base / "proc" / "self" / "cgroup"):
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            yield "cgroup2", path
        elif "memory" in controllers.split(","):
            yield "cgroup", path


def _mount(base: Path, version: str) -> tuple[str, str]:
    """Where the memory controller of this version is mounted, and which group is at its top."""
    for line in _lines(base / "proc" / "self" / "mountinfo"):
        fields, _, filesystem = line.partition(" - ")
        words, kind = fields.split(), filesystem.split()
        if len(words) < 5 or len(kind) < 3 or kind[0] != version:
            continue
        if version == "cgroup2" or "memory" in kind[2].split(","):
            return words[4], words[3]
    return USUAL_MOUNTS[version], "/"


def _below(path: str, top: str) -> PurePosixPath:
    """`path` as seen from the mount: a container sees its own group at the top, or paths outside of it."""
    inner = PurePosixPath("/", path)
    if ".." in inner.parts:
        return PurePosixPath("/")
    return PurePosixPath("/") / inner.relative_to(top) if inner.is_relative_to(top) else inner


def _limit(folder: Path, version: str) -> int | None:
    """Bytes; None without a limit."""
    text = _text(folder / LIMIT[version])
    found = [int(text)] if text.isdigit() else []
    if version == "cgroup":
        # Groups above that are not visible from here count, too.
        found += [n for k, n in _numbers(folder / "memory.stat").items() if k == "hierarchical_memory_limit"]
    return min(found, default=None)


def _in_use(folder: Path, version: str) -> int:
    """Bytes, without pages of files."""
    used = _text(folder / USAGE[version])
    stat = _numbers(folder / "memory.stat")
    cache = sum(stat.get(name, 0) for name in PAGE_CACHE[version])
    return max(int(used) - cache, 0) if used.isdigit() else 0


def _numbers(file: Path) -> dict[str, int]:
    """Lines such as 'MemTotal: 16 kB' and 'active_file 4096': name -> number."""
    found = {}
    for line in _lines(file):
        words = line.replace(":", " ").split()
        if len(words) >= 2 and words[1].isdigit():
            found[words[0]] = int(words[1])
    return found


def _lines(file: Path) -> list[str]:
    return _text(file).splitlines()


def _text(file: Path) -> str:
    """The file's text; '' where there is none, or it may not be read."""
    try:
        return file.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
