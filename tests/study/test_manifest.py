"""Which runs belong to a study: also those that another study had made before."""

from __future__ import annotations

import multiprocessing
import os
from dataclasses import replace
from pathlib import Path

import pytest

from cogexp import record as records
from cogexp.spec import SpecError
from cogexp.study import load, manifest
from tests.study.records import make_record


def test_a_study_has_its_own_runs_and_those_it_found(tmp_path: Path) -> None:
    first, shared, other = (
        replace(make_record(seed=seed), study=study) for seed, study in ((0, "b"), (1, "a"), (2, "a"))
    )
    for record in (first, shared, other):
        records.write(record, tmp_path / "runs" / record.run_id)
    listed = (first.run_id, shared.run_id)
    manifest.write(tmp_path, manifest.Manifest(study="b", runs=listed, pick=("minimize=tear",)))
    assert {row.run_id for row in load(tmp_path, "b").rows} == set(listed)
    assert {row.study for row in load(tmp_path, "b").rows} == {"b"}
    assert len(load(tmp_path, "a").rows) == 2, "a record that names its study needs no list"
    assert len(load(tmp_path).rows) == 3
    with pytest.raises(SpecError, match=r"got 'bb'; nearest: b"):
        load(tmp_path, "bb")


def test_a_second_start_adds_runs_and_keeps_the_decisions_words(tmp_path: Path) -> None:
    manifest.write(tmp_path, manifest.Manifest(study="s", runs=("a", "b"), pick=("minimize=tear",)))
    manifest.write(tmp_path, manifest.Manifest(study="s", runs=("b", "c")))
    found = manifest.read(tmp_path, "s")
    assert found == manifest.Manifest(study="s", runs=("a", "b", "c"), pick=("minimize=tear",))


@pytest.mark.parametrize("name", ["a/b", "../up", "두 마리", "a b", "x" * 300])
def test_any_text_names_a_file_of_its_own(tmp_path: Path, name: str) -> None:
    file = manifest.file_of(tmp_path, name)
    assert file.parent == tmp_path / manifest.FOLDER
    assert file != manifest.file_of(tmp_path, f"{name}!")
    manifest.write(tmp_path, manifest.Manifest(study=name, runs=("a",)))
    found = manifest.read(tmp_path, name)
    assert found is not None
    assert found.study == name


def test_a_damaged_list_is_no_list(tmp_path: Path) -> None:
    file = manifest.file_of(tmp_path, "s")
    file.parent.mkdir()
    file.write_text("{")
    assert manifest.read(tmp_path, "s") is None


def add(outputs: Path, writer: int) -> None:
    os.getpid = lambda: 1  # type: ignore[assignment]
    for number in range(20):
        manifest.write(outputs, manifest.Manifest(study="s", runs=(f"{writer}-{number}",)))


def test_three_writers_of_one_process_id_lose_no_run(tmp_path: Path) -> None:
    fork = multiprocessing.get_context("fork")
    writers = [fork.Process(target=add, args=(tmp_path, number)) for number in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    found = manifest.read(tmp_path, "s")
    assert found is not None
    assert sorted(found.runs) == sorted(f"{writer}-{number}" for writer in range(3) for number in range(20))
    assert [path.name for path in (tmp_path / "studies").iterdir()] == ["s.json"]
