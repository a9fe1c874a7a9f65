"""`measure FILE...`: tables, JSON and unreadable files."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cogexp.__main__ import main
from cogexp.video import Writer
from tests.media.files import encode, overwritten, packet_places


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


def measured(capsys: pytest.CaptureFixture[str], *words: str) -> list[dict[str, object]]:
    assert main(["measure", "--json", "metrics.names=[sharpness]", *words]) == 0
    found: list[dict[str, object]] = json.loads(capsys.readouterr().out)
    return found


def test_a_folder_stands_for_the_clips_in_it(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes.txt").write_text("not a clip")
    (tmp_path / ".hidden.mp4").write_bytes(b"x")
    pictures = [Image.new("RGB", (64, 48), (shade, 0, 0)) for shade in (0, 200)]
    pictures[0].save(tmp_path / "b.webp", save_all=True, append_images=pictures[1:], duration=50)
    found = measured(capsys, str(tmp_path))
    assert [Path(str(each["file"])).name for each in found] == ["b.webp", "pan.mp4"]
    assert [each["frames"] for each in found] == [2, 9]
    assert [each["pixel_aspect"] for each in found] == ["1:1", "1:1"]
    empty = tmp_path / "empty"
    empty.mkdir()
    assert main(["measure", str(empty)]) == 2
    assert "which holds none" in capsys.readouterr().err


def test_two_dashes_end_the_options(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    clip.rename("--json=a.mp4")
    (found,) = measured(capsys, "--", "--json=a.mp4")
    assert found["file"] == "--json=a.mp4"
    assert found["frames"] == 9


def test_what_is_lost_of_a_clip_is_said_and_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = encode(tmp_path / "whole.mp4", 12, options={"g": "1"}, aspect=Fraction(4, 3))
    place, length = packet_places(whole)[5]
    overwritten(whole, tmp_path / "damaged.mp4", place, b"\xff" * length)
    assert main(["measure", "--json", "metrics.names=[sharpness]", str(tmp_path / "damaged.mp4")]) == 0
    shown = capsys.readouterr()
    (found,) = json.loads(shown.out)
    assert found["frames"] == 11
    assert found["pixel_aspect"] == "4:3"
    assert "1 damaged packet left out; 11 frames are read" in found["warnings"][0]
    assert all(warning in shown.err for warning in found["warnings"])
