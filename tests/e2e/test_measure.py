"""`measure FILE...`: tables, JSON and unreadable files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from cogexp.__main__ import main
from cogexp.video import Writer


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A random texture that moves 3 px to the left each frame."""
    texture = np.random.default_rng(0).integers(0, 255, (72, 200, 3), np.uint8)
    import cv2

    texture = cv2.GaussianBlur(texture, (0, 0), 2)
    path = tmp_path / "pan.mp4"
    with Writer(path, 8) as writer:
        writer.write(np.stack([texture[:, 3 * i : 3 * i + 128] for i in range(9)]))
    return path


def test_json_is_all_that_stdout_holds(clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["measure", str(clip), "--json", "metrics=fast", "--prompt", "a, texture"]) == 0
    (result,) = json.loads(capsys.readouterr().out)
    assert (result["width"], result["height"], result["frames"], result["fps"]) == (128, 72, 9, 8)
    assert result["scores"]["motion_px"] == pytest.approx(3 * 512 / 128, rel=0.15)
    assert result["artifacts"].keys() >= {"level", "kind", "score", "rows", "frames", "detectors"}


def test_an_unreadable_file_is_named_and_the_others_are_measured(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"not a video")
    assert main(["measure", str(broken), str(clip), "metrics=fast"]) == 1
    shown = capsys.readouterr()
    assert "broken.mp4" in shown.err
    assert "Traceback" not in shown.err
    assert "motion_px" in shown.out


def test_missing_weights_are_skipped_with_the_remedy(clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["measure", str(clip), "--json"]) == 0
    (result,) = json.loads(capsys.readouterr().out)
    assert result["scores"]["clip_score"] is None
    assert result["skipped"]["clip_score"]
    assert "cogexp fetch" in result["skipped"]["lpips_adjacent"]
