"""Records: round trip, atomic writing, refusal of what is not one, no NaN, no secrets."""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import logging
import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cogexp import provenance
from cogexp import record as records
from cogexp.machine import importing
from cogexp.provenance import git_state
from cogexp.record import Record, RecordError, is_done, load_many, read, write
from cogexp.storage import run_error
from cogexp.system.redact import redact
from tests.waiting import PATIENCE

CONTRACT = {
    "run_id", "status", "error", "spec", "resolved", "scores", "skipped", "artifacts", "stages", "files",
    "digests", "device", "versions", "git", "started", "finished", "study",
}  # fmt: skip


def example(**changes: Any) -> Record:
    values: dict[str, Any] = {
        "run_id": "nano-512x288-esrgan-s0-0123abcd",
        "status": "ok",
        "spec": {"model": {"name": "nano"}, "metrics": {"names": ("clip_score",)}, "seed": 0},
        "resolved": {"model": "nano: no GPU"},
        "scores": {"native/clip_score": 27.125, "native/lpips_adjacent": None},
        "skipped": {"native/lpips_adjacent": "no AlexNet; run: cogexp fetch metrics=all"},
        "artifacts": {"native": {"level": "none", "score": 0.02, "rows": None}},
        "stages": {"denoise": {"seconds": 12.5, "cached": False, "rss_gib": 2.2}},
        "files": {"native": "native.mp4"},
        "device": {"type": "cpu"},
        "started": "2026-11-23T00:00:00.000+00:00",
        "finished": "2026-11-23T00:01:00.000+00:00",
        "study": "prompt 늑대 두 마리",
        "per_frame": {"native/warp_error": [0.1, None, 0.3]},
    }
    return Record(**{**values, **changes})


def failed(**changes: Any) -> Record:
    return example(
        status="failed", error={"type": "ValueError", "message": "no", "stage": "decode"}, **changes
    )


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    record = example()
    assert write(record, tmp_path / "runs" / "a") == tmp_path / "runs" / "a" / "record.json"
    assert read(tmp_path / "runs" / "a") == record
    assert read(tmp_path / "runs" / "a" / "record.json") == record
    assert read(tmp_path / "runs" / "a", per_frame=False).per_frame == {}
    assert sorted(path.name for path in (tmp_path / "runs" / "a").iterdir()) == [
        "per_frame.json",
        "record.json",
    ]


def test_the_file_has_the_keys_of_the_contract(tmp_path: Path) -> None:
    text = write(example(), tmp_path).read_text(encoding="utf-8")
    assert set(json.loads(text)) == CONTRACT
    assert "늑대" in text, "text stays readable"
    assert json.loads((tmp_path / "per_frame.json").read_text("utf-8")) == {
        "native/warp_error": [0.1, None, 0.3]
    }


def test_numbers_of_other_libraries_become_plain_ones() -> None:
    record = example(
        scores={"native/a": np.float32(0.5), "native/b": np.int64(3)},
        artifacts={"native": {"rows": np.array([240, 287]), "frames": (1, 2), "cached": np.bool_(True)}},
        files={"native": Path("native.mp4")},
    )
    assert record.scores == {"native/a": 0.5, "native/b": 3}
    assert record.artifacts == {"native": {"rows": [240, 287], "frames": [1, 2], "cached": True}}
    assert record.files == {"native": "native.mp4"}
    json.dumps(record.to_dict(), allow_nan=False)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), np.float32("-inf")])
def test_a_number_that_is_not_finite_becomes_null_with_a_reason(tmp_path: Path, value: float) -> None:
    record = example(
        scores={"native/clip_score": value},
        skipped={},
        artifacts={"native": {"score": value}},
        per_frame={"native/warp_error": [1.0, value]},
    )
    write(record, tmp_path)
    kept = json.loads((tmp_path / "record.json").read_text("utf-8"))
    assert kept["scores"] == {"native/clip_score": None}
    assert kept["artifacts"] == {"native": {"score": None}}
    assert set(kept["skipped"]) == {
        "native/clip_score", "artifacts.native.score", "per_frame.native/warp_error"
    }  # fmt: skip
    assert str(float(value)) in kept["skipped"]["native/clip_score"]
    assert read(tmp_path).per_frame == {"native/warp_error": [1.0, None]}


