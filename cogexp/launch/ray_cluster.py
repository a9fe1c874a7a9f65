"""The Ray cluster of a sweep: the one that is there or one for this sweep, and what its workers get."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from cogexp.spec import SpecError
from cogexp.system import interrupts

PROBE_SECONDS = 5.0
OBJECT_STORE_BYTES = 80 * 2**20  # only requests and a few words travel through Ray: clips go through the disk


@dataclass(frozen=True, kw_only=True)
class Options:
    """The keys of hydra/launcher=ray.

    `address`: of a running cluster; None: the one that is running here, else one for this sweep. `workers`:
    a number, or auto: one a GPU, without GPUs one. `gpus_per_worker`: less than 1 lets workers share a GPU.
    """

    address: str | None = None
    workers: int | str = "auto"
    gpus_per_worker: float = 1.0


def check(device: str, options: Options) -> None:
    """Raise SpecError for options that no cluster can meet, or when Ray is missing."""
    if find_spec("ray") is None:
        raise SpecError("hydra/launcher=ray needs Ray, which is not installed; pip install 'cogexp[ray]'")
    workers = options.workers
    if workers != "auto" and not (isinstance(workers, int) and workers >= 1):
        raise SpecError(f"hydra.launcher.workers must be auto or at least 1, got {workers!r}; nearest: 1")
    if not 0 < options.gpus_per_worker <= 64:
        raise SpecError(
            f"hydra.launcher.gpus_per_worker must be above 0, got {options.gpus_per_worker}; nearest: 1"
        )
    if ":" in device:
        raise SpecError(f"device must be cuda or cpu with hydra/launcher=ray, got {device!r}; nearest: cuda")


@contextmanager
def connected(options: Options) -> Iterator[Any]:
    """Connected to the cluster; one that was started for this sweep ends with it."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray

    joined = ray.is_initialized()
    try:
        if not joined:
            with interrupts.preserved():  # Ray's own handler of SIGTERM would leave without a record
                _connect(ray, options.address)
        yield ray
    finally:
        if not joined and ray.is_initialized():
            ray.shutdown()


def _connect(ray: Any, address: str | None) -> None:
    quiet = {"log_to_driver": False, "logging_level": "ERROR", "configure_logging": True}
    running = address or os.environ.get("RAY_ADDRESS")
    try:
        _probe(running)
        if running:
            ray.init(address=running, **quiet)
        else:
            ray.init(include_dashboard=False, object_store_memory=OBJECT_STORE_BYTES, **quiet)
    # Broad on purpose: a node that does not come up in time raises a bare Exception.
    except Exception as error:
        first = str(error).strip().partition("\n")[0]
        if running:
            text = f"hydra.launcher.address must be a running Ray cluster, got {running!r}: {first}"
        else:
            text = f"hydra/launcher=ray could not start Ray on this machine: {first}"
        raise SpecError(text) from error


def _probe(address: str | None) -> None:
    """ConnectionError unless something listens at HOST:PORT: Ray itself would try for minutes."""
    host, _, port = (address or "").rpartition("://")[2].rpartition(":")
    if host and port.isdigit():
        with socket.create_connection((host.strip("[]"), int(port)), timeout=PROBE_SECONDS):
            pass


def sizes(ray: Any, options: Options, jobs: int, device: str) -> tuple[int, dict[str, float]]:
    """(workers, the resources of each).

    Raises:
        SpecError: the cluster has too few GPUs.
    """
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    share = options.gpus_per_worker if device == "cuda" else 0.0
    fit = [int(node.get("GPU", 0.0) / share + 1e-6) if share else 1 for node in nodes]
    count = (sum(fit) if share else 1) if options.workers == "auto" else int(options.workers)
    if share and (count > sum(fit) or count == 0):
        raise SpecError(
            f"hydra.launcher.workers needs {share:g} GPUs a worker, got {max(count, 1)} workers on a cluster "
            f"with room for {sum(fit)}; nearest: {sum(fit)} workers, or device=cpu"
        )
    count = min(count, jobs)
    return count, {"num_gpus": share, "num_cpus": cpus_of(nodes, fit if share else None, count)}


def cpus_of(nodes: Sequence[dict[str, float]], on_node: Sequence[int] | None, count: int) -> float:
    """CPUs of each of `count` workers: what their threads may take, and no more than every node can give.

    `on_node` is how many workers each node has GPUs for; None: any node can have any.
    """
    if on_node is not None:
        shares = [
            node.get("CPU", 1.0) / workers for node, workers in zip(nodes, on_node, strict=True) if workers
        ]
    else:
        shares = [
            sum(node.get("CPU", 0.0) for node in nodes) / count,
            *(n["CPU"] for n in nodes if "CPU" in n),
        ]
    least = min(shares)
    return float(int(least)) if least >= 1 else least
