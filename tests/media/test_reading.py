"""What is read is what the container presents: each frame tells its own number."""

from __future__ import annotations

import gc
import io
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from cogexp.media import decord_reader, pyav
from cogexp.media.errors import VideoError
from cogexp.media.probe import rate_of
from cogexp.media.reading import Clip, probe, read
from tests.media.files import (
    copied,
    encode,
    encode_streams,
    number_of,
    numbers,
    overwritten,
    packet_places,
    with_matrix,
)

INTRA = {"g": "1", "bf": "0"}
KINDS = {
    "mp4 with B-frames": ("a.mp4", {"options": {"bf": "3", "g": "12"}}),
    "mkv": ("a.mkv", {"options": {"bf": "2"}}),
    "webm vp9": ("a.webm", {"codec": "libvpx-vp9", "options": {"deadline": "realtime", "cpu-used": "8"}}),
    "avi mpeg4": ("a.avi", {"codec": "mpeg4", "options": {"bf": "2"}}),
    "program stream": ("a.mpg", {"codec": "mpeg2video", "rate": 25, "options": {"bf": "2"}, "format": "vob"}),
    "transport stream": ("a.ts", {"options": {"bf": "2"}}),
    "raw h264": ("a.h264", {"options": {"bf": "2"}}),
    "raw mpeg2": ("a.m2v", {"codec": "mpeg2video", "rate": 25}),
    "mov mjpeg": ("a.mov", {"codec": "mjpeg"}),
}