def test_a_given_reason_is_kept() -> None:
    record = example(scores={"native/a": float("nan")}, skipped={"native/a": "one frame only"})
    assert record.skipped == {"native/a": "one frame only"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"status": "done"}, "record.status must be one of ok, failed, oom, interrupted, got 'done'"),
        ({"status": "failed"}, "record.error must be given exactly when"),
        ({"error": {"type": "E", "message": "", "stage": None}}, "record.error must be given exactly when"),
        ({"spec": {"seed": float("nan")}}, "record.spec.seed must be finite"),
        ({"scores": {"native/a": "high"}}, "record.scores.native/a must be a number or null, got 'high'"),
        ({"resolved": {"model": object()}}, "record.resolved.model must be a plain value, got object"),
        ({"run_id": None}, "record.run_id has the wrong type"),
        ({"files": ["a.mp4"]}, "record.files has the wrong type"),
    ],
)
def test_what_is_no_record_is_refused_by_name(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(RecordError) as caught:
        example(**changes)
    assert str(caught.value).startswith(said)


def test_exact_numbers_that_json_lacks_are_refused_not_rounded() -> None:
    with pytest.raises(RecordError, match=r"record\.device\.ram must be a plain value"):
        example(device={"ram": Decimal("1.5")})


def test_a_dictionary_given_out_is_a_copy() -> None:
    record = example()
    record.to_dict()["scores"]["native/clip_score"] = 0
    assert record.scores["native/clip_score"] == 27.125
    assert Record.from_dict(record.to_dict(), record.per_frame) == record


WHOLE = json.dumps(example().to_dict())


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (WHOLE[: len(WHOLE) // 2].encode(), "unreadable"),
        (b"", "unreadable"),
        (b"\xff\xfe\x00", "unreadable"),
        (b"[" * 100_000, "unreadable"),
        (WHOLE.replace("27.125", "NaN").encode(), "NaN is not JSON"),
        (b"[]", "expected an object, got list"),
        (b'{"_wandb": {}}', "run_id, status"),
        (WHOLE.replace('"ok"', '"fine"').encode(), "record.status must be one of"),
        (WHOLE.replace('"seed": 0', '"seed": 1e999').encode(), "1e999 is too large for a number"),
    ],
)
def test_a_broken_or_foreign_file_is_one_clear_line(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "record.json"
    path.write_bytes(content)
    with pytest.raises(RecordError) as caught:
        read(tmp_path)
    line = str(caught.value)
    assert said in line
    assert str(path) in line
    assert "\n" not in line
    assert len(line) < 400
    assert not is_done(tmp_path)


def test_a_missing_record_is_said(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="there is no record here"):
        read(tmp_path)
    assert not is_done(tmp_path / "nowhere")


def test_keys_of_a_later_version_do_not_hurt(tmp_path: Path) -> None:
    (tmp_path / "record.json").write_text(json.dumps({**example().to_dict(), "energy_kwh": 1.5}))
    assert read(tmp_path) == example(per_frame={})


def test_broken_curves_leave_the_record_readable(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(example(), tmp_path)
    (tmp_path / "per_frame.json").write_text("{")
    with caplog.at_level(logging.WARNING, logger="cogexp"):
        assert read(tmp_path) == example(per_frame={})
    assert "per-frame curves left out" in caplog.text


def test_only_ok_is_done(tmp_path: Path) -> None:
    folder = tmp_path / example().run_id
    write(failed(), folder)
    assert not is_done(folder)
    write(example(files={}), folder)
    assert is_done(folder)
    write(example(run_id="nano-512x288-esrgan-s1-0123abcd", files={}), folder)
    assert not is_done(folder), "another run's record"


def test_curves_of_an_earlier_attempt_go(tmp_path: Path) -> None:
    write(example(), tmp_path)
    write(failed(per_frame={}), tmp_path)
    assert read(tmp_path).per_frame == {}


def test_a_full_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(example(), tmp_path)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(records.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write(failed(), tmp_path)
    monkeypatch.undo()
    assert read(tmp_path) == example()
    assert len(list(tmp_path.iterdir())) == 2, "nothing half-written stays behind"


def test_a_writer_killed_at_any_moment_leaves_a_whole_record(tmp_path: Path) -> None:
    """A child writes records without end and is killed: the file is always one whole record of the two."""
    write(example(), tmp_path)
    code = (
        "import sys; from pathlib import Path; from tests.test_record import example, failed, write\n"
        "print('go', flush=True)\n"
        "while True:\n write(failed(), Path(sys.argv[1])); write(example(), Path(sys.argv[1]))\n"
    )
    root = Path(__file__).parents[1]
    for _ in range(2):
        child = subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path)], cwd=root, stdout=subprocess.PIPE
        )
        assert child.stdout is not None
        child.stdout.readline()
        seen = {read(tmp_path).status for _ in range(200)}
        child.kill()
        child.communicate()
        assert seen <= {"ok", "failed"}
        assert read(tmp_path) in (example(), failed())


def test_many_are_loaded_and_the_unreadable_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("b", "a"):
        write(example(run_id=name), tmp_path / "runs" / name)
    (tmp_path / "runs" / "half").mkdir()
    (tmp_path / "runs" / "half" / "record.json").write_text("{")
    (tmp_path / "runs" / "empty").mkdir()
    with caplog.at_level(logging.WARNING, logger="cogexp"):
        assert [record.run_id for record in load_many(tmp_path)] == ["a", "b"]
        assert [record.run_id for record in load_many(tmp_path / "runs")] == ["a", "b"]
    assert [record.run_id for record in load_many(tmp_path / "runs" / "a", per_frame=True)] == ["a"]
    assert caplog.text.count("record left out") == 2
    assert "half" in caplog.text
    assert load_many(tmp_path / "nowhere") == []


class OutOfMemoryError(RuntimeError):
    """Named as torch's."""


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (KeyboardInterrupt(), "interrupted"),
        (MemoryError(), "oom"),
        (OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"), "oom"),
        (RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"), "oom"),
        (RuntimeError("shape mismatch"), "failed"),
        (ValueError("out of memory"), "failed"),
    ],
)
def test_an_error_has_a_status(error: BaseException, status: str) -> None:
    assert run_error.status_of(error) == status


def test_an_error_without_words_is_described_by_its_type() -> None:
    assert run_error.describe_error(KeyError(), "load") == {
        "type": "KeyError", "message": "KeyError", "stage": "load"
    }  # fmt: skip


SHA = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"api_key={SHA} refused", "api_key=*** refused"),
        (f"API key {SHA}", "API key ***"),
        (f"key is '{SHA}'", "key is '***'"),
        (f"checked out {SHA}", f"checked out {SHA}"),
        ("Bearer hf_abcdefghijklmnopqrstuvwxyz012345", "Bearer ***"),
        ("header: Bearer abc.def-ghi", "header: Bearer ***"),
        ("https://user:pass@host/repo.git failed", "https://***@host/repo.git failed"),
        ("GET https://cdn/x?X-Amz-Signature=abc123&id=7", "GET https://cdn/x?X-Amz-Signature=***&id=7"),
        ("password: hunter2, sorry", "password: ***, sorry"),
        (
            "unexpected key: transformer_blocks.0.attn1.to_q",
            "unexpected key: transformer_blocks.0.attn1.to_q",
        ),
        ("token ids must be 226 long", "token ids must be 226 long"),
        (
            "see https://wandb.ai/me/cogexp/runs/nano-512x288",
            "see https://wandb.ai/me/cogexp/runs/nano-512x288",
        ),
    ],
)
def test_secrets_go_and_the_rest_stays(text: str, expected: str) -> None:
    assert redact(text) == expected


