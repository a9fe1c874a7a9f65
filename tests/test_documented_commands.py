"""Every command of README.md and docs/, the words in their code spans and every sweep file compose and build.

No model is loaded. As on a machine with a large GPU: some of them are for one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from cogexp import machine
from cogexp.build import GROUPS, TOP_LEVEL, build_downloads
from cogexp.cli import bench, compose, help, inspect, inspect_layers, optimize, plan, runs
from cogexp.cli.compose import launcher_of
from cogexp.cli.requests import requests_of
from cogexp.cli.words import Words, parse_words
from cogexp.spec import SpecError
from tests.documented import ROOT, commands, has_placeholder, spans

COMMANDS = commands()
# Commands about files and finished runs: their words are no setting.
ABOUT_RUNS = ("pick", "report", "export", "dashboard", "explain", "measure", "agent")
KEYS = (*GROUPS, *TOP_LEVEL, "nano", "sweep")


@pytest.fixture(autouse=True)
def _gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    card = machine.Gpu(name="NVIDIA H200", total_gib=139.8, capability=(9, 0))
    monkeypatch.setattr(machine, "gpu", lambda: card)


@pytest.fixture(autouse=True)
def _each_value_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """All jobs of a sweep are composed; of those that hold nothing new beside the others none is built."""
    original = compose.compose_jobs

    def fewer(words: Words) -> list[dict[str, Any]]:
        seen: set[tuple[str, str]] = set()
        kept = []
        for job in original(words):
            values = {(group, repr(value)) for group, value in job.items()}
            if values - seen:
                kept.append(job)
            seen |= values
        return kept

    monkeypatch.setattr(compose, "compose_jobs", fewer)


def is_setting(words: list[str]) -> bool:
    """Whether all these words are overrides of a run."""
    return all(
        word.partition("=")[0].partition(".")[0].partition("/")[0] in (*KEYS, "hydra") for word in words
    )


def check_setting(command: str, words: list[str]) -> None:
    """Compose and build what `command` would, as far as no model is needed."""
    if command == "plan":
        requests_of(parse_words(plan.split_own(words)[1]), needs_first_frame=False)
    elif command == "bench":
        own, rest = bench.split_own(words)
        assert own.kept is not None or requests_of(bench.parse(rest))
    elif command == "quality":
        rest = [word for word in words if not word.startswith("--")]
        assert requests_of(parse_words(rest if "-m" in rest else ["-m", *rest]))
    elif command == "inspect":
        rest = [word for word in words if word != "--json"]
        _, rest = inspect._own_words(rest, ("against", "format", *inspect_layers.KEYS))
        assert requests_of(parse_words(rest), needs_first_frame=False)
    elif command == "fetch":
        build_downloads(compose.compose_jobs(parse_words(words))[0])
    elif command == "optimize":
        asked = optimize.read(words)
        assert asked.jobs({dimension.name: optimize._any(dimension) for dimension in asked.dimensions})
    else:
        parsed = parse_words(words)
        assert requests_of(parsed, launches=parsed.multirun)


def test_there_are_commands_of_every_kind() -> None:
    assert {words[0] for words in COMMANDS if words} >= set(help.COMMANDS) - {"agent"}
    assert len(COMMANDS) > 30


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_command_composes(words: list[str]) -> None:
    command = words[0] if words and words[0] in help.COMMANDS else ""
    rest = words[1:] if command else words
    if "--help" in rest or has_placeholder(rest):
        return
    if command in ABOUT_RUNS:
        text = getattr(help, command.upper()) + (help.PICK if command == "report" else "")
        for word in rest:
            name = word.partition("=")[0]
            own = name if word.startswith("--") else f"{name}=" if "=" in word else ""
            assert own in text, f"{name} is not in the help of {command}"
    else:
        check_setting(command, rest)


SPANS = [words for words in spans() if is_setting(words) and not has_placeholder(words)]


def test_there_are_spans_with_a_launchers_options() -> None:
    assert ["hydra/launcher=submitit", "hydra.launcher.slurm.partition=gpu"] in SPANS
    assert ["hydra/launcher=submitit", "hydra.launcher.tasks=8"] in SPANS
    assert len(SPANS) > 20


@pytest.mark.parametrize("words", SPANS, ids=" ".join)
def test_words_in_a_code_span_compose(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = any(word.startswith("hydra") for word in words)
    parsed = parse_words(["-m", "seed=0,1", *words] if sweep else words)
    assert requests_of(parsed, needs_first_frame=False, launches=sweep)
    if sweep:
        pytest.importorskip("submitit")
        monkeypatch.setattr("cogexp.launch.sbatch_options.is_slurm", lambda cluster: True)
        settings = requests_of(parse_words([]))[0].settings
        runs._engine(launcher_of(parsed), settings)


def test_options_of_sbatch_arrive_and_unknown_ones_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("submitit")
    monkeypatch.setattr("cogexp.launch.sbatch_options.is_slurm", lambda cluster: cluster != "local")
    (request,) = requests_of(parse_words([]))

    def launcher(*words: str) -> dict[str, Any]:
        return launcher_of(parse_words(["-m", "seed=0,1", "hydra/launcher=submitit", *words]))

    given = ("hydra.launcher.slurm.partition=gpu", "hydra.launcher.slurm.additional_parameters.licenses=a")
    found = launcher(*given)
    assert found["slurm"] == {"partition": "gpu", "additional_parameters": {"licenses": "a"}}
    assert runs._engine(found, request.settings)
    with pytest.raises(SpecError, match=r"slurm.partitoin .* nearest: hydra.launcher.slurm.partition"):
        runs._engine(launcher("hydra.launcher.slurm.partitoin=gpu"), request.settings)
    with pytest.raises(SpecError, match=r"slurm.partition has no effect with hydra.launcher.cluster=local"):
        runs._engine(
            launcher("hydra.launcher.slurm.partition=gpu", "hydra.launcher.cluster=local"), request.settings
        )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["hydra/launcher=workers"], "hydra/launcher has no effect here; it takes a sweep"),
        (["hydra.launcher.workers=2"], "hydra.launcher.workers has no effect here"),
        (["-m", "hydra.run.dir=/tmp"], "hydra.run.dir has no effect.*outputs=FOLDER"),
        (["-m", "hydra/sweeper=basic"], "hydra/sweeper has no effect"),
    ],
)
def test_what_nobody_reads_of_hydras_own_keys_is_refused(words: list[str], said: str) -> None:
    parsed = parse_words(words)
    with pytest.raises(SpecError, match=said):
        requests_of(parsed, launches=parsed.multirun)


def ends(parameter: dict[str, Any]) -> list[Any]:
    """The first and the last value that a W&B sweep gives a parameter."""
    if "value" in parameter:
        return [parameter["value"]]
    values = parameter.get("values") or [parameter["min"], parameter["max"]]
    return [values[0], values[-1]]


@pytest.mark.parametrize(
    "file", sorted((ROOT / "sweeps" / "wandb").glob("*.yaml")), ids=lambda file: file.stem
)
def test_a_wandb_sweep_composes_with_its_first_and_last_values(file: Path) -> None:
    sweep = yaml.safe_load(file.read_text(encoding="utf-8"))
    assert sweep["command"][2:4] == ["-m", "cogexp"]
    for at in (0, -1):
        words = [f"{key}={ends(parameter)[at]}" for key, parameter in sweep["parameters"].items()]
        assert requests_of(parse_words(words))


@pytest.mark.parametrize("file", sorted((ROOT / "sweeps").glob("*.yaml")), ids=lambda file: file.stem)
def test_a_ready_study_composes(file: Path) -> None:
    parsed = parse_words([f"sweep={file.stem}"])
    assert len(requests_of(parsed, launches=True)) > 1
