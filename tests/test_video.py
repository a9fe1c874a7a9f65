"""Video in and out: known colours, both readers against each other, no-video files, and clean ends."""

from __future__ import annotations

import importlib.util
import struct
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from cogexp import video
from cogexp.media import decord_reader
from cogexp.video import VideoError, Writer, probe, read

COLOURS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0), (128, 128, 128), (200, 100, 50)]
needs_decord = pytest.mark.skipif(importlib.util.find_spec("decord") is None, reason="no decord wheel here")


def moving_squares(frames: int, height: int, width: int) -> np.ndarray:
    """Textured frames with motion, uint8 (t, h, w, 3)."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    waves = [np.sin(x / 7 + t / 3) * 60 + np.cos(y / 5 - t / 4) * 60 + 128 for t in range(frames)]
    clip = np.stack([np.stack([w, 255 - w, (w * 0.5 + x / width * 100)], -1) for w in waves])
    clip[:, : height // 3, : width // 3] = 230
    return clip.clip(0, 255).astype(np.uint8)


def write(path: Path, frames: np.ndarray, fps: float = 8, **options: object) -> Path:
    with Writer(path, fps, **options) as writer:  # type: ignore[arg-type]
        for start in range(0, len(frames), 3):
            writer.write(frames[start : start + 3])
    return path


def without_decord(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decord_reader, "installed", lambda: False)


def encode_plain(path: Path, frames: np.ndarray, codec: str, pixels: str) -> Path:
    """Encode without our Writer, for codecs and layouts that it does not make."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = pixels
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("reader", ["decord", "pyav"])
@pytest.mark.parametrize("colour", COLOURS)
def test_flat_colours_survive_the_round_trip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reader: str, colour: tuple[int, ...]
) -> None:
    if reader == "pyav":
        without_decord(monkeypatch)
    flat = np.empty((2, 64, 64, 3), np.uint8)
    flat[:] = colour
    back = read(write(tmp_path / "flat.mp4", flat)).frames
    assert np.abs(back.astype(int) - flat).max() <= 2  # 8-bit YUV cannot name every colour


def test_stored_values_are_bt709_limited_range(tmp_path: Path) -> None:
    """Pure red by the standard: Y = 16 + 219*0.2126, Cb = 128 - 224*0.2126/1.8556, Cr = 128 + 112."""
    red = np.zeros((1, 32, 32, 3), np.uint8)
    red[..., 0] = 255
    with av.open(str(write(tmp_path / "red.mp4", red, crf=0))) as container:
        frame = next(container.decode(video=0))
        context = container.streams.video[0].codec_context
        tags = (context.colorspace, context.color_primaries, context.color_trc, context.color_range)
    assert frame.format.name == "yuv420p"
    luma, blue, red_difference = (np.frombuffer(plane, np.uint8)[0] for plane in frame.planes)
    assert (luma, blue, red_difference) == (63, 102, 240)
    assert tags == (1, 1, 1, 1)


def test_picture_quality_and_length(tmp_path: Path) -> None:
    clip = moving_squares(9, 96, 128)
    back = read(write(tmp_path / "clip.mp4", clip))
    assert back.frames.shape == clip.shape
    assert back.frames.dtype == np.uint8
    assert back.fps == 8
    error = ((back.frames.astype(float) - clip) ** 2).mean(axis=(1, 2, 3))
    assert (10 * np.log10(255**2 / error)).min() > 30  # each frame is itself, in order
    later = ((back.frames[:-1].astype(float) - clip[1:]) ** 2).mean()
    assert error.mean() < later / 2


@needs_decord
@pytest.mark.parametrize("size", [(96, 128), (75, 101), (2, 2), (288, 512)])
def test_both_readers_give_the_same_frames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    path = write(tmp_path / "clip.mp4", moving_squares(20, *size))
    by_decord = read(path)
    without_decord(monkeypatch)
    by_pyav = read(path)
    np.testing.assert_array_equal(by_decord.frames, by_pyav.frames)
    assert by_decord.fps == by_pyav.fps


