"""Files that are no clip are refused with the true reason, in one line, and nothing else is opened."""

from __future__ import annotations

import os
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from cogexp.media.errors import VideoError
from cogexp.media.reading import probe, read
from tests.media.files import encode


def sound(path: Path) -> None:
    with av.open(str(path), "w", format="wav") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.int16), "s16", "mono")
        silence.sample_rate = 8000
        container.mux(stream.encode(silence))
        container.mux(stream.encode(None))


def zipped(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a", "b")


def cut_before_the_index(path: Path) -> None:
    encode(path, 5)  # PyAV writes the index last
    path.write_bytes(path.read_bytes()[:1500])


CASES: dict[str, tuple[Callable[[Path], object], str]] = {
    "folder": (lambda p: p.mkdir(), "it is a folder"),
    "pipe": (lambda p: os.mkfifo(p), "it is no regular file"),
    "png": (lambda p: Image.new("RGB", (20, 10)).save(p, "PNG"), "it is a PNG picture of 20x10, not a clip"),
    "jpeg": (
        lambda p: Image.new("RGB", (20, 10)).save(p, "JPEG"),
        "it is a JPEG picture of 20x10, not a clip",
    ),
    "gif": (lambda p: Image.new("RGB", (20, 10)).save(p, "GIF"), "it is a GIF picture of 20x10, not a clip"),
    "webp": (
        lambda p: Image.new("RGB", (20, 10)).save(p, "WEBP"),
        "it is a WEBP picture of 20x10, not a clip",
    ),
    "sound": (sound, "it is sound without a picture"),
    "html": (lambda p: p.write_text("<!DOCTYPE html><html>404</html>"), "it is an HTML page"),
    "text": (lambda p: p.write_text("hello\n"), "it is text, not a video"),
    "zip": (zipped, "it is a ZIP archive"),
    "lfs": (
        lambda p: p.write_text("version https://git-lfs.github.com/spec/v1\noid"),
        "it is a Git LFS pointer",
    ),
    "noise": (lambda p: p.write_bytes(bytes(range(256)) * 9), "it is not a video, or is damaged"),
    "no index": (cut_before_the_index, "it is cut off or damaged: an MP4 without a readable index"),
    "webp cut": (lambda p: p.write_bytes(b"RIFF\x00\x10\x00\x00WEBPVP8X"), "it is damaged: "),
}


@pytest.mark.parametrize("case", CASES)
def test_the_true_reason_in_one_line(tmp_path: Path, case: str, capfd: pytest.CaptureFixture[str]) -> None:
    if case == "pipe" and not hasattr(os, "mkfifo"):
        pytest.skip("no named pipes here")
    make, reason = CASES[case]
    path = tmp_path / "clip.mp4"
    make(path)
    for reading in (read, probe):
        with pytest.raises(VideoError) as caught:
            reading(path)
        assert str(path) in str(caught.value)
        assert reason in str(caught.value)
        assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""


PLAYLISTS = {
    "m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{clip}\n#EXT-X-ENDLIST\n",
    "ffconcat": "ffconcat version 1.0\nfile '{clip}'\n",
    "mpd": '<?xml version="1.0"?><MPD><Period><AdaptationSet><Representation><BaseURL>{clip}</BaseURL>'
    "</Representation></AdaptationSet></Period></MPD>",
    "sdp": "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nc=IN IP4 127.0.0.1\r\nm=video 4000 RTP/AVP 96\r\n",
}


@pytest.mark.parametrize("kind", PLAYLISTS)
@pytest.mark.parametrize("suffix", ["own", "mp4"])
def test_playlists_open_nothing(tmp_path: Path, kind: str, suffix: str) -> None:
    clip = encode(tmp_path / "clip.mp4", 3)
    listed = tmp_path / f"list.{kind if suffix == 'own' else suffix}"
    listed.write_text(PLAYLISTS[kind].format(clip=clip))
    with pytest.raises(VideoError, match="it is a playlist: it names other files"):
        read(listed)


def claims_frames(path: Path, count: int) -> Path:
    """An MP4 whose sample tables speak of `count` frames of one byte, in a file of a few kB."""
    raw = bytearray(encode(path, 5).read_bytes())
    sizes = raw.find(b"stsz")
    raw[sizes + 8 : sizes + 16] = struct.pack(">II", 1, count)
    times = raw.find(b"stts")
    raw[times + 12 : times + 16] = struct.pack(">I", count)
    path.write_bytes(raw)
    return path


@pytest.mark.parametrize("count", [2**31 - 1, 2**32 - 1, 10**6])
def test_more_frames_than_bytes_are_refused_before_anything_is_allocated(tmp_path: Path, count: int) -> None:
    path = claims_frames(tmp_path / "clip.mp4", count)
    with pytest.raises(
        VideoError, match=rf"claims {count} frames, but the file has {path.stat().st_size} bytes"
    ):
        probe(path)


def test_frames_above_the_limit_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cogexp.media import container, pyav, stills

    path = encode(tmp_path / "clip.mp4", 3)
    moving = tmp_path / "clip.gif"
    pictures = [Image.new("RGB", (128, 64), (i, 0, 0)) for i in (0, 200)]
    pictures[0].save(moving, save_all=True, append_images=pictures[1:])
    for module in (pyav, container.pyav, stills):
        monkeypatch.setattr(module, "MAX_PIXELS", 128 * 64 - 1)
    for each in (path, moving):
        with pytest.raises(VideoError, match="its frames of 128x64 px are above 8191 pixels"):
            probe(each)
