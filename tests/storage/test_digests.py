"""What makes a run finished: its files, their sizes and digests."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from cogexp import record as records
from cogexp.storage.digests import digests_of, problem
from tests.test_record import example

FILES = {"native": "native.mp4"}


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    """The folder of a run that is done."""
    record = example(files=FILES)
    folder = tmp_path / record.run_id
    folder.mkdir()
    (folder / "native.mp4").write_bytes(b"a clip" * 1000)
    records.write(records.with_digests(record, folder), folder)
    assert records.is_done(folder)
    return folder


def test_digests_are_sha256(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 3_000_000)
    assert digests_of(tmp_path, ["a"]) == {
        "a": {"size": 3_000_000, "sha256": hashlib.sha256(b"x" * 3_000_000).hexdigest()}
    }


@pytest.mark.parametrize("content", [None, b"", b"b clip" * 1000, b"a clip" * 999])
def test_a_deleted_empty_foreign_or_shortened_clip_makes_it_unfinished(
    finished: Path, content: bytes | None
) -> None:
    (finished / "native.mp4").unlink()
    if content is not None:
        (finished / "native.mp4").write_bytes(content)
    assert not records.is_done(finished)


def test_so_do_other_curves_and_another_runs_record(finished: Path) -> None:
    (finished / "per_frame.json").write_text('{"native/warp_error": [0.1, 0.2, 0.3]}\n')
    assert not records.is_done(finished)
    foreign = replace(records.read(finished), run_id="nano-64x64-none-s1-00000000", per_frame={})
    records.write(foreign, finished)
    assert not records.is_done(finished)


def test_older_records_without_digests_are_read_and_their_files_must_be_there(finished: Path) -> None:
    plain = records.read(finished).to_dict()
    del plain["digests"]
    (finished / "record.json").write_text(json.dumps(plain))
    assert records.is_done(finished)
    (finished / "native.mp4").write_bytes(b"another clip")
    assert records.is_done(finished), "nothing says what it was"
    (finished / "native.mp4").write_bytes(b"")
    assert not records.is_done(finished)


@pytest.mark.parametrize("name", ["../native.mp4", "/etc/passwd", "native.mp4/../../x"])
def test_files_elsewhere_are_not_the_runs(tmp_path: Path, name: str) -> None:
    assert "no file of this run" in problem(tmp_path, [name], {})


def test_digests_of_another_shape_are_no_digests(finished: Path) -> None:
    assert problem(finished, ["native.mp4"], {"native.mp4": 7})
    assert problem(finished, ["native.mp4"], {"native.mp4": {}})


def test_a_missing_or_empty_file_has_no_digest(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    for name in ("empty", "missing"):
        with pytest.raises(OSError, match=name):
            digests_of(tmp_path, [name])