@needs_decord
@pytest.mark.parametrize(
    ("codec", "pixels", "suffix", "mean_error"),
    [
        ("libx264", "yuv444p", "mp4", 0),
        # Chroma of an odd height: decord's older swscale stretches 51 lines over 101, the newer one over 102.
        ("mpeg4", "yuv420p", "avi", 4),
        ("libx264", "yuv444p", "mkv", 0),  # Matroska does not tell how many frames it holds
    ],
)
def test_both_readers_agree_on_odd_sizes_and_other_containers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, codec: str, pixels: str, suffix: str, mean_error: float
) -> None:
    path = encode_plain(tmp_path / f"odd.{suffix}", moving_squares(7, 101, 173), codec, pixels)
    assert probe(path) == video.Probe(width=173, height=101, fps=10, frames=7)
    by_decord = read(path).frames
    without_decord(monkeypatch)
    by_pyav = read(path).frames
    assert by_decord.shape == by_pyav.shape == (7, 101, 173, 3)
    assert np.abs(by_decord.astype(int) - by_pyav).mean() <= mean_error


@pytest.mark.parametrize("reader", ["decord", "pyav"])
def test_rotation_tag_is_obeyed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reader: str) -> None:
    upright = write(tmp_path / "upright.mp4", moving_squares(3, 64, 96))
    raw = bytearray(upright.read_bytes())
    matrix = raw.find(b"tkhd") + 4 + 4 + 20 + 16  # version 0 header, then the 3x3 matrix
    raw[matrix : matrix + 36] = struct.pack(">9i", 0, 65536, 0, -65536, 0, 0, 64 << 16, 0, 1 << 30)
    sideways = tmp_path / "sideways.mp4"
    sideways.write_bytes(raw)
    expected = np.rot90(read(upright).frames, -1, axes=(1, 2))  # 90 degrees clockwise
    if reader == "pyav":
        without_decord(monkeypatch)
    np.testing.assert_array_equal(read(sideways).frames, expected)
    assert (probe(sideways).width, probe(sideways).height) == (64, 96)


def test_max_frames_and_probe(tmp_path: Path) -> None:
    path = write(tmp_path / "clip.mp4", moving_squares(21, 48, 64), fps=30000 / 1001)
    found = probe(path)
    assert (found.width, found.height, found.frames) == (64, 48, 21)
    assert found.fps == pytest.approx(30000 / 1001, rel=1e-12)
    everything = read(path).frames
    np.testing.assert_array_equal(read(path, max_frames=18).frames, everything[:18])
    assert len(read(path, max_frames=99).frames) == 21
    with pytest.raises(VideoError, match="max_frames must be at least 1, got 0"):
        read(path, max_frames=0)


@pytest.mark.parametrize("fps", [8, 16, 12.5, 29.97, Fraction(24000, 1001)])
def test_frame_rates(tmp_path: Path, fps: float) -> None:
    path = write(tmp_path / "clip.mp4", moving_squares(4, 32, 32), fps=fps)
    assert probe(path).fps == pytest.approx(float(fps), rel=1e-9)


def test_odd_sizes_repeat_the_edge(tmp_path: Path) -> None:
    clip = moving_squares(2, 33, 47)
    back = read(write(tmp_path / "odd.mp4", clip, crf=1)).frames
    assert back.shape == (2, 34, 48, 3)
    assert np.abs(back[:, 33].astype(int) - back[:, 32]).mean() < 6
    assert np.abs(back[:, :, 47].astype(int) - back[:, :, 46]).mean() < 6


def test_same_frames_give_the_same_bytes_however_they_are_chunked(tmp_path: Path) -> None:
    clip = moving_squares(12, 96, 128)
    first = write(tmp_path / "a.mp4", clip).read_bytes()
    with Writer(tmp_path / "b.mp4", 8) as writer:
        writer.write(clip[:0])
        writer.write(clip)
    assert (tmp_path / "b.mp4").read_bytes() == first
    assert first.find(b"moov") < first.find(b"mdat")  # faststart: a browser plays while it loads


