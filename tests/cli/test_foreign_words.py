"""Words and config folders that others wrote: literal texts, no environment, no code, short refusals."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from cogexp.__main__ import main
from cogexp.build import build
from cogexp.cli.compose import compose_jobs
from cogexp.cli.words import parse_words
from cogexp.spec import SpecError

SECRET = "a-value-nobody-may-see"


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEPLOY_SECRET", SECRET)


def config(*words: str) -> dict[str, Any]:
    return compose_jobs(parse_words(list(words)))[0]


TEXT = "${oc.env:DEPLOY_SECRET}"


@pytest.mark.parametrize(
    ("group", "key"),
    [("prompt", "text"), ("prompt", "negative"), ("prompt", "name"), ("", "study"), ("tracking", "project"),
     ("tracking", "entity"), ("model", "path"), ("model", "revision"), ("upscaler", "weights"),
     ("metrics", "clip_model")],
)  # fmt: skip
def test_text_keys_are_literal(group: str, key: str) -> None:
    found = config(f"{group}.{key}={TEXT}" if group else f"{key}={TEXT}")
    assert (found[group] if group else found)[key] == TEXT


@pytest.mark.parametrize(
    "word", ["seed", "sampler.steps", "model.dtype", "resolution.width", "optimization.cache"]
)
def test_no_recorded_key_reads_the_environment(word: str) -> None:
    for value in (TEXT, "${oc.decode:${oc.env:DEPLOY_SECRET}}", "x${oc.${prompt.name}:DEPLOY_SECRET}"):
        with pytest.raises(SpecError) as caught:
            build(config(f"{word}={value}"))
        assert SECRET not in str(caught.value)


def test_the_outputs_may_lie_where_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCRATCH", "/scratch/me")
    assert config("outputs=${oc.env:SCRATCH}/out")["outputs"] == "/scratch/me/out"


def test_one_key_may_refer_to_another() -> None:
    assert (
        config("resolution=512x512", "resolution.height=${resolution.width}")["resolution"]["height"] == 512
    )


def refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(words) == 2
    said = capsys.readouterr().err
    assert said.startswith("cogexp: ")
    assert len(said.strip().splitlines()) <= 2
    assert len(said) < 2500
    assert "Traceback" not in said
    return said


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["seed=${missing}"], "seed must"),
        (["seed=" + "9" * 400], "seed must be from 0"),
        (["seed=" + "9" * 5000], "seed"),
        (["sampler.guidance=" + "9" * 400], "sampler.guidance must be a number"),
        (["resolution.width=-" + "9" * 400], "resolution.width must"),
        (["outputs=" + "x" * 300, "seed=-1"], "seed must"),
        (["pick", "x" * 300], "DIR must be a folder"),
        (["report", "a\x00b"], "DIR must be a folder"),
        (["report", ".", "--out", "a\x00b.html"], "FILE must be the path of a file"),
        (["explain", "x" * 300], "explain needs a run"),
        (["measure", "x" * 300 + ".mp4"], "measure needs video files"),
        (["prompt.image=~no/x.png", "model=cogvideox-5b-i2v", "model.weights=random"], "prompt.image must"),
        (["prompt.text=a\udcffb"], "UTF-8"),
        (["pick", "\udcff"], "UTF-8"),
        (["prompt.text=a\x1b[2Jb"], "without control characters"),
        (["prompt.text=" + "wolves " * 10_000], "at most 20,000 characters"),
        (["-m", "seed=range(0,1e9)"], "at most"),
        (["-m", "seed=range(0,3,0)"], "seed"),
        (["-m", "seed=glob(*)"], "seed must list its values"),
        (["quality", "++optimization.text_cast=glob(*)"], "optimization.text_cast must list its values"),
        (["seed=" + "[" * 400 + "]" * 400], "brackets in one another"),
        (["resolution.frames=a: b"], "nearest: auto"),
        (["--cfg", "job", "seed=nope:x{"], "seed"),
        (["--info", "x=1"], "choice"),
    ],
)  # fmt: skip
def test_strange_words_get_a_line(words: list[str], named: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert named in refused(words, capsys)


def test_hydras_options_work_anywhere_among_the_words(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["resolution.fps=9", "--cfg=job", "seed=7"]) == 0
    assert "seed: 7" in capfd.readouterr().out


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{b}: &{b} [{','.join(['*' + a] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (BOMB, "values"),
        ("[" * 5000, "nested"),
        ("- a\n", "keys with values"),
        ("\x00", "YAML"),
        ("a: !!python/object/apply:os.system [id]", "YAML"),
        ("seed: 1\nhydra: {callbacks: {x: {_target_: os.system, command: id}}}", "runs code"),
        ("seed: 1\nhydra: {searchpath: [pkg://os]}", "runs code"),
    ],
)
def test_a_config_folder_is_looked_through(
    tmp_path: Path, text: str, named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.yaml").write_text(text)
    assert named in refused(["--config-path", str(tmp_path)], capsys)


def test_a_pipe_in_the_place_of_a_config_does_not_hang(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(tmp_path / "config.yaml")
    assert "must hold config.yaml" in refused(["--config-path", str(tmp_path)], capsys)


def test_a_shared_config_does_not_read_a_secret(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import yaml

    plain = config("model=nano")
    plain["prompt"]["text"] = plain["study"] = TEXT
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(plain))
    request = build(config("--config-path", str(tmp_path)))
    assert request.spec.prompt.text == request.settings.study == TEXT
    plain["seed"] = TEXT
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(plain))
    assert SECRET not in refused(["--config-path", str(tmp_path)], capsys)


def test_a_refusal_holds_no_secret(capsys: pytest.CaptureFixture[str]) -> None:
    assert SECRET not in refused([f"upscaler={SECRET}"], capsys)
