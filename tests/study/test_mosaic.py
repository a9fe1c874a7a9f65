"""The mosaic of a study: the right clip at the right place and time, labels, what is missing, sizes."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cogexp import video
from cogexp.__main__ import main
from cogexp.media import text_layout
from cogexp.record import Record
from cogexp.spec import SpecError
from cogexp.study import Query, Study, load, pick
from cogexp.study import mosaic_picture as picture
from cogexp.study.mosaic import Mosaic, Tile, arrange, dimensions
from cogexp.study.report_data import runs_of
from tests.study.gallery import make_study
from tests.study.records import make_record, write_all


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sizes x two upscalers x three prompts x two seeds; 512x288 with lanczos fails at seed 1."""
    folder = tmp_path_factory.mktemp("mosaic") / "out"
    make_study(folder, sizes=("256x144", "512x288"), prompts=3, seeds=2, scenes=3)
    return folder


def arranged(outputs: Path, *names: str, **held: str) -> Mosaic:
    study = load(outputs)
    return arrange(study, runs_of(study, outputs), pick(study, Query()), names, held)


def test_dimensions_are_in_a_sensible_order(outputs: Path) -> None:
    assert dimensions(load(outputs)) == {
        "resolution": ("256x144", "512x288"),
        "upscaler": ("none", "lanczos"),
        "prompt": ("korean", "markup", "wolves"),
        "seed": ("0", "1"),
        "clip": ("delivered", "native"),
    }
    sizes = [make_record(size=size, seed=seed) for size in ("1024x576", "256x144") for seed in (2, 10)]
    found = dimensions(study_of_records(sizes))
    assert found["resolution"] == ("256x144", "1024x576")
    assert found["seed"] == ("2", "10")


def study_of_records(records: list[Record]) -> Study:
    from cogexp.study import study_of

    return study_of(records)


def test_what_is_not_spread_is_held_and_stated(outputs: Path) -> None:
    found = arranged(outputs, "upscaler", "resolution")
    assert (found.rows, found.columns) == (("none", "lanczos"), ("256x144", "512x288"))
    assert found.held == {"prompt": "korean", "seed": "0"}, "the first prompt, the seed with all its clips"
    assert found.text.startswith("두 마리 늑대")
    assert (
        arranged(outputs, "prompt", "seed").held["resolution"]
        == pick(load(outputs), Query()).table[0].axes["resolution"]
    ), "an axis is held at the leader's value"
    assert arranged(outputs, "upscaler", "resolution", seed="1", prompt="wolves").held == {
        "prompt": "wolves", "seed": "1"
    }  # fmt: skip


def test_every_tile_is_the_run_of_its_row_and_column(outputs: Path) -> None:
    found = arranged(outputs, "upscaler", "resolution", seed="1")
    (small, large), (up_small, failed) = found.tiles
    for tile, width, upscaler, name in (
        (small, 256, "none", "native.mp4"), (large, 512, "none", "native.mp4"),
        (up_small, 256, "lanczos", "upscaled.mp4"),
    ):  # fmt: skip
        assert tile.file is not None
        assert tile.file.name == name
        assert tile.file.parent.name.startswith(f"nano-{width}x{width * 9 // 16}-{upscaler}-s1-")
    assert failed == Tile(missing="oom: denoise: CUDA out of memory")
    run = next(row for row in load(outputs).rows if row.run_id == small.file.parent.name)
    assert f"clip_score {run.scores['native/clip_score']:.2f} (mean " in small.caption
    assert " of 6) · " in small.caption
    native = arranged(outputs, "upscaler", "resolution", clip="native").tiles[1][0]
    assert native.file is not None
    assert native.file.name == "native.mp4"


def test_a_missing_run_and_a_missing_clip_are_named(tmp_path: Path) -> None:
    made = [
        make_record(size=s, upscaler=u)
        for s, u in (("256x144", "none"), ("512x288", "none"), ("256x144", "lanczos"))
    ]
    outputs = write_all(made, tmp_path)
    study = load(outputs)
    found = arrange(study, runs_of(study, outputs), None, ("resolution", "upscaler"), {})
    assert [[tile.missing for tile in row] for row in found.tiles] == [
        ["its native clip is gone", "its upscaled clip is gone"], ["its native clip is gone", "not run"]
    ]  # fmt: skip
    with pytest.raises(SpecError, match="no clip to show"):
        picture.write_mosaic(found, tmp_path / "m.mp4", tmp_path / "m.png")


