"""Sweeps on a real Slurm, of one node on this machine: at most the run under way is lost, and done again.

Run with -m slurm -s, as root, where slurm-wlm and munge are installed; the figures are printed.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("submitit")

from cogexp import record as records
from cogexp.build import Request
from cogexp.launch import slurm as launcher
from cogexp.launch.execute import run_folder
from cogexp.launch.slurm import Options, Work, launch
from cogexp.terminal import Progress
from tests.launch import cluster as clusters
from tests.launch.cluster import NODE, Cluster
from tests.launch.jobs import Said, by_seed, finish, requests

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


class Naps:
    """A sweep of runs that only sleep, so that their time is known; the launcher is called in a thread."""

    def __init__(self, cluster: Cluster, outputs: Path) -> None:
        self.cluster, self.outputs, self.said = cluster, outputs, Said()
        self._thread = threading.Thread(target=lambda: None)

    def start(self, seeds: int, work: Work, **options: Any) -> None:
        asked = {"cluster": "slurm", "tasks": 1, "gpus_per_node": 0, "cpus_per_task": 1, "mem_gb": 1}
        left = [job for job in requests(self.outputs, seeds) if not records.is_done(run_folder(job))]
        arguments = (left, self.said, Options(**{**asked, **options}), work)
        self._thread = threading.Thread(target=launch, args=arguments, daemon=True)
        self._thread.start()

    def end(self) -> None:
        self._thread.join(LONG)
        assert not self._thread.is_alive(), self.said.lines

    def alive(self) -> bool:
        return self._thread.is_alive()

    def statuses(self) -> list[str]:
        found = by_seed(self.outputs)
        return [found[seed].status for seed in sorted(found)]

    def begun(self) -> Counter[str]:
        """Run -> how often a job began it."""
        return Counter((self.outputs / "begun.txt").read_text().split())

    def until(self, begun: int) -> None:
        """So many runs were begun, and the last of them is under way."""
        file = self.outputs / "begun.txt"
        self.cluster.wait(lambda: file.is_file() and len(file.read_text().split()) >= begun, "begun", LONG)

    def figures(self, name: str) -> None:
        begun = self.begun()
        print(
            f"\n{name}: {len(begun)} runs, {sum(begun.values())} begun; {self.statuses()}; {self.said.lines}"
        )


def nap(request: Request, seconds: float) -> None:
    with (request.settings.outputs / "begun.txt").open("a") as file:
        file.write(f"{request.spec.seed}\n")
    time.sleep(seconds)
    finish(request)


def short(request: Request, progress: Progress) -> None:
    nap(request, 4)


def long(request: Request, progress: Progress) -> None:
    nap(request, 20)


@pytest.fixture
def naps(slurm: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Naps]:
    monkeypatch.setenv("SLURM_CONF", slurm.environment["SLURM_CONF"])
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr(launcher, "POLL_SECONDS", 0.2)
    slurm.tell("scontrol", "update", f"NodeName={NODE}", "State=RESUME", check=False)
    yield Naps(slurm, tmp_path)
    for job in slurm.jobs():
        slurm.tell("scancel", job, check=False)
    slurm.wait(lambda: not slurm.jobs(), "the jobs are gone")


def test_a_job_past_its_time_is_queued_again_and_loses_at_most_the_run_under_way(naps: Naps) -> None:
    naps.start(8, long, timeout_min=2)  # 160 s of work in jobs of 2 minutes
    naps.end()
    naps.figures("time limit")
    assert naps.statuses() == ["ok"] * 8
    logs = naps.outputs.glob("slurm/*/*.err")
    restarts = sum(
        "STEP" in line and "REQUEUE" in line for log in logs for line in log.read_text().splitlines()
    )
    assert restarts > 0
    assert sum(naps.begun().values()) - 8 <= restarts, "each job loses one run at most"


def test_a_drained_node_loses_nothing_and_says_what_the_next_job_waits_for(naps: Naps) -> None:
    naps.start(4, short, tasks=2, cpus_per_task=naps.cluster.cpus)
    naps.until(1)
    naps.cluster.tell("scontrol", "update", f"NodeName={NODE}", "State=DRAIN", "Reason=test")
    naps.cluster.wait(lambda: naps.cluster.state() == "drained", "the first job is over", LONG)
    assert naps.statuses() == ["ok"] * 2
    naps.cluster.wait(lambda: any(" waits: " in line for line in naps.said.lines), "it is said", LONG)
    naps.cluster.tell("scontrol", "update", f"NodeName={NODE}", "State=RESUME")
    naps.end()
    naps.figures("drained")
    assert naps.statuses() == ["ok"] * 4
    assert set(naps.begun().values()) == {1}
    assert sum(" waits: " in line for line in naps.said.lines) == 1


def test_a_node_that_goes_down_costs_the_run_under_way_which_is_done_again(naps: Naps) -> None:
    naps.start(4, short)
    naps.until(2)
    naps.cluster.tell("scontrol", "update", f"NodeName={NODE}", "State=DOWN", "Reason=test")
    # This node is there after all: Slurm may find the old process on it, drain the node and hold the job.
    while naps.alive():
        time.sleep(1)
        naps.cluster.tell("scontrol", "update", f"NodeName={NODE}", "State=RESUME", check=False)
        for job in naps.cluster.jobs("PENDING"):
            naps.cluster.tell("scontrol", "release", job, check=False)
    naps.end()
    naps.figures("node down")
    assert naps.statuses() == ["ok"] * 4
    assert sum(naps.begun().values()) == 5


def test_one_cancel_after_the_other_loses_one_run_each(naps: Naps) -> None:
    naps.start(6, short)
    for begun in (2, 4):
        naps.until(begun)
        naps.cluster.tell("scancel", naps.cluster.jobs()[-1])
    naps.end()
    naps.figures("cancelled twice")
    assert Counter(naps.statuses()) == {"ok": 4, "interrupted": 2}
    naps.start(6, short)
    naps.end()
    naps.figures("cancelled twice, started again")
    assert naps.statuses() == ["ok"] * 6
    assert sum(naps.begun().values()) == 8
