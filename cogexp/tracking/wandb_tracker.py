"""Runs shown in Weights & Biases, opened at the start and filled from the record at the end.

A fault of W&B never hurts a run: each is told once in one line, and the record on disk has everything.
"""

from __future__ import annotations

import atexit
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

from cogexp.record import RECORD_FILE, Record
from cogexp.system.redact import redact
from cogexp.tracking import payload
from cogexp.tracking.guard import Hung, broke_service, line, within
from cogexp.tracking.online import prepare_environment, why_offline
from cogexp.tracking.study_table import StudyTable
from cogexp.tracking.tracker import Tracked
from cogexp.tracking.wandb_log import log_all, log_table

INIT_SECONDS = 10.0
OPEN_SECONDS = 30.0  # the probe, a server that is silent, and then the opening offline
PROGRESS_SECONDS = 5.0
UPLOAD_SECONDS = 20.0  # W&B gives up on uploads then; they stay on disk for `wandb sync`
FINISH_SECONDS = 28.0  # and this is when we stop waiting for W&B itself
TABLE_SECONDS = 300.0  # a study's table holds many clips, and no next run waits for it
RENEW_SECONDS = 3.0
RETRY_SECONDS = 600.0  # a server that failed is not tried again before
TAG_LENGTH = 64


@contextmanager
def redacted_arguments() -> Iterator[None]:
    """The process's words without secrets while W&B copies them into the run's metadata."""
    words = list(sys.argv)
    sys.argv[1:] = [redact(word) for word in words[1:]]
    try:
        yield
    finally:
        sys.argv[:] = words


