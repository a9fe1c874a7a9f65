"""A record's fields: what another person may have put there is refused by its key."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cogexp import record as records
from cogexp.storage import record_schema
from cogexp.storage.run_files import inside, own_folder, path_problem
from tests.study.records import make_record

GOOD = make_record(upscaler="esrgan").to_dict()


def test_every_record_of_ours_passes() -> None:
    for status in ("ok", "oom", "failed", "interrupted"):
        assert record_schema.problem(make_record(status=status).to_dict()) is None
    assert record_schema.problem({**GOOD, "later": {"key": [1, "x"]}}) is None


def _set(*path: Any) -> Callable[[dict[str, Any]], None]:
    *parents, last, value = path

    def change(plain: dict[str, Any]) -> None:
        node: Any = plain
        for key in parents:
            node = node[key]
        node[last] = value

    return change


@pytest.mark.parametrize(
    ("change", "key"),
    [
        (_set("run_id", "../x"), "run_id"),
        (_set("run_id", "x" * 300), "run_id"),
        (_set("run_id", ".."), "run_id"),
        (_set("spec", "seed", "0"), "spec.seed"),
        (_set("spec", "seed", True), "spec.seed"),
        (_set("spec", "seed", 10**400), "spec.seed"),
        (_set("spec", "prompt", []), "spec.prompt"),
        (_set("spec", "prompt", "text", 3), "spec.prompt.text"),
        (_set("spec", "resolution", "width", 10**9), "spec.resolution.width"),
        (_set("spec", "resolution", "fps", 0), "spec.resolution.fps"),
        (_set("spec", "upscaler", "name", None), "spec.upscaler.name"),
        (_set("spec", "sampler", "steps", {}), "spec.sampler.steps"),
        (_set("scores", "native/clip_score", True), "scores.native/clip_score"),
        (_set("scores", "native/clip_score", float("nan")), "scores.native/clip_score"),
        (_set("skipped", "x", None), "skipped.x"),
        (_set("resolved", "x", ["a"]), "resolved.x"),
        (_set("artifacts", "native", None), "artifacts.native"),
        (_set("artifacts", "native", "level", "bad"), "artifacts.native.level"),
        (_set("artifacts", "native", "rows", [1]), "artifacts.native.rows"),
        (_set("artifacts", "native", "detectors", "shear", 3), "artifacts.native.detectors.shear"),
        (_set("stages", "denoise", "seconds", "1"), "stages.denoise.seconds"),
        (_set("stages", "denoise", "seconds", -1), "stages.denoise.seconds"),
        (_set("stages", "denoise", []), "stages.denoise"),
        (_set("device", "gpu", 3), "device.gpu"),
        (_set("versions", "torch", {}), "versions.torch"),
        (_set("files", "native", "../../etc/passwd"), "files.native"),
        (_set("files", "native", "/etc/passwd"), "files.native"),
        (_set("files", "native", "a/../../b"), "files.native"),
        (_set("files", "native", ""), "files.native"),
        (_set("files", "native", "a\x00b"), "files.native"),
        (_set("finished", 3), "finished"),
        (_set("study", ["x"]), "study"),
    ],
)
def test_a_wrong_field_is_named(change: Callable[[dict[str, Any]], None], key: str, tmp_path: Path) -> None:
    plain = copy.deepcopy(GOOD)
    change(plain)
    problem = record_schema.problem(plain)
    assert problem is not None
    assert problem.startswith(f"{key} must ")
    (tmp_path / "record.json").write_text(json.dumps(plain))
    with pytest.raises(records.RecordError):
        records.read(tmp_path)


def test_a_bad_record_is_named_and_the_others_go_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for seed in (0, 1, 2):
        record = make_record(seed=seed)
        records.write(record, tmp_path / "runs" / record.run_id)
    bad = sorted((tmp_path / "runs").iterdir())[1]
    os.unlink(bad / "record.json")
    os.mkfifo(bad / "record.json")
    found = records.load_many(tmp_path)
    assert len(found) == 2
    assert bad.name in caplog.text
    assert "not a regular file" in caplog.text


def test_curves_of_another_type_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    records.write(make_record(), tmp_path)
    for curves in ("[1]", '{"a": 1}', '{"a": ["x"]}', '{"a": [1e999]}'):
        (tmp_path / "per_frame.json").write_text(curves)
        assert records.read(tmp_path).per_frame == {}
    assert caplog.text.count("curves left out") == 4


def test_controls_in_a_record_do_not_reach_a_terminal(tmp_path: Path) -> None:
    plain = copy.deepcopy(GOOD)
    plain["spec"]["prompt"]["text"] = "two\n\x1b[2Jwolves\x9b"
    (tmp_path / "record.json").write_text(json.dumps(plain))
    text = records.read(tmp_path).spec["prompt"]["text"]
    assert text == "two\n\ufffd[2Jwolves\ufffd"


@pytest.mark.parametrize("name", ["native.mp4", "pictures/a b.png", "늑대.png", "a..b"])
def test_ordinary_names_are_paths_inside(name: str, tmp_path: Path) -> None:
    assert path_problem(name) is None
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("x")
    assert inside(tmp_path, name) == tmp_path / name


def test_a_link_out_of_the_folder_leads_nowhere(tmp_path: Path) -> None:
    home, other = tmp_path / "run", tmp_path / "run-2"
    home.mkdir()
    other.mkdir()
    (other / "clip.mp4").write_text("x")
    (home / "clip.mp4").symlink_to(other / "clip.mp4")
    (home / "sub").symlink_to(other)
    (home / "own.mp4").write_text("y")
    (home / "alias.mp4").symlink_to("own.mp4")
    os.mkfifo(home / "pipe.mp4")
    for name in ("clip.mp4", "sub/clip.mp4", "pipe.mp4", "none.mp4", "../run-2/clip.mp4"):
        assert inside(home, name) is None, name
    assert inside(home, "alias.mp4") == home / "alias.mp4"
    (tmp_path / "moved").symlink_to(home)  # a folder that was moved to another disk is still a run's own
    assert inside(tmp_path / "moved", "own.mp4") is not None


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    outside = tmp_path / "outside.txt"
    outside.write_text("theirs")
    home = tmp_path / "run"
    home.mkdir()
    (home / "log.txt").symlink_to(outside)
    own_folder(home)
    (home / "log.txt").write_text("ours")
    assert outside.read_text() == "theirs"
    (tmp_path / "linked").symlink_to(tmp_path)
    own_folder(tmp_path / "linked")
    assert list((tmp_path / "linked").iterdir()) == []