def test_the_clips_play_where_and_when_they_should(outputs: Path, tmp_path: Path) -> None:
    """Against frames read by the library's own reader and scaled by Pillow."""
    found = arranged(outputs, "prompt", "resolution", upscaler="none", seed="0")
    done: list[int] = []
    picture.write_mosaic(found, tmp_path / "m.mp4", tmp_path / "m.png", done.append)
    made = video.read(tmp_path / "m.mp4")
    assert done == list(range(1, picture.frames_of(found) + 1))
    assert made.fps == 8
    assert len(made.frames) == 36, "9 frames at 8 fps four times over: at least 4 s"
    assert made.frames.shape[2] <= 1920
    assert made.frames.shape[1] <= 1920
    _, boxes = picture._draw(found)
    assert len(boxes) == 6
    for box in boxes:
        clip = video.read(box.file).frames
        for index in (0, 4, 8, 9 + 5, 27 + 2):
            expected = np.asarray(Image.fromarray(clip[index % 9]).resize(box.size), float)
            shown = made.frames[index, box.top : box.top + box.size[1], box.left : box.left + box.size[0]]
            assert np.sqrt(((shown - expected) ** 2).mean()) < 6, (box, index)
    still = np.asarray(Image.open(tmp_path / "m.png"), float)
    assert np.sqrt(((made.frames[4] - still) ** 2).mean()) < 4, "the picture is the middle of the clip"


def test_clips_of_other_rates_and_lengths_keep_their_own_time(tmp_path: Path) -> None:
    def flat_clip(name: str, fps: int, levels: list[int]) -> Path:
        with video.Writer(tmp_path / name, fps, crf=0) as writer:
            writer.write(np.stack([np.full((48, 64, 3), level, np.uint8) for level in levels]))
        return tmp_path / name

    slow, fast = flat_clip("slow.mp4", 4, [20, 80, 140, 200]), flat_clip("fast.mp4", 8, [50, 100])
    tiles = ((Tile(file=slow, caption="slow"), Tile(file=fast, caption="fast")),)
    found = Mosaic(
        row_name="seed",
        column_name="fps",
        rows=("0",),
        columns=("4", "8"),
        tiles=tiles,
        held={},
        text="",
        verdict="",
    )
    picture.write_mosaic(found, tmp_path / "m.mp4", tmp_path / "m.png")
    _, (left, right) = picture._draw(found)
    seen = [
        [round(float(frame[box.top + 20, box.left + 20].mean()), -1) for box in (left, right)]
        for frame in video.read(tmp_path / "m.mp4").frames[:8]
    ]
    assert seen == [[20, 50], [20, 100], [80, 100], [80, 100], [140, 100], [140, 100], [200, 100], [200, 100]]


def test_labels_that_no_font_writes_become_numbers_and_are_said(
    outputs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = dataclasses.replace(arranged(outputs, "prompt", "resolution"), rows=("늑대", "markup", "wolves"))
    monkeypatch.setattr(text_layout, "_system_font", lambda language: None)
    assert picture.unwritable(found) == ["no font on this machine writes '늑대': its label is 'prompt 1'"]
    page, _ = picture._draw(found)
    named = dataclasses.replace(found, rows=("prompt 1", "markup", "wolves"))
    assert np.array_equal(page, picture._draw(named)[0])


def test_long_names_stay_inside_and_many_columns_are_refused(outputs: Path) -> None:
    found = arranged(outputs, "prompt", "resolution", upscaler="none")
    long = dataclasses.replace(
        found, rows=("a-very-" * 30 + "long-name", "b", "c"), columns=("word " * 60, "2")
    )
    page, boxes = picture._draw(long)
    assert page.shape[1] <= 1920
    bare = picture._draw(dataclasses.replace(long, rows=("", "", ""), columns=("", "")))
    assert bare[0].shape[0] < page.shape[0], "the labels above the clips have room of their own"
    for box in boxes:
        column = page[box.top : box.top + box.size[1], box.left : box.left + box.size[0]]
        assert (column == picture.HOLE).all(), "no label runs into a clip"
    many = tuple(str(i) for i in range(20))
    with pytest.raises(SpecError, match=r"got 3 rows x 20 columns"):
        picture._draw(
            dataclasses.replace(found, columns=many, tiles=tuple(row[:1] * 20 for row in found.tiles))
        )


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["resolution"], "two different axes (rows, columns), got resolution"),
        (["resolution", "upscaler", "seed"], "two different axes"),
        (["resolution", "resolution"], "two different axes"),
        (["resolution", "upscalr"], "nearest: upscaler"),
        (["resolution", "upscaler", "seed=9"], "seed must be one of 0, 1, got '9'; nearest: "),
        (["resolution", "upscaler", "resolution=256x144"], "is spread over the grid"),
        (["resolution", "upscaler", "steps=20"], "got 'steps'"),
    ],
)
def test_wrong_grids_are_refused_before_anything_is_written(
    outputs: Path, tmp_path: Path, words: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("jinja2")
    assert main(["report", str(outputs), "--out", str(tmp_path / "r.html"), "--grid", *words]) == 2
    assert named in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_command_writes_three_files(
    outputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("jinja2")
    words = [
        "report",
        "--grid",
        "upscaler",
        "resolution",
        str(outputs),
        "seed=1",
        "--out",
        str(tmp_path / "r.html"),
    ]
    assert main(words) == 0
    files = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert files == [
        tmp_path / name for name in ("r.html", "r-upscaler-resolution.mp4", "r-upscaler-resolution.png")
    ]
    assert all(file.stat().st_size > 0 for file in files)
    assert '"row": "upscaler"' in files[0].read_text(encoding="utf-8")
