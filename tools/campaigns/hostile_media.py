"""Hostile clips, pictures and weights: python -m tools.campaigns.hostile_media --count 60 --folder DIR

Each attempt makes one file and hands it to the command that would read it: a clip to `measure` between two
good clips, a picture to `prompt.image=`, weights to the loader of `upscaler.weights=`. A fault is a
traceback, a hang, code that ran, another file that was opened, or a good clip that was not measured.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import pickle
import random
import signal
import struct
import sys
import threading
import traceback
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tools.campaigns.harness import Tally, main

HANG_S = 300
LIST = {
    "m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{clip}\n#EXT-X-ENDLIST\n",
    "ffconcat": "ffconcat version 1.0\nfile '{clip}'\n",
    "mpd": "<?xml version='1.0'?><MPD><Period><AdaptationSet><Representation><BaseURL>{clip}</BaseURL>"
    "</Representation></AdaptationSet></Period></MPD>",
    "sdp": "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nc=IN IP4 127.0.0.1\r\nm=video 4000 RTP/AVP 96\r\n",
}


class HangError(Exception):
    """The attempt took too long."""


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


def attempt(tally: Tally, rng: random.Random, folder: Path, index: int) -> None:
    """One hostile file of the next kind."""
    kind = list(KINDS)[index % len(KINDS)]
    make, use = KINDS[kind]
    path = make(rng, folder, folder / f"hostile-{index}")
    label = f"{index} {kind} {path.name}"
    try:
        with bounded(HANG_S):
            tally.note(f"{kind.split()[0]}: {use(tally, path, folder, label)}")
    except HangError:
        tally.note(f"{kind.split()[0]}: hang")
        tally.fault("hang", label)
    except Exception:  # noqa: BLE001 - what a user would see as a traceback
        tally.note(f"{kind.split()[0]}: traceback")
        tally.fault("traceback", label, traceback.format_exc())
    for trace in folder.glob("RAN*"):
        tally.fault("code ran", label)
        trace.unlink()
    path.unlink(missing_ok=True)


@contextlib.contextmanager
def bounded(seconds: int) -> Iterator[None]:
    """Raises HangError after some seconds, where there are alarms."""
    if not hasattr(signal, "SIGALRM") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def late(*_: object) -> None:
        raise HangError

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def measured(tally: Tally, path: Path, folder: Path, label: str) -> str:
    """`measure` of good, hostile, good: both good ones must come out whatever the hostile one does."""
    from cogexp.__main__ import main as command

    words = ["measure", "--json", "metrics.names=[motion_px]", "metrics.height=72"]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = command([*words, "--", str(folder / "good.mp4"), str(path), str(folder / "good.mkv")])
    if code not in (0, 1):
        tally.fault(f"exit code {code}", label, err.getvalue())
        return f"exit code {code}"
    if "Traceback" in err.getvalue():
        tally.fault("traceback", label, err.getvalue())
    results = {Path(each["file"]).name: each for each in json.loads(out.getvalue())}
    for name in ("good.mp4", "good.mkv"):
        if results.get(name, {}).get("frames") != 12:
            tally.fault("a good clip was lost", label, err.getvalue())
    if path.name not in results:
        if code != 1 or path.name not in err.getvalue():
            tally.fault("left out silently", label, err.getvalue())
        return "refused"
    if path.suffix.lstrip(".") in LIST:
        tally.fault("a playlist was opened", label, out.getvalue())
    return "measured"


def pictured(tally: Tally, path: Path, folder: Path, label: str) -> str:
    """As prompt.image= of an image-to-video model: refused in one or two lines, or accepted."""
    from cogexp.build import build
    from cogexp.cli import compose
    from cogexp.spec import SpecError

    words = ["model=cogvideox-5b-i2v", "resolution=native", f"prompt.image={path}"]
    try:
        build(compose.compose_jobs(compose.parse_words(words))[0])
    except SpecError as error:
        return one_or_two_lines(tally, str(error), label)
    return "accepted"


def weighed(tally: Tally, path: Path, folder: Path, label: str) -> str:
    """As upscaler.weights=: loaded by the run's own loader."""
    from cogexp.spec import UpscalerSpec
    from cogexp.upscale.errors import UpscaleError
    from cogexp.upscale.esrgan import load

    spec = UpscalerSpec(name="spandrel", scale=4, weights=str(path), weights_sha256="0" * 64)
    try:
        load(spec, "cpu")
    except UpscaleError as error:
        return one_or_two_lines(tally, str(error), label)
    tally.fault("hostile weights were loaded", label)
    return "loaded"


def one_or_two_lines(tally: Tally, text: str, label: str) -> str:
    """A refusal as a user sees it."""
    if text.count("\n") > 1:
        tally.fault("a long refusal", label, text)
    return "refused"


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


Make = Callable[[random.Random, Path, Path], Path]
Use = Callable[[Tally, Path, Path, str], str]
KINDS: dict[str, tuple[Make, Use]] = {
    "clip truncated": (truncated, measured),
    "clip mutated": (mutated, measured),
    "clip claiming": (claiming, measured),
    "clip playlist": (playlist, measured),
    "clip animated": (animated, measured),
    "clip other": (other, measured),
    "picture bomb": (bomb, pictured),
    "picture none": (no_picture, pictured),
    "weights pickle": (pickled, weighed),
    "weights safetensors": (lying, weighed),
}


if __name__ == "__main__":
    tally = main("hostile_media", attempt, count=60, description=__doc__, prepare=prepare)
    sys.exit(bool(tally.faults))
