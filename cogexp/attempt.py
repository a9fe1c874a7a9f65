"""The bookkeeping around one run: its folder, log and meter, and a record whatever happens.

A failure is data: it is recorded with its stage and reason and does not leave the `with` block. Only an
interruption does, after it was recorded too.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
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
from cogexp.system import streams
from cogexp.tracking import NullTracker, Tracker

log = logging.getLogger("cogexp")


@dataclass(kw_only=True)
class Attempt:
    """One run under way. What the stages find is collected here; `record` is there after the block."""

    spec: RunSpec
    folder: Path
    device: str
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

    def __enter__(self) -> Attempt:
        self.started = records.now()
        self._log = _RunLog(self.folder)
        self._unwritten = streams.unwritten()
        self.resolved |= optimization_notes(self.spec, self.device)
        with self._tracking():
            self.tracker.start(
                self.spec.run_id,
                self.spec.to_dict(),
                study=self.study,
                name=self.spec.run_id,
                tags=[self.spec.model.name, self.spec.resolution.name, self.spec.upscaler.name],
            )
        return self

    def begin(self) -> None:
        """The first thing inside the block: what can fail about the machine and the disk fails recorded."""
        check_device(self.device)
        self.folder.mkdir(parents=True, exist_ok=True)
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
            log.warning("tracking: %s; the run goes on", records.describe_error(error, None)["message"])

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self.resolved |= MODELS.notes(self.spec, self.device)
        if error is not None:
            described = records.describe_error(error, self.meter.current)
            log.error("%s failed at %s: %s", self.spec.run_id, described["stage"], described["message"])
            log.debug("traceback", exc_info=(kind, error, trace))  # type: ignore[arg-type]
            if records.status_of(error) == "oom":
                MODELS.free()  # the next job of a sweep starts with all the memory there is
        self.resolved |= self._unsaid()
        self.record = self._finish(error)
        self._log.close()
        with self._tracking():
            self.tracked = self.tracker.finish(self.record, self.folder)
        return isinstance(error, Exception)

    def _unsaid(self) -> dict[str, str]:
        """What a person could not read while the run went on: it is in the record at least."""
        found = {"log.txt": self._log.problem} if self._log.problem else {}
        lines = streams.unwritten() - self._unwritten
        return found | ({"stderr": f"{lines} lines could not be written"} if lines else {})

    def _finish(self, error: BaseException | None) -> Record:
        """The record, written. A disk that takes no record makes the run a failed one."""
        record = self._describe(error)
        try:
            records.write(record, self.folder)
        except OSError as disk:
            self.meter.current = "write"
            log.error("the record of %s could not be written: %s", self.spec.run_id, disk)
            record = self._describe(error or disk)
        return record

    def _describe(self, error: BaseException | None) -> Record:
        return Record(
            run_id=self.spec.run_id,
            status="ok" if error is None else records.status_of(error),
            error=None if error is None else records.describe_error(error, self.meter.current),
            spec=self.spec.to_dict(),
            resolved=self.resolved,
            scores=self.scores,
            skipped=self.skipped,
            artifacts=self.artifacts,
            stages=self.meter.in_order(),
            files={name: file for name, file in self.files.items() if (self.folder / file).is_file()},
            device=describe_device(self.device),
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
    if device.startswith("cuda") and torch.cuda.is_available():
        card = torch.cuda.get_device_properties(device)
        facts |= {
            "gpu": card.name,
            "gpu_total_gib": round(card.total_memory / 2**30, 1),
            "cuda": torch.version.cuda,
        }
    return facts


class _RunLog:
    """log.txt of one run: everything that cogexp and the libraries say, without keys and tokens."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "log.txt"
        self._handler: _CountingHandler | None = None
        self._closed = ""

    @property
    def problem(self) -> str:
        """What the file lacks, in a few words; '' when it has everything."""
        missing = self._handler.missing if self._handler is not None else 0
        return self._closed or (f"{missing} lines could not be written" if missing else "")

    def open(self) -> None:
        try:  # a log that cannot be written costs itself alone
            handler = _CountingHandler(self._path, mode="w", encoding="utf-8")
        except OSError as error:
            self._closed = f"it could not be opened: {error.strerror or error}"
            log.warning("log.txt: %s", self._closed)
            return
        handler.setFormatter(_Redacted("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
        self._handler = handler
        for name in ("cogexp", "diffusers", "transformers", "py.warnings"):
            logging.getLogger(name).addHandler(handler)

    def close(self) -> None:
        if self._handler is None:
            return
        for name in ("cogexp", "diffusers", "transformers", "py.warnings"):
            logging.getLogger(name).removeHandler(self._handler)
        with suppress(OSError):  # what it still held does not fit on the disk
            self._handler.close()


class _CountingHandler(logging.FileHandler):
    """A log file that counts the lines that it could not take."""

    missing = 0

    def handleError(self, record: logging.LogRecord) -> None:
        self.missing += 1


class _Redacted(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return provenance.redact(super().format(record))