class WandbTracker:
    """One for all runs of a process; a second run may start before the first is finished."""

    def __init__(
        self, *, mode: str, project: str, entity: str | None, folder: Path, say: Callable[[str], None]
    ) -> None:
        """`mode` is auto, online or offline. Nothing is imported or opened before the first run starts."""
        self._mode, self._project, self._entity = mode, project, entity
        self._folder, self._tell = folder, say
        self._told: set[str] = set()
        self._runs: dict[str, Any] = {}
        self._newest: str | None = None
        self._offline_until = 0.0

    def start(
        self, run_id: str, config: Mapping[str, Any], *, study: str | None, name: str, tags: Sequence[str]
    ) -> None:
        """Open the run online or offline, as the mode and the network allow: in 2 seconds, at worst in 30."""
        plan = _Plan(
            run_id=run_id, config=payload.config(config), study=study, name=name,
            tags=tuple(tag[:TAG_LENGTH] for tag in tags),
        )  # fmt: skip
        self._newest = run_id
        opened = within(OPEN_SECONDS, lambda: self._open(plan))
        _end_in_silence()
        if opened.fault and broke_service(opened.fault):
            self._renew()
            if not isinstance(opened.fault, Hung):  # it died since the last run, and a new one serves
                opened = within(OPEN_SECONDS, lambda: self._open(plan))
                _end_in_silence()
        if opened.fault:
            self._say(f"W&B: not tracked: {line(opened.fault)}; the record on disk has everything")
        else:
            self._runs[run_id] = opened.value

    def progress(self, stage: str, seconds: float) -> None:
        """Show the stage's seconds in the summary of the run started last."""
        run = self._runs.get(self._newest or "")
        if run is not None:
            shown = {"stage": stage, f"stage/{stage}_seconds": seconds}
            fault = within(PROGRESS_SECONDS, lambda: run.summary.update(shown)).fault
            if fault:  # the run stays open: its end tries again
                self._say(f"W&B: {line(fault)}")

    def finish(self, record: Record, folder: Path) -> Tracked:
        """Log the record and its files and close the run, within about 30 seconds, come what may."""
        run = self._runs.pop(record.run_id, None)
        if run is None:
            return Tracked(problem="the run was not opened in W&B")
        mode = "offline" if run.settings.mode == "offline" else "online"
        where = Path(run.settings.sync_dir)
        done = within(FINISH_SECONDS, lambda: log_all(run, record, folder))
        problem = "; ".join(done.value or []) or None
        if done.fault:
            late = isinstance(done.fault, TimeoutError)
            problem = f"the upload took more than {UPLOAD_SECONDS:.0f} s" if late else line(done.fault)
            if broke_service(done.fault):
                self._renew()
        if problem:
            later = f"`wandb sync {where}` uploads it later"
            kept = "the record on disk has everything, and " if (folder / RECORD_FILE).is_file() else ""
            self._say(f"W&B: {problem}; {kept}{later}")
        return Tracked(mode=mode, url=run.url if mode == "online" else None, folder=where, problem=problem)

    def study(self, table: StudyTable) -> Tracked:
        """Show the table as a run of its own, in the study's group, of type 'study'. Bounded in time."""
        plan = _Plan(
            run_id=table.run_id, config={"study": table.name, "runs": len(table.rows)}, study=table.name,
            name=f"study: {table.name}", tags=(), kind="study",
        )  # fmt: skip
        opened = within(OPEN_SECONDS, lambda: self._open(plan))
        _end_in_silence()
        run = opened.value
        if opened.fault or run is None:
            why = line(opened.fault) if opened.fault else "the run was not opened in W&B"
            self._say(f"W&B: the study's table is not tracked: {why}")
            return Tracked(problem=why)
        mode = "offline" if run.settings.mode == "offline" else "online"
        where, url = Path(run.settings.sync_dir), run.url if mode == "online" else None
        fault = within(TABLE_SECONDS + 10, lambda: log_table(run, table)).fault
        problem = line(fault) if fault else None
        if fault and broke_service(fault):
            self._renew()
        if problem:
            self._say(f"W&B: the study's table: {problem}; `wandb sync {where}` uploads it later")
        return Tracked(mode=mode, url=url, folder=where, problem=problem)

    def _open(self, plan: _Plan) -> Any:
        prepare_environment(self._folder)
        import wandb

        wandb.setup(settings=wandb.Settings(silent=True, login_timeout=1))
        reason = None if self._mode == "offline" else self._why_offline(wandb)
        if self._mode != "offline" and reason is None:
            try:
                run = self._init(wandb, "online", plan)
                self._say(f"W&B: {run.url}")
                return run
            except ConnectionError:
                raise  # W&B's own service process, not the server
            except (wandb.Error, TimeoutError, OSError) as error:
                reason = f"the server did not open the run ({line(error)})"
                self._offline_until = monotonic() + RETRY_SECONDS
                if self._runs or wandb.run is not None:
                    raise  # the id stays occupied, and freeing it would end the runs that are open
                wandb.teardown()
                wandb.setup(settings=wandb.Settings(silent=True, login_timeout=1))
        run = self._init(wandb, "offline", plan)
        runs = Path(run.settings.sync_dir).parent / "offline-run-*"
        self._say(f"W&B: offline{f', {redact(reason)}' if reason else ''}; `wandb sync {runs}` uploads later")
        return run

    def _why_offline(self, wandb: Any) -> str | None:
        if monotonic() < self._offline_until:
            return "the server failed a moment ago"
        return why_offline(wandb)

    def _init(self, wandb: Any, mode: str, plan: _Plan) -> Any:
        """Open a run. The console is not captured: that breaks progress bars and uploads unredacted text."""
        self._folder.mkdir(parents=True, exist_ok=True)
        settings = wandb.Settings(
            silent=True,
            mode=mode,
            reinit="create_new",
            init_timeout=INIT_SECONDS,
            finish_timeout=UPLOAD_SECONDS if plan.kind == "run" else TABLE_SECONDS,
            finish_timeout_raises=True,
            login_timeout=1,
            console="off",
            disable_git=True,  # the record has the commit; W&B would add the remote's address and a diff
            disable_code=True,
            disable_job_creation=True,
            # The record has the versions that matter; reading those of all packages took most of the time.
            x_save_requirements=False,
        )
        with redacted_arguments():
            run = wandb.init(
                project=self._project, entity=self._entity, dir=str(self._folder), id=plan.run_id,
                name=plan.name, config={**plan.config, "run_id": plan.run_id}, group=plan.study,
                job_type=plan.kind, tags=plan.tags, settings=settings,
            )  # fmt: skip
        if plan.kind != "run":
            return run
        run.define_metric("frame", hidden=True, summary="none")
        run.define_metric("per_frame/*", step_metric="frame", summary="none")
        run.summary.update({"status": "running"})
        return run

    def _renew(self) -> None:
        """Let go of a service process that is gone or hangs: the next run and the exit must not meet it."""
        import wandb

        self._runs.clear()
        within(RENEW_SECONDS, wandb.teardown)

    def _say(self, line: str) -> None:
        """Tell each thing once: a sweep of fifty runs offline says so one time."""
        if line not in self._told:
            self._told.add(line)
            self._tell(line)


def _end_in_silence() -> None:
    """After W&B has begun a service process: end it by our own hook, which then runs before W&B's."""
    atexit.unregister(_end)
    atexit.register(_end)


def _end() -> None:
    """When the interpreter ends: W&B's own hook ends in a traceback where its service process is gone."""
    wandb = sys.modules.get("wandb")
    # Broad on purpose: everything is on disk by now, and nothing can be reported then.
    with suppress(Exception):
        wandb.teardown()  # type: ignore[union-attr]


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """What a run is opened with."""

    run_id: str
    config: dict[str, Any]
    study: str | None
    name: str
    tags: tuple[str, ...]
    kind: str = "run"
