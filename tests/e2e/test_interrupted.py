"""What ends a run leaves a record, and an old record never stands beside new files."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from cogexp import attempt as attempts
from cogexp import record as records
from cogexp import stages
from cogexp.engine import generate
from cogexp.storage.lock import LOCK_FILE
from cogexp.video import probe
from tests.e2e.conftest import Bench


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_ends_a_run_is_recorded_as_an_interruption(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    monkeypatch.setattr(generate, "denoise", lambda *_: signal.raise_signal(number))
    assert bench.run("metrics=none") == 130
    record = bench.one()
    assert record.status == "interrupted"
    assert record.error == {"type": "KeyboardInterrupt", "message": number.name, "stage": "denoise"}
    assert not (bench.folder(record) / LOCK_FILE).exists()


def test_a_signal_while_the_record_is_written_waits_for_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = records.write

    def slow(*arguments: Any) -> Path:
        signal.raise_signal(signal.SIGTERM)
        return write(*arguments)

    monkeypatch.setattr(records, "write", slow)
    assert bench.run("metrics=none") == 130
    assert bench.one().status == "ok"


@pytest.mark.parametrize("how", [RuntimeError("no such flag"), SystemExit(3)])
def test_whatever_ends_a_run_before_its_first_stage_is_recorded(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, how: BaseException
) -> None:
    def broken(*_: object) -> Any:
        raise how

    monkeypatch.setattr(attempts, "optimization_notes", broken)
    if isinstance(how, SystemExit):
        with pytest.raises(SystemExit):
            bench.run("metrics=none")
        assert bench.one().status == "interrupted"
    else:
        assert bench.run("metrics=none") == 1
        assert bench.one().status == "failed"


def test_a_run_whose_clip_is_gone_is_made_again(bench: Bench) -> None:
    assert bench.run("metrics=none") == 0
    folder = bench.folder(bench.one())
    wanted = (folder / "native.mp4").read_bytes()
    for damage in (
        Path.unlink,
        lambda file: file.write_bytes(b""),
        lambda file: file.write_bytes(wanted[1:]),
    ):
        damage(folder / "native.mp4")
        assert not records.is_done(folder)
        assert bench.run("metrics=none") == 0
        assert (folder / "native.mp4").read_bytes() == wanted
    assert probe(folder / "native.mp4").frames == 9


def test_a_forced_repeat_retires_the_record_before_any_file_changes(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert bench.run("metrics=none") == 0
    folder = bench.folder(bench.one())
    (folder / ".native.mp4.4711.part").touch()
    found: list[set[str]] = []
    original = stages.stream

    def observed(*arguments: Any) -> Any:
        found.append({path.name for path in folder.iterdir()})
        return original(*arguments)

    monkeypatch.setattr(stages, "stream", observed)
    assert bench.run("metrics=none", "force=true") == 0
    assert "record.json" not in found[0]
    assert {"native.mp4", LOCK_FILE} <= found[0]
    assert not any(name.endswith((".part", ".tmp")) for name in found[0]), "what was left half-written goes"
    assert records.is_done(folder)


def test_a_run_that_another_machine_took_over_is_not_recorded_here(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    decode = generate.decode

    def slept(*arguments: Any) -> Any:
        (lock,) = bench.outputs.glob(f"runs/*/{LOCK_FILE}")
        plain = json.loads(lock.read_text())
        lock.write_text(json.dumps({**plain, "token": "theirs", "host": "another-machine"}))
        return decode(*arguments)

    monkeypatch.setattr(generate, "decode", slept)
    assert bench.run("metrics=none") == 130
    assert bench.records() == []
    assert [path.name for path in bench.outputs.glob("runs/*/.*")] == [LOCK_FILE], "theirs stays"
