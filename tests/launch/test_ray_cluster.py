"""What workers get of a cluster: counted by hand on small clusters."""

from __future__ import annotations

from typing import Any

import pytest

from cogexp.launch.ray_cluster import Options, sizes
from cogexp.spec import SpecError


class Cluster:
    """Answers `nodes()` as Ray does."""

    def __init__(self, *resources: dict[str, float]) -> None:
        self._resources = resources

    def nodes(self) -> list[dict[str, Any]]:
        dead = {"Alive": False, "Resources": {"CPU": 1000.0, "GPU": 1000.0}}
        return [*({"Alive": True, "Resources": one} for one in self._resources), dead]


LAPTOP = Cluster({"CPU": 2.0})
HEAD_AND_GPUS = Cluster({"CPU": 64.0}, {"CPU": 64.0, "GPU": 8.0})


@pytest.mark.parametrize(
    ("cluster", "device", "options", "jobs", "expected"),
    [
        (LAPTOP, "cpu", Options(), 9, (1, {"num_gpus": 0.0, "num_cpus": 2.0})),
        (LAPTOP, "cpu", Options(workers=2), 9, (2, {"num_gpus": 0.0, "num_cpus": 1.0})),
        (LAPTOP, "cpu", Options(workers=4), 9, (4, {"num_gpus": 0.0, "num_cpus": 0.5})),
        (LAPTOP, "cpu", Options(workers=4), 1, (1, {"num_gpus": 0.0, "num_cpus": 2.0})),
        # the head's CPUs are no help to workers that must sit beside a GPU
        (HEAD_AND_GPUS, "cuda", Options(), 99, (8, {"num_gpus": 1, "num_cpus": 8.0})),
        (HEAD_AND_GPUS, "cuda", Options(), 3, (3, {"num_gpus": 1, "num_cpus": 8.0})),
        (HEAD_AND_GPUS, "cuda", Options(gpus_per_worker=0.5), 99, (16, {"num_gpus": 0.5, "num_cpus": 4.0})),
        (HEAD_AND_GPUS, "cpu", Options(), 99, (1, {"num_gpus": 0.0, "num_cpus": 64.0})),
    ],
)
def test_workers_fit_their_nodes(
    cluster: Cluster, device: str, options: Options, jobs: int, expected: tuple[int, dict[str, float]]
) -> None:
    assert sizes(cluster, options, jobs, device) == expected


@pytest.mark.parametrize(
    ("cluster", "options"), [(LAPTOP, Options()), (HEAD_AND_GPUS, Options(workers=9))], ids=["none", "few"]
)
def test_gpus_that_are_not_there_are_refused(cluster: Cluster, options: Options) -> None:
    with pytest.raises(SpecError, match=r"hydra.launcher.workers .*GPUs"):
        sizes(cluster, options, 99, "cuda")