def read_both(path: Path, monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """As `read` gives it, with decord where it takes part; the stream alone must give the same frames."""
    whole = read(path).frames
    streamed = list(Clip.open(path).frames())
    monkeypatch.setattr(decord_reader, "installed", lambda: False)
    alone = read(path).frames
    np.testing.assert_array_equal(whole, alone)
    np.testing.assert_array_equal(alone, np.stack(streamed))
    return streamed


@pytest.mark.parametrize("kind", KINDS)
def test_every_frame_once_and_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    name, options = KINDS[kind]
    path = encode(tmp_path / name, 30, **options)  # type: ignore[arg-type]
    assert numbers(read_both(path, monkeypatch)) == list(range(30))
    assert probe(path).frames == 30


@pytest.mark.skipif(pyav.VERSION < (15, 0), reason="PyAV 14 copies a stream into an MP4 without its header")
def test_what_an_edit_list_hides_is_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = encode(tmp_path / "whole.mp4", 30, options={"bf": "2", "g": "30"})
    with av.open(str(whole)) as container:
        base = container.streams.video[0].time_base
    cut = copied(
        whole, tmp_path / "cut.mp4", shift=int(Fraction(11, 10) / Fraction(base.numerator, base.denominator))
    )
    assert numbers(read_both(cut, monkeypatch)) == list(range(11, 30))
    assert probe(cut).frames == 19
    assert probe(cut).fps == pytest.approx(10)


def test_a_stream_that_begins_in_the_middle_of_a_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = encode(
        tmp_path / "whole.ts", 30, options={"g": "12", "keyint_min": "12", "bf": "0", "sc_threshold": "0"}
    )
    begun = copied(whole, tmp_path / "begun.mkv", shift=0, skip=5)
    assert numbers(read_both(begun, monkeypatch)) == list(range(12, 30))


def test_joined_streams_are_read_to_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [encode(tmp_path / f"{i}.ts", 12, options={"bf": "2"}, first=20 * i) for i in range(2)]
    joined = tmp_path / "joined.ts"
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    assert numbers(read_both(joined, monkeypatch)) == [*range(12), *range(20, 32)]
    assert probe(joined).fps == pytest.approx(10)


def test_one_stream_throughout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "two.mkv"
    encode_streams(path, 12, [{"size": (64, 128)}, {"size": (96, 192), "first": 20}])
    facts = probe(path)
    frames = read_both(path, monkeypatch)
    assert {frame.shape for frame in frames} == {(facts.height, facts.width, 3)}
    assert numbers(frames) == [n + 20 * (facts.stream == 1) for n in range(12)]


def test_the_film_and_not_the_cover(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Cover:
        """Flags of an attached picture, as PyAV gives them before 15 (an enum) and after (a number)."""

        def __init__(self, flags: object) -> None:
            self.disposition = flags

    class Flag:
        value = pyav.ATTACHED_PIC

    assert pyav.is_cover(Cover(pyav.ATTACHED_PIC))
    assert pyav.is_cover(Cover(Flag()))
    assert not pyav.is_cover(Cover(1))
    path = tmp_path / "cover.mkv"
    encode_streams(path, 12, [{"codec": "mjpeg", "size": (320, 320), "first": 40}, {}])
    original = pyav.is_cover
    monkeypatch.setattr(pyav, "is_cover", lambda s: original(s) or s.codec_context.name == "mjpeg")
    assert numbers(read_both(path, monkeypatch)) == list(range(12))
    assert (probe(path).width, probe(path).height) == (128, 64)


TURNS = [
    (1, 0, 0, 1),
    (-1, 0, 0, 1),
    (1, 0, 0, -1),
    (-1, 0, 0, -1),
    (0, 1, -1, 0),
    (0, -1, 1, 0),
    (0, 1, 1, 0),
    (0, -1, -1, 0),
]


@pytest.mark.parametrize("matrix", TURNS)
def test_display_matrices_turn_and_mirror(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, matrix: tuple[int, int, int, int]
) -> None:
    a, b, c, d = matrix
    plain = encode(tmp_path / "plain.mp4", 3)
    turned = with_matrix(plain, tmp_path / "turned.mp4", a, b, c, d)
    before = read(plain).frames
    height, width = before.shape[1:3]
    # The definition: the pixel at (x, y) is shown at (ax + cy, bx + dy), moved back into the first quadrant.
    y, x = np.mgrid[:height, :width]
    to_x, to_y = a * x + c * y, b * x + d * y
    to_x, to_y = to_x - to_x.min(), to_y - to_y.min()
    expected = np.empty((3, to_y.max() + 1, to_x.max() + 1, 3), np.uint8)
    expected[:, to_y, to_x] = before[:, y, x]
    np.testing.assert_array_equal(np.stack(read_both(turned, monkeypatch)), expected)
    assert (probe(turned).width, probe(turned).height) == (expected.shape[2], expected.shape[1])


def test_pixel_aspect_is_told_and_not_applied(tmp_path: Path) -> None:
    path = encode(tmp_path / "wide.mp4", 3, aspect=Fraction(16, 11))
    facts = probe(path)
    assert facts.pixel_aspect == Fraction(16, 11)
    assert (facts.width, facts.height) == (128, 64)
    assert probe(with_matrix(path, tmp_path / "turned.mp4", 0, 1, -1, 0)).pixel_aspect == Fraction(11, 16)
    assert probe(encode(tmp_path / "square.mp4", 3)).pixel_aspect == 1


@pytest.mark.parametrize("rate", [Fraction(24000, 1001), Fraction(30000, 1001), Fraction(25), Fraction(60)])
@pytest.mark.parametrize("suffix", ["m2v", "mpg", "mp4", "mkv", "ts"])
def test_the_rate_is_the_films(tmp_path: Path, rate: Fraction, suffix: str) -> None:
    codec = "mpeg2video" if suffix in ("m2v", "mpg") else "libx264"
    path = encode(tmp_path / f"a.{suffix}", 12, codec=codec, rate=rate)
    assert probe(path).fps == pytest.approx(float(rate), rel=1e-6)


def test_rates_that_timestamps_bear_out() -> None:
    film, video = Fraction(24000, 1001), Fraction(30000, 1001)
    regular = [Fraction(i, 1) / film for i in range(20)]
    assert rate_of((film, video), regular, raw=False) == film
    assert rate_of((video, film), regular, raw=False) == film
    assert rate_of((Fraction(25), film), [], raw=True) == film
    assert rate_of((None, None), regular, raw=False) == film
    rounded = [Fraction(round(1000 * time), 1000) for time in regular]
    assert rate_of((film, None), rounded, raw=False) == film
    joined = [*regular, *(time + 100 for time in regular)]
    assert rate_of((film, None), joined, raw=False) == film
    assert rate_of((None, None), [], raw=False) is None
    assert rate_of((Fraction(90000), None), regular, raw=False) == film


def test_a_damaged_packet_costs_its_frame(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    whole = encode(tmp_path / "whole.mp4", 20, options=INTRA)
    place, length = packet_places(whole)[7]
    broken = overwritten(whole, tmp_path / "broken.mp4", place, b"\xff" * length)
    with caplog.at_level("WARNING", logger="cogexp"):
        assert numbers(read(broken).frames) == [n for n in range(20) if n != 7]
    assert "1 damaged packet left out; 19 frames are read" in caplog.text
    clip = Clip.open(broken)
    assert clip.facts.frames == 20
    assert len(list(clip.frames())) == 19
    assert len(clip.warnings) == 1


def test_a_frame_is_freed_as_soon_as_it_has_passed(tmp_path: Path) -> None:
    path = encode(tmp_path / "clip.mp4", 40, options={"bf": "0"})
    gc.collect()
    gc.disable()  # a frame in a cycle would wait for it
    try:
        most = 0
        for _ in Clip.open(path).frames():
            most = max(most, sum(isinstance(held, av.VideoFrame) for held in gc.get_objects()))
    finally:
        gc.enable()
    assert most <= 8


def test_a_size_that_changes_is_refused_at_its_frame(tmp_path: Path) -> None:
    parts = [encode(tmp_path / f"{i}.ts", 5, size=(64 * (i + 1), 128)) for i in range(2)]
    joined = tmp_path / "joined.ts"
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    with pytest.raises(VideoError, match="changes from 128x64 to 128x128 at frame 5"):
        read(joined)


def test_decord_is_left_out_where_it_does_not_agree(tmp_path: Path) -> None:
    if not decord_reader.installed():
        pytest.skip("no decord wheel here")
    plain = encode(tmp_path / "plain.mp4", 12)
    frames = decord_reader.read(plain, probe(plain), 12)
    assert frames is not None
    assert numbers(frames) == list(range(12))
    program = encode(tmp_path / "a.mpg", 12, codec="mpeg2video", rate=25)
    assert decord_reader.read(program, probe(program), 12) is None

    class Inventing:
        """A reader that repeats its first frame."""

        def __len__(self) -> int:
            return 12

        def get_frame_timestamp(self, index: range) -> np.ndarray:
            return np.array([[max(0, i - 1) / 10, i / 10] for i in index])

    times = decord_reader.presented_times(plain, probe(plain))
    assert times is not None
    assert not decord_reader._agrees(Inventing(), times)


@pytest.mark.parametrize("strict", [True, False])
def test_metadata_errors_are_asked_for_only_where_pyav_knows_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, strict: bool
) -> None:
    asked: dict[str, object] = {}
    monkeypatch.setattr(pyav, "STRICT_METADATA", strict)
    monkeypatch.setattr(pyav.av, "open", lambda *_, **words: asked.update(words) or io.BytesIO())
    pyav.open_file(tmp_path / "a.mp4")
    assert ("metadata_errors" in asked) is strict
    assert "options" not in asked  # PyAV 14 crashes on MPEG program streams with it


def test_a_name_is_never_an_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("concat:a.mp4", "-clip.mp4", "%03d.mp4"):
        encode(Path("made.mp4"), 3).rename(name)
        assert number_of(read(name).frames[2]) == 2