def test_same_frames_give_the_same_bytes_on_a_busy_machine(tmp_path: Path) -> None:
    # x264's own lookahead thread gave other bytes in one write of ten beside four busy processes.
    frames = moving_squares(9, 288, 512)
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(4)]
    try:
        written = {write(tmp_path / f"{i}.mp4", frames).read_bytes() for i in range(12)}
    finally:
        for process in busy:
            process.kill()
            process.wait()
    assert len(written) == 1


def test_an_exception_leaves_nothing_and_keeps_the_old_file(tmp_path: Path) -> None:
    path = write(tmp_path / "clip.mp4", moving_squares(3, 32, 32))
    before = path.read_bytes()
    with pytest.raises(KeyboardInterrupt), Writer(path, 8) as writer:  # noqa: PT012
        writer.write(moving_squares(80, 64, 64))  # more than the encoder looks ahead
        assert len(list(tmp_path.iterdir())) == 2
        raise KeyboardInterrupt
    assert [file.name for file in tmp_path.iterdir()] == ["clip.mp4"]
    assert path.read_bytes() == before


def test_what_a_writer_refuses(tmp_path: Path) -> None:
    clip = moving_squares(2, 32, 32)
    with pytest.raises(VideoError, match="no frames were given"), Writer(tmp_path / "none.mp4", 8):
        pass
    with pytest.raises(VideoError, match="expected uint8 frames"), Writer(tmp_path / "a.mp4", 8) as writer:
        writer.write(clip.astype(np.float32))
    with (
        pytest.raises(VideoError, match=r"frames are \(32, 32, 3\), but \(16, 32, 3\) came"),
        Writer(tmp_path / "b.mp4", 8) as writer,
    ):
        [writer.write(chunk) for chunk in (clip, clip[:, :16])]
    with pytest.raises(VideoError, match="fps must be above 0"):
        Writer(tmp_path / "c.mp4", 0)
    with pytest.raises(VideoError, match="crf must be from 0 to 51, got 99"):
        Writer(tmp_path / "c.mp4", 8, crf=99)
    with pytest.raises(VideoError, match=r"folder\.mp4"):
        write(tmp_path / "no" / "folder.mp4", clip)
    assert list(tmp_path.iterdir()) == []


def audio_only(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), "fltp", "mono")
        silence.sample_rate = 8000
        container.mux(stream.encode(silence))
        container.mux(stream.encode(None))


UNREADABLE = {
    "missing": (lambda path: None, "there is no such file"),
    "folder": (lambda path: path.mkdir(), "it is a folder"),
    "empty": (lambda path: path.write_bytes(b""), "the file is empty"),
    "text": (lambda path: path.write_text("not a video\n" * 99), "it is text, not a video"),
    "cut off": (
        lambda path: path.write_bytes(write(path, moving_squares(9, 64, 64)).read_bytes()[:400]),
        "it has no video stream",
    ),
    "sound": (audio_only, "it has no video stream"),
}


@pytest.mark.parametrize("reader", ["decord", "pyav"])
@pytest.mark.parametrize("case", UNREADABLE)
def test_unreadable_files_are_named_in_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    case: str,
    reader: str,
) -> None:
    if reader == "pyav":
        without_decord(monkeypatch)
    make, reason = UNREADABLE[case]
    path = tmp_path / "clip.mp4"
    make(path)
    for reading in (read, probe):
        with pytest.raises(VideoError) as caught:
            reading(path)
        assert str(path) in str(caught.value)
        assert reason in str(caught.value)
        assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""


def test_a_clip_that_is_cut_off_says_how_much_is_left(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 64, 64, 3), np.uint8)
    whole = write(tmp_path / "clip.mp4", noise)
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with caplog.at_level("WARNING", logger="cogexp"):
        left = len(read(cut).frames)
    assert 5 < left < 35
    assert f"only {left} of the 40 frames" in caplog.text


def test_pyav_takes_over_where_decord_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "clip.mp4", moving_squares(4, 32, 32))
    expected = read(path).frames
    monkeypatch.setattr(decord_reader, "installed", lambda: True)
    monkeypatch.setattr(decord_reader, "read", lambda *_: None)
    np.testing.assert_array_equal(read(path).frames, expected)


def test_importing_video_loads_no_torch() -> None:
    program = "import sys, cogexp.video; sys.exit('torch' in sys.modules or 'decord' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
