"""Main memory of the machine and of containers, read from files that each test makes."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from cogexp.system.host_memory import host_memory, own_resident_gib

GIB = 2**30
NO_LIMIT_V1 = 9223372036854771712  # what version 1 says for none


def write(file: Path, text: object) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"{text}\n", encoding="utf-8")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A machine of 64 GiB, 40 of them available, without control groups."""
    write(
        tmp_path / "proc/meminfo", f"MemTotal: {64 * 2**20} kB\nMemFree: 5 kB\nMemAvailable: {40 * 2**20} kB"
    )
    return tmp_path


def group(folder: Path, *, limit: object, used: int, cache: int = 0, version: int = 2) -> None:
    """The files of one control group; bytes."""
    names = (
        ("memory.max", "memory.current")
        if version == 2
        else ("memory.limit_in_bytes", "memory.usage_in_bytes")
    )
    prefix = "" if version == 2 else "total_"
    write(folder / names[0], limit)
    write(folder / names[1], used)
    write(
        folder / "memory.stat",
        f"anon 1\n{prefix}inactive_file {cache - cache // 4}\n{prefix}active_file {cache // 4}",
    )


def test_a_machine_without_limits(root: Path) -> None:
    found = host_memory(root)
    assert (found.total_gib, found.available_gib, found.limited) == (64, 40, False)
    assert str(found) == "40.0 GiB available of 64.0 GiB"


def test_a_container_that_sees_its_group_at_the_top(root: Path) -> None:
    """Docker with control groups v2: the limit, less what is in use and cannot be taken back."""
    write(root / "proc/self/cgroup", "0::/")
    group(root / "sys/fs/cgroup", limit=8 * GIB, used=3 * GIB, cache=GIB)
    found = host_memory(root)
    assert (found.total_gib, found.available_gib, found.limited) == (8, 6, True)
    assert str(found) == "6.0 GiB available of 8.0 GiB, the container's limit"


def test_the_tightest_of_all_groups_above_counts(root: Path) -> None:
    """A service of systemd in a slice: its own limit is wide, the slice's is not."""
    write(root / "proc/self/cgroup", "0::/user.slice/a.slice/job.scope")
    top = root / "sys/fs/cgroup"
    group(top / "user.slice/a.slice/job.scope", limit=32 * GIB, used=GIB)
    group(top / "user.slice/a.slice", limit=10 * GIB, used=8 * GIB)
    group(top / "user.slice", limit="max", used=30 * GIB)
    found = host_memory(root)
    assert (found.total_gib, found.available_gib, found.limited) == (10, 2, True)


def test_a_limit_that_leaves_more_than_the_machine_has_changes_nothing(root: Path) -> None:
    write(root / "proc/self/cgroup", "0::/job")
    group(root / "sys/fs/cgroup/job", limit=200 * GIB, used=GIB)
    found = host_memory(root)
    assert (found.total_gib, found.available_gib, found.limited) == (64, 40, False)


def test_version_1_with_its_own_hierarchy_of_memory(root: Path) -> None:
    write(root / "proc/self/cgroup", "5:devices:/x\n4:cpu,memory:/batch/job_7\n0::/")
    memory = root / "sys/fs/cgroup/memory"
    group(memory / "batch/job_7", limit=NO_LIMIT_V1, used=2 * GIB, version=1)
    group(memory / "batch", limit=16 * GIB, used=6 * GIB, cache=2 * GIB, version=1)
    assert host_memory(root).available_gib == 12


def test_version_1_names_limits_above_that_cannot_be_seen(root: Path) -> None:
    write(root / "proc/self/cgroup", "4:memory:/")
    group(root / "sys/fs/cgroup/memory", limit=NO_LIMIT_V1, used=GIB, version=1)
    write(root / "sys/fs/cgroup/memory/memory.stat", f"hierarchical_memory_limit {4 * GIB}")
    assert host_memory(root).available_gib == 3


def test_a_container_whose_group_has_the_hosts_name(root: Path) -> None:
    """Without a namespace of its own the group is named as on the host, and mounted at the top."""
    write(root / "proc/self/cgroup", "4:memory:/docker/abc/inner")
    write(
        root / "proc/self/mountinfo",
        "35 31 0:32 /docker/abc /sys/fs/cgroup/memory ro,nosuid shared:1 - cgroup cgroup rw,memory",
    )
    group(root / "sys/fs/cgroup/memory/inner", limit=5 * GIB, used=2 * GIB, version=1)
    group(root / "sys/fs/cgroup/memory", limit=6 * GIB, used=2 * GIB, version=1)
    assert host_memory(root).available_gib == 3


@pytest.mark.parametrize("path", ["/../other", "/gone"])
def test_a_group_outside_of_what_is_mounted_leaves_the_tops_limit(root: Path, path: str) -> None:
    write(root / "proc/self/cgroup", f"0::{path}")
    group(root / "sys/fs/cgroup", limit=8 * GIB, used=GIB)
    assert host_memory(root).available_gib == 7


def test_a_controller_that_is_mounted_elsewhere_is_found(root: Path) -> None:
    write(root / "proc/self/cgroup", "0::/job")
    write(root / "proc/self/mountinfo", "41 31 0:38 / /run/cg rw - cgroup2 cgroup2 rw")
    group(root / "run/cg/job", limit=2 * GIB, used=GIB)
    assert host_memory(root).available_gib == 1


def test_a_group_beyond_its_limit_has_nothing_left(root: Path) -> None:
    write(root / "proc/self/cgroup", "0::/")
    group(root / "sys/fs/cgroup", limit=GIB, used=2 * GIB)
    assert host_memory(root).available_gib == 0


def test_without_proc_psutil_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """macOS and Windows."""
    there = psutil.virtual_memory()._replace(total=16 * GIB, available=9 * GIB)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: there)
    found = host_memory(tmp_path)
    assert (found.total_gib, found.available_gib) == (16, 9)


def test_of_this_machine_it_says_no_more_than_psutil() -> None:
    found = host_memory(Path("/"))
    assert 0 < found.total_gib <= psutil.virtual_memory().total / GIB
    assert 0 <= found.available_gib <= found.total_gib
    assert 0 < own_resident_gib() < found.total_gib
