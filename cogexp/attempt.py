"""The bookkeeping around one run: its folder, log and meter, and a record whatever happens.

A failure is data: it is recorded with its stage and reason and does not leave the `with` block. Only an
interruption does, after it was recorded too. The one who makes an attempt holds the run's lock.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import yaml

from cogexp import provenance
from cogexp import record as records
from cogexp.engine.meter import Meter
from cogexp.engine.models import MODELS, check_device
from cogexp.engine.optimize import optimization_notes
from cogexp.record import Record
from cogexp.spec import RunSpec
from cogexp.storage import run_error
from cogexp.storage.durable import flush_file, remove_staged
from cogexp.storage.lock import Lock
from cogexp.storage.run_files import own_folder
from cogexp.storage.run_log import RunLog
from cogexp.system import interrupts, streams
from cogexp.system.host_memory import host_memory
from cogexp.tracking import NullTracker, Tracker

log = logging.getLogger("cogexp")


class LockLost(RuntimeError):
    """This machine was away for so long that another one took the run over."""


@dataclass(kw_only=True)
class Attempt:
    """One run under way. What the stages find is collected here; `record` is there after the block."""

    spec: RunSpec
    folder: Path
    device: str
    lock: Lock | None = None  # of the run; None: nothing is recorded here
    study: str | None = None
    made: Collection[str] = ()  # stages that another process made for this run
    resolved: dict[str, str] = field(default_factory=dict)
    tracker: Tracker = field(default_factory=NullTracker)
    scores: dict[str, float | None] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    per_frame: dict[str, list[float | None]] = field(default_factory=dict)
    artifacts: dict[str, Any] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    record: Record | None = None

    def __post_init__(self) -> None:
        self.meter = Meter(self.device, self.made)
        self._told: set[str] = set()
        self.started = records.now()
        self._log = RunLog(self.folder)
        self._unwritten = streams.unwritten()

    def __enter__(self) -> Attempt:
        return self

    def begin(self) -> None:
        """First in the block: what can fail of machine and disk fails recorded. An old record goes."""
        self.resolved |= optimization_notes(self.spec, self.device)
        with self._tracking():
            self.tracker.start(
                self.spec.run_id,
                self.spec.to_dict(),
                study=self.study,
                name=self.spec.run_id,
                tags=[self.spec.model.name, self.spec.resolution.name, self.spec.upscaler.name],
            )
        check_device(self.device)
        own_folder(self.folder)
        records.retire(self.folder)
        remove_staged(self.folder)
        self._log.open()
        text = yaml.safe_dump(config_of(self.spec), sort_keys=False, allow_unicode=True)
        (self.folder / "config.yaml").write_text(text, encoding="utf-8")

    def tell(self) -> None:
        """Let the tracker show the stages that are done: how far a run came that is killed later."""
        for name, cost in self.meter.in_order().items():
            if name not in self._told and not cost["cached"]:
                self._told.add(name)
                with self._tracking():
                    self.tracker.progress(name, cost["seconds"])

    @contextmanager
    def _tracking(self) -> Iterator[None]:
        """What shows a run elsewhere must not end it."""
        try:
            yield
        # Broad on purpose: a tracker talks to a process and a service of their own.
        except Exception as error:  # noqa: BLE001
            log.warning("tracking: %s; the run goes on", run_error.describe_error(error, None)["message"])

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        try:
            with interrupts.deferred():
                self.conclude(error)
        finally:
            if self.record is not None:
                with self._tracking():
                    self.tracked = self.tracker.finish(self.record, self.folder)
        assert self.record is not None
        return isinstance(error, Exception) and self.record.status != "interrupted"

    def conclude(self, error: BaseException | None) -> None:
        """Write the record: of a run that ended well, or of what ended it."""
        with contextlib.suppress(Exception):  # remarks only, and a GPU after a fault answers with any error
            self.resolved |= MODELS.notes(self.spec, self.device)
        if error is not None:
            why = run_error.describe_error(error, self.meter.current)
            log.error("%s failed at %s: %s", self.spec.run_id, why["stage"], why["message"])
            log.debug("traceback", exc_info=(type(error), error, error.__traceback__))
        self.resolved |= self._output_problems()
        self.record = self._finish(error)
        if self.record.status == "oom":
            with contextlib.suppress(Exception):
                MODELS.free()  # the next job of a sweep starts with all the memory there is
        self._log.close()

    def _output_problems(self) -> dict[str, str]:
        """What a person could not read while the run went on: it is in the record at least."""
        found = {"log.txt": self._log.problem} if self._log.problem else {}
        lines = streams.unwritten() - self._unwritten
        return found | ({"stderr": f"{lines} lines could not be written"} if lines else {})

    def _finish(self, error: BaseException | None) -> Record:
        """The record, written after the files that it lists. A disk that does not take them fails the run."""
        if self.lock is not None and not self.lock.held():
            return self._describe(LockLost(f"another process took it over: {self.lock.holder()}"))
        try:
            if error is None:
                for file in self.files.values():
                    flush_file(self.folder / file)
            record = self._describe(error)
            if error is None:
                record = records.with_digests(record, self.folder)
            records.write(record, self.folder)
        # Broad on purpose: whatever a damaged process cannot describe, a record must say that it failed.
        except Exception as fault:  # noqa: BLE001
            self.meter.current = "write"
            log.error("the record of %s could not be written: %s", self.spec.run_id, fault)
            if not isinstance(fault, OSError):  # a value that no record takes
                self.artifacts, self.scores, self.per_frame = {}, {}, {}
            record = self._describe(error or fault)
            with contextlib.suppress(OSError):
                records.write(record, self.folder)
        return record

    def _describe(self, error: BaseException | None) -> Record:
        return Record(
            run_id=self.spec.run_id,
            status="ok" if error is None else run_error.status_of(error),
            error=None if error is None else run_error.describe_error(error, self.meter.current),
            spec=self.spec.to_dict(),
            resolved=self.resolved,
            scores=self.scores,
            skipped=self.skipped,
            artifacts=self.artifacts,
            stages=self.meter.in_order(),
            files={name: file for name, file in self.files.items() if (self.folder / file).is_file()},
            device=_device(self.device),
            versions=provenance.versions(),
            git=provenance.git_state(Path(__file__).parent),
            started=self.started,
            finished=records.now(),
            study=self.study,
            per_frame=self.per_frame,
        )


def config_of(spec: RunSpec) -> dict[str, Any]:
    """The nested mapping that builds this spec again: what `--config-path RUN_FOLDER` reads."""
    plain = spec.to_dict()
    source = plain["model"].pop("source")
    plain["model"]["path"] = source if source and Path(source).is_absolute() else None
    for group, key in (("prompt", "image_sha256"), ("upscaler", "weights_sha256")):
        del plain[group][key]
    if spec.model.name == "nano":
        plain["model"]["revision"] = None
    weak = spec.model.weights == "undertrained"
    if weak:
        plain["model"]["weights"] = "pretrained"
    plain["metrics"]["names"] = list(spec.metrics.names) or "none"
    # What does not decide the result is there with its defaults, so that it can be overridden.
    around = {
        "tracking": {"mode": "auto", "project": "cogexp", "entity": None},
        "nano": {"undertrained": weak},
        "strict": True,
        "device": "auto",
        "outputs": "outputs",
        "study": None,
        "force": False,
        "debug": False,
        "store_gb": 20,
        "preflight": "refuse",
    }
    hydra = {"output_subdir": None, "run": {"dir": "."}, "sweep": {"dir": "${outputs}/sweeps", "subdir": "."}}
    return {**plain, **around, "hydra": hydra}


def _device(device: str) -> dict[str, Any]:
    """`describe_device`, or only its name where the device is what broke."""
    try:
        return describe_device(device)
    except Exception as error:  # noqa: BLE001 - a GPU after a fault answers with any error
        log.debug("%s cannot be described: %s", device, error)
        return {"type": device}


def describe_device(device: str) -> dict[str, Any]:
    """What the run was computed on."""
    import platform

    import psutil
    import torch

    facts: dict[str, Any] = {
        "type": device,
        "cpu": platform.processor() or platform.machine(),
        "cpu_count": psutil.cpu_count(),
        "ram_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "platform": platform.platform(terse=True),
    }
    if (memory := host_memory()).limited:
        facts["ram_limit_gib"] = round(memory.total_gib, 1)
    if device.startswith("cuda") and torch.cuda.is_available():
        card = torch.cuda.get_device_properties(device)
        facts |= {
            "gpu": card.name,
            "gpu_total_gib": round(card.total_memory / 2**30, 1),
            "cuda": torch.version.cuda,
        }
    return facts
