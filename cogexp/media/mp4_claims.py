"""MP4 files that claim more frames than they have bytes, found before FFmpeg allocates an index for them.

Box names and layouts are those of ISO/IEC 14496-12. A table may say "2^31 samples of one length" in 20 bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from cogexp.media.errors import VideoError

INSIDE = {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"moof", b"traf", b"edts"}
COUNT_AT = {b"stsz": 8, b"stz2": 8, b"trun": 4}  # where a table says how many samples it is about
RUNS = {b"stts": 8, b"ctts": 8}  # tables of (samples, value): bytes of an entry
MAX_DEPTH = 8
MAX_TABLE = 1 << 26  # bytes of one table that are looked at


def check_claims(path: Path, head: bytes) -> None:
    """Raises VideoError where a table of an MP4 speaks of more samples than the file has bytes."""
    if head[4:8] not in (b"ftyp", b"moov", b"moof", b"styp", b"mdat", b"free", b"wide", b"skip"):
        return
    size = path.stat().st_size
    with path.open("rb") as file:
        for name, count in claims(file, 0, size, 0):
            if count > size:
                raise VideoError(
                    f"cannot read {path}: it is damaged: its table {name} claims {count} frames, "
                    f"but the file has {size} bytes"
                )


def claims(file: BinaryIO, start: int, stop: int, depth: int) -> Iterator[tuple[str, int]]:
    """(table, samples it claims) of the boxes between two places of a file."""
    while start + 8 <= stop:
        file.seek(start)
        header = file.read(16)
        if len(header) < 8:
            return
        length, kind = struct.unpack(">I4s", header[:8])
        body = start + 8
        if length == 1 and len(header) == 16:
            length, body = struct.unpack(">Q", header[8:])[0], start + 16
        end = stop if length == 0 else min(stop, start + length)
        if end < body:
            return
        if kind in INSIDE and depth < MAX_DEPTH:
            yield from claims(file, body, end, depth + 1)
        elif kind in COUNT_AT or kind in RUNS:
            file.seek(body)
            yield kind.decode(), claimed(kind, file.read(min(end - body, MAX_TABLE)))
        start = end


def cut_off(path: Path, head: bytes) -> bool:
    """A top-level box of an MP4 ends beyond the end of the file."""
    if head[4:8] not in (b"ftyp", b"moov", b"mdat", b"free", b"wide", b"skip"):
        return False
    size, start = path.stat().st_size, 0
    with path.open("rb") as file:
        while start + 8 <= size:
            file.seek(start)
            header = file.read(16)
            length = int.from_bytes(header[:4], "big")
            if length == 1:
                length = int.from_bytes(header[8:], "big")
            if length < 8:  # 0: to the end of the file
                return False
            start += length
    return start != size


def claimed(kind: bytes, table: bytes) -> int:
    """Samples that one table speaks of."""
    if kind in COUNT_AT:
        at = COUNT_AT[kind]
        return int.from_bytes(table[at : at + 4], "big") if len(table) >= at + 4 else 0
    entries = min(int.from_bytes(table[4:8], "big"), (len(table) - 8) // RUNS[kind])
    return sum(count for count, _ in struct.iter_unpack(">II", table[8 : 8 + 8 * max(0, entries)]))