def test_values_of_secret_variables_go_whatever_they_look_like(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "local-quite-ordinary")
    monkeypatch.setenv("HF_TOKEN", "quite")  # too short to be a secret: replacing it would eat plain words
    monkeypatch.setenv("KEYBOARD", "ordinary-keyboard")
    assert (
        redact("got local-quite-ordinary, quite an ordinary-keyboard")
        == "got ***, quite an ordinary-keyboard"
    )
    record = example(
        status="failed", error={"type": "E", "message": "bad local-quite-ordinary", "stage": None}
    )
    assert record.error == {"type": "E", "message": "bad ***", "stage": None}


def test_garbage_is_not_sought_while_libraries_load() -> None:
    assert gc.isenabled()
    sys.modules.pop("colorsys", None)
    with contextlib.suppress(ImportError), importing():
        assert not gc.isenabled()
        importlib.import_module("colorsys")
        raise ImportError
    assert gc.isenabled()
    assert gc.get_freeze_count() > 0


def test_what_came_after_the_libraries_is_still_looked_through() -> None:
    before, left = gc.get_freeze_count(), [[] for _ in range(1000)]
    with importing():
        assert not gc.isenabled()
    assert gc.get_freeze_count() < before + len(left)


def test_versions_are_found_without_importing_anything_heavy() -> None:
    code = (
        "import sys, json; from cogexp.provenance import versions; found = versions()\n"
        "heavy = [m for m in ('torch', 'numpy', 'diffusers', 'transformers', 'wandb') if m in sys.modules]\n"
        "print(json.dumps([found, heavy]))"
    )
    root = Path(__file__).parents[1]
    run = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    found, heavy = json.loads(run.stdout)
    assert heavy == []
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert found["numpy"] == np.__version__
    assert {"cogexp", "torch", "diffusers"} <= set(found)


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b.c", *arguments]
    plain = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    return subprocess.run(command, env=plain, capture_output=True, text=True, check=True).stdout.strip()


def test_the_state_of_a_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "GIT_SECONDS", PATIENCE)
    assert git_state(tmp_path / "nowhere") is None
    _git(tmp_path, "init", "-q")
    assert git_state(tmp_path) is None, "no commit yet"
    (tmp_path / "a.py").write_text("1")
    (tmp_path / ".gitignore").write_text(".venv/\n")
    _git(tmp_path, "add", ".")
    _git(tmp_path, "commit", "-q", "-m", "one")
    commit = _git(tmp_path, "rev-parse", "HEAD")
    assert git_state(tmp_path) == {"commit": commit, "dirty": False}
    (tmp_path / "a.py").write_text("2")
    assert git_state(tmp_path) == {"commit": commit, "dirty": True}
    inside = tmp_path / ".venv" / "site-packages"
    inside.mkdir(parents=True)
    assert git_state(inside) is None, "installed into an ignored environment: that commit says nothing"


@pytest.mark.skipif(os.name == "nt", reason="needs a POSIX shell script as git")
def test_a_missing_or_hanging_git_costs_no_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(provenance, "GIT_SECONDS", 0.2)
    assert git_state(tmp_path) is None
    (tmp_path / "git").write_text("#!/bin/sh\nexec /bin/sleep 60\n")
    (tmp_path / "git").chmod(0o755)
    assert git_state(tmp_path) is None
