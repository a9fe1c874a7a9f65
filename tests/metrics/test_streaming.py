"""Clips by windows: the same curves as at once, and no more frames alive than a window holds."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from cogexp.media.isolated import Isolated
from cogexp.media.probe import Probe
from cogexp.metrics import measure
from cogexp.metrics.clip_frames import EvalClip, EvalClipBuilder, Reduced, reduce_frame
from cogexp.metrics.motion import adjacent_flow, motion_curves, warp_errors
from cogexp.metrics.names import METRIC_NAMES
from cogexp.metrics.streaming import measure_file, measure_windows, window_length, windows
from cogexp.video import Writer, read
from tests.metrics.clips import pan


class Pixels:
    """Networks of each kind whose answers depend on the frame alone: windows cannot hide in them."""

    name = "pixels"

    def embed_images(self, frames: np.ndarray) -> np.ndarray:
        return frames.reshape(len(frames), -1)[:, ::997].astype(np.float32) + 1

    def embed_text(self, text: str) -> tuple[np.ndarray, str]:
        return np.ones(len(self.embed_images(np.zeros((1, 72, 128, 3), np.uint8))[0]), np.float32), ""

    def distance(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return np.abs(first.astype(np.float32) - second).mean((1, 2, 3))

    def between(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return ((first.astype(np.uint16) + second) // 2).astype(np.uint8)

    def flow(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return np.zeros((*first.shape[:3], 2), np.float32)


NETWORKS = {kind: Pixels() for kind in ("clip", "lpips", "dino", "interpolator", "raft")}


def small(frames: int) -> np.ndarray:
    """A textured pan of 72 x 128 px, at which it is measured, too."""
    return pan(2, frames=frames, width=128, height=72)


def by_windows(frames: np.ndarray, length: int) -> list[EvalClip]:
    reduced = [reduce_frame(frame, 72) for frame in frames]
    builder, clips = EvalClipBuilder(fps=8, height=72), []
    for start in range(0, len(frames) - 1, length - 1):
        for each in reduced[start : start + length]:
            builder.add_reduced(each, (frames.shape[2], frames.shape[1]))
        clips.append(builder.finish())
    return clips


def test_curves_of_windows_are_those_of_the_clip() -> None:
    frames = small(13)
    at_once = measure(frames, 8, "x", METRIC_NAMES, networks=NETWORKS, height=72)
    joined = measure_windows(by_windows(frames, 5), "x", METRIC_NAMES, networks=NETWORKS)
    assert at_once.per_frame.keys() == joined.per_frame.keys()
    for name, curve in at_once.per_frame.items():
        np.testing.assert_allclose(
            np.array(joined.per_frame[name], float), np.array(curve, float), rtol=1e-6, err_msg=name
        )
        assert joined.scores[name] == pytest.approx(at_once.scores[name], rel=1e-6), name
    assert list(joined.scores) == list(at_once.scores)
    assert "worst of 3 windows of 5 frames" in joined.notes["tear"]


def test_the_worst_window_stands_for_the_clip() -> None:
    frames = small(13)
    frames[10] = 0  # black, in the last window
    found = measure_windows(by_windows(frames, 5), None, ["tear"])
    alone = measure(frames[8:13], 8, None, ["tear"], height=72)
    assert alone.artifacts["level"] == "certain"
    assert found.scores["tear"] == alone.scores["tear"]
    assert found.artifacts["kind"] == alone.artifacts["kind"] == "black"
    assert found.artifacts["frames"] == [frame + 8 for frame in alone.artifacts["frames"]] == [10]


def test_an_ordinary_clip_is_one_window_with_the_scores_of_the_whole(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    with Writer(path, 8) as writer:
        writer.write(small(49))
    with Isolated() as decoder:
        found_facts, found, warnings = measure_file(path, None, ["fast"], decoder=decoder, height=72)
    video = read(path)
    expected = measure(video.frames, video.fps, None, ["fast"], height=72)
    assert (found_facts.frames, warnings) == (49, [])
    assert found.scores == expected.scores
    assert found.artifacts == expected.artifacts
    assert found.notes == expected.notes


def test_motion_curves_are_the_flows() -> None:
    clip = EvalClip.collect([small(40)], 8, 72)
    flow = adjacent_flow(clip.gray)
    curves = motion_curves(clip.frames)
    np.testing.assert_array_equal(curves.warp_error, warp_errors(clip.frames, flow))
    scale = np.array([512 / clip.frames.shape[2], 288 / clip.frames.shape[1]], np.float32)
    np.testing.assert_allclose(
        curves.length_px, np.linalg.norm(flow.forward * scale, axis=-1).mean((1, 2)), rtol=1e-5
    )


@pytest.mark.parametrize(
    ("frames", "most"), [(49, 910), (910, 910), (911, 910), (3600, 473), (420, 60), (51, 50)]
)
def test_windows_are_few_odd_and_of_nearly_one_length(frames: int, most: int) -> None:
    length = window_length(frames, most)
    assert length <= most
    if frames <= most:
        assert length == most
        return
    assert length % 2 == 1
    last = (frames - 1) % (length - 1) or length - 1
    assert last > 0.5 * length or frames < 2 * most


def test_no_more_frames_are_alive_than_a_window_holds() -> None:
    alive = most = 0

    def gone() -> None:
        nonlocal alive
        alive -= 1

    def frames() -> Iterator[Reduced]:
        nonlocal alive, most
        for index in range(400):
            reduced = Reduced(detail=np.full((36, 64, 3), index % 256, np.uint8), frame=None)
            weakref.finalize(reduced.detail, gone)
            alive += 1
            most = max(most, alive)
            yield reduced

    shape = Probe(width=64, height=36, fps=8.0, frames=400)
    count = 0
    for clip in windows(frames(), shape, 36, most_bytes=60 * 36 * 64 * 3):
        assert clip.detail.nbytes <= 60 * 36 * 64 * 3
        count += len(clip.detail) - bool(count)
    assert count == 400
    assert most <= 60 + 3  # a window, the frame that comes, and the last one, which the next one begins with
