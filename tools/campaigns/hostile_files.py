"""Clips, pictures and weights that are damaged, lie about their sizes, name other files or hold code.

Each maker writes one file beside `path` (which has no suffix), from the originals that `prepare` left in
`folder`, and returns where it is.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import random
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np

LIST = {
    "m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{clip}\n#EXT-X-ENDLIST\n",
    "ffconcat": "ffconcat version 1.0\nfile '{clip}'\n",
    "mpd": "<?xml version='1.0'?><MPD><Period><AdaptationSet><Representation><BaseURL>{clip}</BaseURL>"
    "</Representation></AdaptationSet></Period></MPD>",
    "sdp": "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nc=IN IP4 127.0.0.1\r\nm=video 4000 RTP/AVP 96\r\n",
}


def prepare(folder: Path) -> None:
    """The good clips that every measured file lies between, and originals to be damaged."""
    import av

    y, x = np.mgrid[:72, :128].astype(np.float32)
    for name, codec in (("good.mp4", "libx264"), ("good.mkv", "libx264"), ("good.mpg", "mpeg2video")):
        with av.open(str(folder / name), "w") as container:
            stream = container.add_stream(codec, rate=25)
            stream.height, stream.width, stream.pix_fmt = 72, 128, "yuv420p"
            for index in range(12):
                wave = (np.sin((x + 3 * index) / 9) * 60 + np.cos(y / 7) * 50 + 128).astype(np.uint8)
                frame = av.VideoFrame.from_ndarray(np.stack([wave, 255 - wave, wave // 2], -1), "rgb24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))


def truncated(rng: random.Random, folder: Path, path: Path) -> Path:
    raw, suffix = original(rng, folder)
    return written(path, suffix, raw[: rng.randrange(1, len(raw))])


def mutated(rng: random.Random, folder: Path, path: Path) -> Path:
    raw, suffix = original(rng, folder)
    changed = bytearray(raw)
    # Half of the changes in the head: there stand the tables that sizes are taken from.
    for _ in range(rng.choice((1, 8, 64))):
        stop = len(changed) if rng.random() < 0.5 else min(2048, len(changed))
        changed[rng.randrange(stop)] = rng.choice((0, 255, 127, 128, rng.randrange(256)))
    return written(path, suffix, bytes(changed))


def claiming(rng: random.Random, folder: Path, path: Path) -> Path:
    """A table of an MP4 that speaks of up to 2^32 frames, or a size of up to 65535 x 65535."""
    raw = bytearray((folder / "good.mp4").read_bytes())
    count = rng.choice((2**31, 2**31 - 1, 2**32 - 1, 10**9, 10**7))
    table = rng.choice((b"stsz", b"stts", b"stsc", b"stco", b"ctts", b"avc1", b"elst"))
    place = raw.find(table)
    if place < 0:
        place, table = raw.find(b"stsz"), b"stsz"
    if table == b"avc1":
        raw[place + 28 : place + 32] = struct.pack(">HH", 65535, 65535)
    elif table == b"stsz":
        raw[place + 8 : place + 16] = struct.pack(">II", rng.choice((0, 1, 7)), count)
    elif table == b"stts":
        raw[place + 12 : place + 16] = struct.pack(">I", count)
    else:
        raw[place + 8 : place + 12] = struct.pack(">I", count)
    return written(path, ".mp4", bytes(raw))


def playlist(rng: random.Random, folder: Path, path: Path) -> Path:
    kind = rng.choice(sorted(LIST))
    return written(path, f".{kind}", LIST[kind].format(clip=folder / "good.mp4").encode())


def animated(rng: random.Random, folder: Path, path: Path) -> Path:
    """An animated picture, damaged; or one of 60000 x 60000."""
    from PIL import Image

    kind = rng.choice(("gif", "webp", "png"))
    held = io.BytesIO()
    frames = [Image.new("RGB", (48, 32), (shade, 0, 9)) for shade in (0, 120, 250)]
    frames[0].save(held, kind.upper(), save_all=True, append_images=frames[1:], duration=40)
    raw = bytearray(held.getvalue())
    if kind == "gif" and rng.random() < 0.5:
        raw[6:10] = struct.pack("<HH", 60000, 60000)
    for _ in range(rng.choice((1, 8))):
        raw[rng.randrange(12, len(raw))] = rng.randrange(256)
    return written(path, f".{kind}", bytes(raw))


def other(rng: random.Random, folder: Path, path: Path) -> Path:
    """Things that are no clip: pages, archives, noise, a pipe, an address as a name."""
    what = rng.choice(("page", "noise", "pipe", "empty", "zeros"))
    if what == "pipe" and hasattr(os, "mkfifo"):
        os.mkfifo(path)
        return path
    content = {
        "page": b"<!DOCTYPE html><html><script>1</script>",
        "noise": rng.randbytes(5000),
        "empty": b"",
        "zeros": bytes(5000),
    }.get(what, b"\x00")
    return written(path, ".mp4", content)


def bomb(rng: random.Random, folder: Path, path: Path) -> Path:
    """A PNG of a few kB that unpacks to gigabytes, or whose text does, or that is damaged."""
    side = rng.choice((20_000, 60_000, 2**31 - 1, 200))
    data = zlib.compress(bytes(5_000_000), 9)
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))]
    if side == 200:
        chunks.append((b"zTXt", b"a\0\0" + zlib.compress(bytes(200_000_000), 9)))
    chunks += [(b"IDAT", data[: rng.randrange(1, len(data))]), (b"IEND", b"")]
    body = b"".join(
        struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks
    )
    return written(path, ".png", b"\x89PNG\r\n\x1a\n" + body)


def no_picture(rng: random.Random, folder: Path, path: Path) -> Path:
    raw = rng.choice((b"<svg/>", b"P6 99999 99999 255 ", b"BM" + rng.randbytes(90), rng.randbytes(500)))
    return written(path, rng.choice((".png", ".jpg", ".webp", ".bmp")), raw)


class Runs:
    """A pickle that writes a file when it is loaded."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, (str(self.trace), "w"))


def pickled(rng: random.Random, folder: Path, path: Path) -> Path:
    """A pickle with code, bare or in the archive that torch.save makes."""
    import torch

    target = path.with_suffix(rng.choice((".pth", ".pt")))
    held = {"weight": torch.zeros(3), "extra": Runs(folder / "RAN")}
    if rng.random() < 0.5:
        torch.save(held, target)
    else:
        target.write_bytes(pickle.dumps(held, protocol=rng.choice((2, 4))))
    (folder / "RAN").unlink(missing_ok=True)
    return target


def lying(rng: random.Random, folder: Path, path: Path) -> Path:
    """A safetensors file whose header lies about its length, offsets, shapes or itself."""
    huge = rng.choice((2**63, 2**40, 10**9))
    header: dict[str, Any] = {"a": {"dtype": "F32", "shape": [huge], "data_offsets": [0, 4 * huge]}}
    text = rng.choice((json.dumps(header).encode(), b"{" * 5000, b'{"a": 1}', json.dumps({"a": {}}).encode()))
    length = rng.choice((len(text), 2**64 - 1, 2**40, 0, len(text) + 1))
    return written(path, ".safetensors", struct.pack("<Q", length) + text + bytes(16))


def original(rng: random.Random, folder: Path) -> tuple[bytes, str]:
    file = folder / rng.choice(("good.mp4", "good.mkv", "good.mpg"))
    return file.read_bytes(), file.suffix


def written(path: Path, suffix: str, content: bytes) -> Path:
    file = path.with_suffix(suffix)
    file.write_bytes(content)
    return file
