"""The search finds a known optimum under a constraint, keeps what failed, and goes on where it was killed."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

optuna = pytest.importorskip("optuna")

from cogexp.spec import SpecError  # noqa: E402
from cogexp.study import study_of  # noqa: E402
from cogexp.study.query import Query, read_query  # noqa: E402
from cogexp.study.search import Dimension, Value, Verdict, broken_for_good, judge  # noqa: E402
from cogexp.study.trials import best, finished, open_search, step  # noqa: E402
from tests.study.records import make_record  # noqa: E402

X = Dimension(name="x", low=0.0, high=10.0)
KIND = Dimension(name="kind", choices=("a", "b"))


def bowl(values: dict[str, Value]) -> Verdict:
    """Highest at x = 8, but only x <= 5 is allowed, and kind b loses 20 and sometimes its memory."""
    x = float(values["x"])
    if values["kind"] == "b" and x > 9:
        return Verdict(state="pruned", reason="out of memory")
    value = -((x - 8) ** 2) - (20 if values["kind"] == "b" else 0)
    return Verdict(state="done", value=value, violations={"x<5": x - 5})


def run(
    storage: Path | str, trials: int, evaluate=bowl, dimensions=(X, KIND), asked: str = "same"
) -> optuna.Study:
    found = open_search("s", dimensions, Query(), storage=storage, asked=asked, trials=trials)
    while finished(found) < trials:
        step(found, dimensions, evaluate, storage)
    return found


def test_the_best_allowed_setting_is_found(tmp_path: Path) -> None:
    """The optimum under the constraint is x = 5 with kind a: in closed form -9."""
    top = best(run(tmp_path / "s.optuna", 60))
    assert top is not None
    assert top.user_attrs["values"]["kind"] == "a"
    assert 4.0 <= top.user_attrs["values"]["x"] <= 5.0
    assert top.value == pytest.approx(-9, abs=7.1)
    unconstrained = max(t.value for t in run(tmp_path / "s.optuna", 60).trials if t.value is not None)
    assert unconstrained > -9, "the constraint was what kept it from x = 8"


@pytest.mark.parametrize("kind", ["file", "sqlite"])
def test_it_goes_on_with_what_is_stored(tmp_path: Path, kind: str) -> None:
    storage = f"sqlite:///{tmp_path / 's.db'}" if kind == "sqlite" else tmp_path / "s.optuna"
    first = [trial.params for trial in run(storage, 5).trials]
    second = run(storage, 8)
    assert [trial.params for trial in second.trials[:5]] == first
    assert finished(second) == 8
    with pytest.raises(SpecError, match="begun with other words"):
        run(storage, 8, asked="else")


def test_a_small_space_is_gone_through_once(tmp_path: Path) -> None:
    dimensions = (KIND, Dimension(name="steps", low=10, high=30, step=10, whole=True))
    seen: list[tuple[Value, ...]] = []

    def evaluate(values: dict[str, Value]) -> Verdict:
        seen.append(tuple(values.values()))
        return Verdict(state="done", value=1.0)

    run(tmp_path / "s.optuna", 6, evaluate, dimensions)
    assert sorted(seen) == [(kind, steps) for kind in "ab" for steps in (10, 20, 30)]


def test_failures_are_kept_and_never_best(tmp_path: Path) -> None:
    def evaluate(values: dict[str, Value]) -> Verdict:
        return Verdict(state="failed" if values["kind"] == "a" else "pruned", reason="no memory")

    found = run(tmp_path / "s.optuna", 6, evaluate)
    assert best(found) is None
    assert {trial.state.name for trial in found.trials} <= {"FAIL", "PRUNED"}
    assert {trial.user_attrs["reason"] for trial in found.trials} == {"no memory"}


def test_a_trial_of_a_killed_process_is_given_out_again(tmp_path: Path) -> None:
    storage = tmp_path / "s.optuna"
    script = (
        "import os, signal, sys; from pathlib import Path\n"
        "from tests.study.test_search import *\n"
        "def die(values):\n"
        "    Path(sys.argv[2]).write_text(repr(values)); os.kill(os.getpid(), signal.SIGKILL)\n"
        "run(Path(sys.argv[1]), 1, die)\n"
    )
    told = tmp_path / "values"
    done = subprocess.run(
        [sys.executable, "-c", script, str(storage), str(told)], capture_output=True, text=True
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    found = run(storage, 3)
    assert [trial.state.name for trial in found.trials] == ["FAIL", *["COMPLETE"] * 3]
    assert repr(found.trials[1].user_attrs["values"]) == told.read_text("utf-8")


def test_judging_takes_means_and_measures_how_far_a_limit_is_broken() -> None:
    runs = study_of(
        [make_record(score, seed=seed, seconds=10.0, peak=12.0) for seed, score in enumerate((20.0, 30.0))]
    )
    query = read_query(["where=motion_px>3 and tear.level!=certain", "max_vram=10GB", "max_seconds=60"])
    verdict = judge(runs, query, "clip_score")
    assert (verdict.state, verdict.value, verdict.feasible) == ("done", 25.0, False)
    assert verdict.violations == {
        "motion_px>3": 1.0, "tear.level!=certain": 0.0, "max_vram": 2.0, "max_seconds": -50.0
    }  # fmt: skip
    assert judge(runs, read_query(["where=motion_px>1", "max_vram=16GB"]), "clip_score").feasible


def test_a_run_without_memory_prunes_and_another_failure_fails() -> None:
    runs = [make_record(seed=0), make_record(seed=1, status="oom")]
    assert judge(study_of(runs), Query(), "clip_score").state == "pruned"
    assert judge(study_of([make_record(None)]), Query(), "clip_score").state == "failed"


def test_what_every_run_must_keep_can_be_broken_for_good() -> None:
    query = read_query(["where=tear.level!=certain", "max_vram=10GB"])
    assert broken_for_good(study_of([make_record(level="certain")]), query) == "not tear.level!=certain"
    assert "12.0 GiB" in broken_for_good(study_of([make_record(peak=12.0)]), query)
    assert broken_for_good(study_of([make_record()]), query) == ""


def test_dimensions_know_their_values() -> None:
    assert KIND.values == ["a", "b"]
    assert X.values is None
    assert Dimension(name="s", low=10, high=50, step=20, whole=True).values == [10, 30, 50]
    assert Dimension(name="s", low=0.0, high=0.5, step=0.25).values == [0.0, 0.25, 0.5]


def test_a_storage_that_cannot_be_opened_is_said(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="storage"):
        run("nonsense://x", 1)
    (tmp_path / "file").write_text("")
    with pytest.raises(SpecError, match="storage"):
        run(tmp_path / "file" / "below.optuna", 1)
    assert os.path.isfile(tmp_path / "file")


def test_a_trial_of_a_living_process_is_its_own_whatever_its_id(tmp_path: Path) -> None:
    """A container beside this one: the same host name, a process id that is nobody's here."""
    storage, fork = tmp_path / "s.optuna", multiprocessing.get_context("fork")
    (here, there), (begun, begin) = fork.Pipe(), fork.Pipe()

    def evaluate(values: dict[str, Value]) -> Verdict:
        begin.send("begun")
        there.recv()
        return Verdict(state="done", value=1000.0)

    def other() -> None:
        os.getpid = lambda: 2**22 + 1  # type: ignore[assignment]
        run(storage, 1, evaluate)

    child = fork.Process(target=other)
    child.start()
    assert begun.poll(60)
    run(storage, 3)
    here.send("go on")
    child.join()
    assert child.exitcode == 0
    found = run(storage, 4)
    assert [trial.state.name for trial in found.trials] == ["COMPLETE"] * 4
    top = best(found)
    assert top is not None
    assert top.value == 1000.0, "the best is the one that the other process found"


def test_a_trial_that_was_given_away_counts_once(tmp_path: Path) -> None:
    """A machine that slept comes back to a trial that another one took over."""
    storage = tmp_path / "s.optuna"

    def slept(values: dict[str, Value]) -> Verdict:
        for lock in (tmp_path / "s.optuna.trials").glob("[0-9]*.lock"):
            lock.unlink()
        run(storage, 2)
        return Verdict(state="done", value=1000.0)

    run(storage, 1, slept)
    found = run(storage, 3)
    states = [trial.state.name for trial in found.trials]
    assert states.count("FAIL") == 1
    assert states.count("COMPLETE") >= 3
