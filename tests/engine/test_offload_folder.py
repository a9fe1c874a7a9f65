"""Where weights wait on disk: no live folder is taken away, and what a killed process left is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("fcntl")

HOLD = "from cogexp.engine.offload_folder import new_folder; print(new_folder(), flush=True); input()"


def holder(folder: Path) -> tuple[subprocess.Popen[str], Path]:
    """A process that has made a folder, and that folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD],
        env={"TMPDIR": str(folder)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def test_what_a_killed_process_left_goes_with_the_next_one(tmp_path: Path) -> None:
    (tmp_path / "cogexp-offload-other").mkdir()  # no lock in it: not known to be left behind
    killed, left = holder(tmp_path)
    alive, kept = holder(tmp_path)
    try:
        killed.kill()
        killed.wait()
        (left / "weights").write_text("20 GB", "utf-8")
        assert left.is_dir()
        third, its_own = holder(tmp_path)
        third.communicate("\n")
        assert not left.exists()
        assert not its_own.exists(), "a process that ends takes its folder along"
        assert kept.is_dir()
        assert (tmp_path / "cogexp-offload-other").is_dir()
    finally:
        alive.communicate("\n")
    assert not kept.exists()
