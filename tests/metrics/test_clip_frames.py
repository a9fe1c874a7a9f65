"""EvalClip: what the metrics see."""

import numpy as np
import pytest

from cogexp.metrics import EvalClip, EvalClipBuilder
from tests.metrics.clips import pan, texture


def test_a_clip_at_the_evaluation_height_is_kept_bit_for_bit():
    frames = pan(1, frames=2)
    clip = EvalClip.collect([frames], 8)
    assert np.array_equal(clip.frames, frames)
    assert clip.detail is clip.frames
    assert (clip.width, clip.height, clip.fps, clip.row_factor) == (512, 288, 8.0, 1)


def test_a_clip_four_times_as_large_is_averaged_exactly():
    small = texture(128, 72)
    large = small.repeat(4, axis=0).repeat(4, axis=1)
    clip = EvalClip.collect([large[None]], 8, height=72)
    assert np.array_equal(clip.frames[0], small)
    assert clip.row_factor == 4


@pytest.mark.parametrize(
    ("size", "frames", "detail", "factor"),
    [
        ((720, 480), (432, 288), (720, 480), 1),
        ((1360, 768), (510, 288), (680, 384), 2),
        ((352, 192), (528, 288), (352, 192), 1),
        ((2048, 1152), (512, 288), (512, 288), 4),
        ((850, 577), (425, 288), (425, 288), 2),
    ],
)
def test_frames_go_to_the_height_and_detail_to_whole_blocks(size, frames, detail, factor):
    clip = EvalClip.collect([np.zeros((2, size[1], size[0], 3), np.uint8)], 8)
    assert clip.frames.shape == (2, frames[1], frames[0], 3)
    assert clip.detail.shape == (2, detail[1], detail[0], 3)
    assert clip.row_factor == factor


def test_chunks_single_frames_and_arrays_give_the_same():
    frames = pan(3, frames=5, width=640, height=480)
    whole = EvalClip.collect([frames], 8)
    parts = EvalClip.collect([frames[:2], frames[2], frames[3:]], 8)
    assert np.array_equal(whole.frames, parts.frames)
    assert np.array_equal(whole.detail, parts.detail)


@pytest.mark.parametrize(
    "chunk",
    [np.zeros((2, 8, 8, 3), np.float32), np.zeros((8, 8), np.uint8), np.zeros((1, 8, 8, 4), np.uint8)],
)
def test_other_shapes_and_types_are_refused(chunk):
    with pytest.raises(ValueError, match="expected uint8 frames"):
        EvalClip.collect([chunk], 8)


def test_a_changed_size_and_an_empty_stream_are_refused():
    builder = EvalClipBuilder(fps=8)
    builder.add(np.zeros((1, 16, 16, 3), np.uint8))
    with pytest.raises(ValueError, match="expected 16x16"):
        builder.add(np.zeros((1, 16, 32, 3), np.uint8))
    with pytest.raises(ValueError, match="at least one frame"):
        EvalClip.collect([], 8)
