"""Ready studies: every file composes and builds, the user wins, and W&B's own expansion composes too."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import yaml
from hydra import compose

from cogexp.__main__ import main
from cogexp.build import build
from cogexp.cli import studies
from cogexp.cli.compose import compose_jobs, hydra_ready, launcher_of
from cogexp.cli.interpolation import to_plain
from cogexp.cli.paths import sweeps_dir
from cogexp.cli.words import parse_words
from cogexp.spec import RunSpec, SpecError
from cogexp.store import Keys
from cogexp.study.query import read_query

WANDB = sorted((sweeps_dir() / "wandb").glob("*.yaml"))


def specs_of(*words: str) -> list[RunSpec]:
    return [build(job).spec for job in compose_jobs(parse_words(["device=cpu", *words]))]


@pytest.mark.parametrize("name", studies.names())
def test_every_study_composes_builds_and_explains_itself(name: str) -> None:
    specs = specs_of(f"sweep={name}")
    assert len({spec.run_id for spec in specs}) == len(specs) >= 8
    study = studies.load(name)
    read_query(study.pick)
    text = (sweeps_dir() / f"{name}.yaml").read_text(encoding="utf-8")
    assert text.startswith("# ")
    assert studies.purposes()[name] in text.splitlines()[0]


def test_the_studies_that_are_promised_are_there() -> None:
    assert set(studies.names()) >= {"resolution", "upscaler", "sampler", "memory", "tear", "quick"}


def test_quick_is_24_runs_from_12_denoisings_of_the_embedded_model() -> None:
    specs = specs_of("sweep=quick")
    assert len({spec.run_id for spec in specs}) == 24
    assert len({Keys.of(spec).denoise for spec in specs}) == 12
    assert {spec.model.name for spec in specs} == {"nano"}


def test_what_the_user_says_replaces_the_studys_axis() -> None:
    specs = specs_of("sweep=quick", "resolution=64x64", "seed=7,8", "prompt.text=a fox, still")
    assert {spec.resolution.name for spec in specs} == {"64x64"}
    assert {spec.seed for spec in specs} == {7, 8}
    assert {spec.prompt.text for spec in specs} == {"a fox, still"}
    assert len(specs) == 2 * 2  # the study's prompts make no sense with a text of the user's
    assert {spec.upscaler.name for spec in specs} == {"none", "lanczos"}


def test_a_study_has_its_name_unless_the_user_gives_one() -> None:
    jobs = compose_jobs(parse_words(["sweep=quick"]))
    assert {job["study"] for job in jobs} == {"quick"}
    assert {job["study"] for job in compose_jobs(parse_words(["sweep=quick", "study=my own"]))} == {"my own"}


@pytest.mark.parametrize("word", ["sweep=quik", "sweep=", "sweep=../conf/config", "sweep=quick,tear"])
def test_a_wrong_name_lists_the_choices(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([word]) == 2
    said = capsys.readouterr().err
    assert all(name in said for name in studies.names())
    assert len(said.strip().splitlines()) == 1


def test_two_studies_at_once_are_refused() -> None:
    with pytest.raises(SpecError, match="given once"):
        parse_words(["sweep=quick", "sweep=tear"])


def test_composing_once_gives_what_hydra_composes_for_each_job() -> None:
    """The short cut (one composition for a combination of groups) against Hydra itself, job by job."""
    words = parse_words(["sweep=sampler", "device=cpu", "prompt=wolves", "seed=0,1"])
    jobs = compose_jobs(words)
    values = [("ddim", "dpm"), ("10", "20", "30", "50"), ("3", "6", "9"), ("0", "1")]
    assert len(jobs) == 2 * 4 * 3 * 2
    fixed = ["study='sampler'", "device=cpu", "prompt=wolves"]
    picked = random.Random(0).sample(range(len(jobs)), 6)
    with hydra_ready(words):
        for index in picked:
            job, one = jobs[index], []
            for key, choices, got in zip(
                ("sampler", "sampler.steps", "sampler.guidance", "seed"),
                values,
                (
                    job["sampler"]["scheduler"],
                    *(str(job["sampler"][k]) for k in ("steps", "guidance")),
                    str(job["seed"]),
                ),
                strict=True,
            ):
                assert got in choices
                one.append(f"{key}={got}")
            assert to_plain(compose("config", overrides=[*fixed, *one])) == job


def test_plan_prints_the_table_and_runs_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outputs = tmp_path / "outputs"
    assert main(["sweep=quick", "--plan", "device=cpu", f"outputs={outputs}"]) == 0
    shown = capsys.readouterr().out
    assert "study quick: 24 runs to do" in shown
    for stage, times, spared in (("encode the prompt", 2, 22), ("denoise", 12, 12), ("decode", 12, 12)):
        line = next(line for line in shown.splitlines() if line.strip().startswith(stage))
        assert line.split()[-3:] == [str(times), str(spared), "unknown"]
    assert not outputs.exists()


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (
            ["hydra/launcher=rai"],
            ("hydra/launcher", "basic, overlap, workers, ray, submitit", "nearest: ray"),
        ),
        (["hydra/launcher=ray", "hydra.launcher.worker=2"], ("hydra/launcher=ray", "worker")),
        (["hydra/launcher=ray", "hydra.launcher.workers=0"], ("hydra.launcher.workers", "at least 1")),
        (["hydra/launcher=ray", "device=cuda:1"], ("device", "cuda:1", "nearest: cuda")),
        (["hydra/launcher=submitit", "hydra.launcher.cluster=pbs"], ("hydra.launcher.cluster", "slurm")),
        (["hydra/launcher=submitit", "hydra.launcher.tasks=0"], ("hydra.launcher.tasks", "nearest: 1")),
    ],
)
def test_a_wrong_launcher_is_refused_before_anything_runs(
    words: list[str], names: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["-m", "model=nano", "preflight=off", "seed=0,1", f"outputs={tmp_path / 'out'}", *words]) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert all(name in said for name in names), said
    assert not (tmp_path / "out").exists()


def test_launchers_have_their_keys() -> None:
    words = parse_words(["-m", "seed=0,1", "hydra/launcher=ray", "hydra.launcher.workers=3"])
    assert launcher_of(words) == {"name": "ray", "address": None, "workers": 3, "gpus_per_worker": 1}
    assert len(compose_jobs(words)) == 2
    assert launcher_of(parse_words(["-m", "seed=0,1"])) == {"name": "basic"}


@pytest.mark.parametrize("file", WANDB, ids=lambda file: file.stem)
def test_what_wandb_makes_of_a_sweep_composes(file: Path) -> None:
    """W&B's own code fills its macros; the words must be ones that Hydra and the groups take."""
    from wandb.sdk.launch.sweeps.utils import create_sweep_command_args

    config = yaml.safe_load(file.read_text(encoding="utf-8"))
    command = config["command"]
    assert command[2:4] == ["-m", "cogexp"]
    for corner in (0, -1):
        chosen = {name: {"value": _value(entry, corner)} for name, entry in config["parameters"].items()}
        macros = create_sweep_command_args({"args": chosen})
        words = [word for part in command[4:] for word in macros[part.strip("${}")]]
        assert len(words) == len(chosen)
        (spec,) = specs_of(*words)
        assert spec.prompt.name == chosen["prompt"]["value"]
        if "resolution" in chosen:
            assert spec.resolution.name == chosen["resolution"]["value"]


def _value(entry: dict, corner: int) -> object:
    if "values" in entry:
        return entry["values"][corner]
    return entry.get("value", (entry.get("min"), entry.get("max"))[corner])


def test_there_are_sweeps_for_the_three_methods_of_wandb() -> None:
    methods = {yaml.safe_load(file.read_text(encoding="utf-8"))["method"] for file in WANDB}
    assert methods == {"grid", "random", "bayes"}
