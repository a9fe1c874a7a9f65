"""Where the clean clips of the evaluation come from: fresh ones are not those of development."""

import numpy as np
import pytest
from PIL import Image

from tests.metrics.clips import pan
from tests.metrics.make_set import drawn
from tests.metrics.sources import (
    FRAMES,
    FRESH_PHOTOS,
    FRESH_SCENES,
    LATER_SCENES,
    LATEST_SCENES,
    PHOTOS,
    SCENES,
    Source,
    files_of,
    repeats_a_frame,
)


def save(path, frames):
    pages = [Image.fromarray(frame) for frame in frames]
    pages[0].save(path, save_all=True, append_images=pages[1:], lossless=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("videos")
    save(out / "a-1.webp", pan(2, 2 * FRAMES, 120, 120, seed=1))
    save(out / "a-2.webp", pan(2, 2 * FRAMES, 120, 120, seed=2))
    save(out / "again.webp", pan(2, 2 * FRAMES, 120, 120, seed=1))
    save(out / "short.webp", pan(2, 5, 120, 120, seed=3))
    (out / "notes.txt").write_text("no video")
    return out


def test_videos_of_a_folder_are_cut_and_named_by_what_they_come_from(folder):
    found = files_of(folder)
    assert [source.name for source in found] == ["a-1", "a-2"]
    assert {source.origin for source in found} == {"a"}
    assert all(source.clip.shape == (FRAMES, 288, 512, 3) for source in found)
    assert all(source.clip.dtype == np.uint8 for source in found)


def test_fresh_sources_are_not_those_of_development():
    assert not set(PHOTOS) & set(FRESH_PHOTOS)
    assert not set(SCENES) & set(FRESH_SCENES)
    assert not set(LATER_SCENES) & {*SCENES, *FRESH_SCENES}
    assert not set(LATEST_SCENES) & {*SCENES, *FRESH_SCENES, *LATER_SCENES}


def test_names_can_be_left_out(folder):
    assert [source.name for source in files_of(folder, leave_out=["a-1", "again"])] == ["a-2"]


def test_a_window_that_repeats_a_frame_can_be_avoided(tmp_path, capsys):
    draft = np.repeat(pan(2, FRAMES, 120, 120, seed=2), 3, axis=0)
    draft[:, 0, 0, 0] = np.arange(len(draft))  # a page that equals the one before would not be written
    save(tmp_path / "draft.webp", draft)
    hangs = pan(2, 3 * FRAMES, 120, 120, seed=1)
    hangs[len(hangs) // 2] = hangs[len(hangs) // 2 - 1]
    hangs[len(hangs) // 2, 0, 0] ^= 1
    save(tmp_path / "hangs.webp", hangs)
    assert [source.name for source in files_of(tmp_path)] == ["draft", "hangs"]
    (found,) = files_of(tmp_path, repeats=False)
    assert found.name == "hangs"
    assert not repeats_a_frame(found.clip)
    assert "draft.webp: left out" in capsys.readouterr().out


def test_pictures_of_a_folder_are_passed_over_slowly_and_fast(tmp_path):
    Image.fromarray(pan(0, 1, 400, 300)[0]).save(tmp_path / "wall.png")
    found = files_of(tmp_path)
    assert [source.name for source in found] == ["wall_slow", "wall_fast"]
    assert {source.origin for source in found} == {"wall"}
    slow, fast = (np.abs(np.diff(source.clip.astype(int), axis=0)).mean() for source in found)
    assert fast > slow


def test_a_set_has_clean_edited_and_faulty_clips_of_each_source():
    source = Source(name="pan", origin="pan", clip=pan(2, FRAMES))
    made = [entry for entry, _ in drawn([source], 1, seed=0, kinds=["shear_mid"])]
    assert [entry["label"] for entry in made] == ["clean", "clean", "clean", "fault"]
    assert [bool(entry["tags"]) for entry in made] == [False, True, True, False]
    assert {entry["source"] for entry in made} == {"pan"}
    assert made[3]["params"]["y0"] < made[3]["params"]["y1"]
