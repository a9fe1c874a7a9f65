"""Why a file is no clip: told from its first bytes, so that the reason is the true one."""

from __future__ import annotations

import warnings
from pathlib import Path

HEAD = 4096  # bytes looked at

PLAYLISTS = (b"#extm3u", b"ffconcat", b"[playlist]", b"<smil", b"v=0\r\n", b"v=0\n", b"<asx")
ARCHIVES = {
    b"PK\x03\x04": "a ZIP archive",
    b"\x1f\x8b": "a gzip archive",
    b"7z\xbc\xaf": "a 7z archive",
    b"Rar!": "a RAR archive",
    b"%PDF": "a PDF document",
    b"\x80\x02": "a pickle",
    b"version https://git-lfs": "a Git LFS pointer; `git lfs pull` fetches the video itself",
}
SOUNDS = (b"ID3", b"fLaC", b"\xff\xfb", b"\xff\xf3", b"\xff\xf1", b"\xff\xf9", b"MThd", b"#!AMR", b"FORM")
NOTHING = "it is not a video, or is damaged or cut off"


def head_of(path: Path) -> bytes:
    """The first bytes of a file; raises OSError."""
    with path.open("rb") as file:
        return file.read(HEAD)


def refusal(path: Path, head: bytes) -> str:
    """Why FFmpeg found no video in the file: "it is ..."."""
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype html", b"<html")):
        return "it is an HTML page, perhaps of a download that failed"
    if text.startswith(PLAYLISTS) or (b"<mpd" in text[:1024] and text.startswith(b"<")):
        return "it is a playlist: it names other files, and these are not opened"
    for magic, name in ARCHIVES.items():
        if head.startswith(magic):
            return f"it is {name}"
    picture = picture_in(path)
    if picture:
        return f"it is {picture}, not a clip"
    if head.startswith(SOUNDS) or (head[:4] == b"RIFF" and head[8:12] == b"WAVE"):
        return "it is sound without a picture"
    if head[4:8] in (b"ftyp", b"mdat", b"wide", b"free"):
        return "it is cut off or damaged: an MP4 without a readable index (moov)"
    return "it is text, not a video" if is_text(head) else NOTHING


def picture_in(path: Path) -> str | None:
    """What Pillow says of a picture: "a PNG picture of 64x48"; None for other files. Decodes nothing."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                return f"a {image.format} picture of {image.width}x{image.height}"
    except Exception:  # noqa: BLE001 - a decoder of a damaged picture raises whatever it likes: then it is no picture
        return None


def is_text(head: bytes) -> bool:
    """All of it is UTF-8 without control characters (its last character may be cut)."""
    text = head.decode("utf-8", "ignore")
    kept = sum(len(c.encode()) for c in text)
    return len(head) - kept <= 3 and all(c.isprintable() or c in "\t\r\n\f" for c in text)
