"""Sweeps on a real Slurm, of one node on this machine: at most the run under way is lost, and done again.

Run with -m slurm -s, as root, where slurm-wlm and munge are installed; the figures are printed.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from cogexp import record as records
from tests.launch import cluster as clusters
from tests.launch.cluster import NODE, Cluster

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.skipif(bool(clusters.missing()), reason=f"no Slurm here: {clusters.missing()}"),
]

ROOT = Path(__file__).resolve().parents[2]
LONG = 600.0


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path_factory.mktemp("slurm"))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


class Sweep:
    """A sweep over seeds, started from the command line as a user would."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.cluster, self.folder, self.outputs = cluster, folder, folder / "outputs"
        self._process: subprocess.Popen[str] | None = None

    def start(self, seeds: int, *, steps: int = 2, tasks: int = 1, **launcher: object) -> None:
        """One CPU a job and no GPU; `launcher` are more of its keys."""
        keys = {"cluster": "slurm", "tasks": tasks, "gpus_per_node": 0, "cpus_per_task": 1, "mem_gb": 2}
        words = [f"hydra.launcher.{key}={value}" for key, value in {**keys, **launcher}.items()]
        small = ["model=nano", "device=cpu", "resolution=64x64", "metrics=none", "upscaler=none"]
        seed = ",".join(map(str, range(seeds)))
        own = [f"sampler.steps={steps}", "tracking=off", f"seed={seed}", f"outputs={self.outputs}"]
        with (self.folder / "said.txt").open("a", encoding="utf-8") as said:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "cogexp", "-m", "hydra/launcher=submitit", *words, *small, *own],
                cwd=self.folder,
                env={**self.cluster.environment, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
                stdout=said,
                stderr=said,
                text=True,
            )

    def end(self) -> int:
        """The exit code, once it is over."""
        assert self._process is not None
        try:
            return self._process.wait(LONG)
        finally:
            self._process.kill()

    def statuses(self) -> dict[int, str]:
        """Seed -> status of its record."""
        return {record.spec["seed"]: record.status for record in records.load_many(self.outputs)}

    def stamps(self) -> dict[str, int | None]:
        return {folder.name: records.stamp(folder) for folder in (self.outputs / "runs").iterdir()}

    def started(self) -> Counter[str]:
        """Run -> how often a job began it, by the jobs' own logs."""
        logs = self.outputs.glob("slurm/*/*.out")
        words = [word for log in logs for word in log.read_text(errors="replace").split("\n")]
        return Counter(word for word in words if word.startswith("nano-64x64"))

    def said(self) -> str:
        return (self.folder / "said.txt").read_text(encoding="utf-8")

    def until(self, done: int) -> None:
        """`done` runs have a record, and a job is well into the next one."""

        def reached() -> bool:
            assert self._process is not None
            assert self._process.poll() is None, self.said()
            return len(self.statuses()) >= done and sum(self.started().values()) > done

        self.cluster.wait(reached, f"{done} runs and a next one", LONG)
        time.sleep(0.5)

    def figures(self, name: str) -> None:
        started = self.started()
        repeated = sum(started.values()) - len(started)
        print(f"\n{name}: {len(started)} runs, {repeated} begun again, {self.statuses()}")


@pytest.fixture
def sweep(slurm: Cluster, tmp_path: Path) -> Iterator[Sweep]:
    slurm.tell("scontrol", "update", f"NodeName={NODE}", "State=RESUME", check=False)
    one = Sweep(slurm, tmp_path)
    yield one
    for job in slurm.jobs():
        slurm.tell("scancel", job, check=False)
    slurm.wait(lambda: not slurm.jobs(), "the jobs are gone")


def test_a_sweep_is_done_in_two_jobs_without_a_word_of_accounting(sweep: Sweep) -> None:
    sweep.start(4, tasks=2)
    assert sweep.end() == 0, sweep.said()
    sweep.figures("sweep")
    assert sweep.statuses() == dict.fromkeys(range(4), "ok")
    assert set(sweep.started().values()) == {1}
    assert "sacct" not in sweep.said()
    assert sweep.said().count("2 slurm jobs for 4 runs") == 1


def test_a_cancelled_job_costs_the_run_under_way_and_the_next_start_does_that_one(sweep: Sweep) -> None:
    sweep.start(4, steps=40)
    sweep.until(1)
    sweep.cluster.tell("scancel", sweep.cluster.jobs()[0])
    assert sweep.end() == 1
    sweep.figures("cancelled")
    statuses = sweep.statuses()
    assert Counter(statuses.values()) == {"ok": 3, "interrupted": 1}, sweep.said()
    assert "it was cancelled" in sweep.said()
    before, begun = sweep.stamps(), sum(sweep.started().values())
    sweep.start(4, steps=40)
    assert sweep.end() == 0, sweep.said()
    sweep.figures("cancelled, started again")
    assert set(sweep.statuses().values()) == {"ok"}
    assert sum(sweep.started().values()) == begun + 1
    changed = {name for name, stamp in sweep.stamps().items() if stamp != before[name]}
    assert len(changed) == 1, "only what was lost is done again"


def test_a_job_past_its_time_is_queued_again_and_loses_at_most_the_run_under_way(sweep: Sweep) -> None:
    sweep.start(1, steps=20)
    assert sweep.end() == 0, sweep.said()
    (first,) = records.load_many(sweep.outputs)
    steps = round(15 / (first.stages["denoise"]["seconds"] / 20))  # some 15 s a run, 12 runs: 3 minutes
    sweep.start(12, steps=max(steps, 20), timeout_min=2)
    assert sweep.end() == 0, sweep.said()
    sweep.figures("time limit")
    counted = sweep.started()
    assert set(sweep.statuses().values()) == {"ok"}
    restarts = sum(log.read_text().count("DUE TO JOB REQUEUE") for log in sweep.outputs.glob("slurm/*/*.err"))
    assert restarts > 0
    assert sum(counted.values()) - len(counted) <= restarts, "each job loses one run at most"


def test_a_drained_node_loses_nothing_and_says_what_the_next_job_waits_for(sweep: Sweep) -> None:
    sweep.start(4, steps=40, tasks=2, cpus_per_task=sweep.cluster.cpus)
    sweep.until(1)
    sweep.cluster.tell("scontrol", "update", f"NodeName={NODE}", "State=DRAIN", "Reason=test")
    sweep.cluster.wait(lambda: sweep.cluster.state() == "drained", "the first job is over", LONG)
    assert Counter(sweep.statuses().values()) == {"ok": 2}
    sweep.cluster.wait(lambda: "waits: " in sweep.said(), "the reason is said", LONG)
    sweep.cluster.tell("scontrol", "update", f"NodeName={NODE}", "State=RESUME")
    assert sweep.end() == 0, sweep.said()
    sweep.figures("drained")
    assert sweep.statuses() == dict.fromkeys(range(4), "ok")
    assert set(sweep.started().values()) == {1}


def test_a_node_that_goes_down_costs_the_run_under_way_which_is_done_again(sweep: Sweep) -> None:
    sweep.start(4, steps=40)
    sweep.until(1)
    sweep.cluster.tell("scontrol", "update", f"NodeName={NODE}", "State=DOWN", "Reason=test")
    time.sleep(2)
    sweep.cluster.tell("scontrol", "update", f"NodeName={NODE}", "State=RESUME")
    assert sweep.end() == 0, sweep.said()
    sweep.figures("node down")
    assert sweep.statuses() == dict.fromkeys(range(4), "ok")
    assert sum(sweep.started().values()) <= 5
