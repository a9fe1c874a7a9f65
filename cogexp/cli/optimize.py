"""`optimize`: Optuna looks for the best setting, under the same words as `pick`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep

from cogexp import record as records
from cogexp.build import Request, build
from cogexp.cli import compose, decision
from cogexp.cli.overrides import parse_override
from cogexp.cli.runs import preflight_problem, show_log_lines
from cogexp.cli.words import parse_words
from cogexp.launch.execute import execute, run_folder
from cogexp.metrics.names import resolve_names
from cogexp.record import Record
from cogexp.spec import SpecError, check_range
from cogexp.study import manifest, search, study_of, trials
from cogexp.study.query import DEFAULT_OBJECTIVE, KEYS, ROW_COLUMNS, Query, read_query
from cogexp.study.search import Dimension, Value, Verdict
from cogexp.system import interrupts
from cogexp.terminal import Progress, for_stderr, number

OWN = ("trials", "storage")
REPEATED = ("prompt", "seed")  # averaged over, as in pick, and not searched
COSTS = ("seconds", "peak_allocated_gib", "peak_reserved_gib", "rss_gib")
TRIALS = 20


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A search in words: what is wanted, what is searched, and the words that all its runs share."""

    query: Query
    pick: tuple[str, ...]
    trials: int
    storage: str | None
    dimensions: tuple[Dimension, ...]
    fixed: tuple[str, ...]

    @property
    def objective(self) -> str:
        """The metric or cost that is searched for."""
        return self.query.objective or DEFAULT_OBJECTIVE

    def jobs(self, values: dict[str, Value]) -> list[Request]:
        """The runs of one setting: every prompt and seed."""
        words = [*self.fixed, *(f"{name}={value}" for name, value in values.items())]
        return [build(job) for job in compose.compose_jobs(parse_words(["-m", *words]))]


def command(argv: list[str]) -> int:
    """0 when a setting that meets every constraint was found, 1 when none was, 2 for a wrong request."""
    if find_spec("optuna") is None:
        raise SpecError("optimize needs Optuna, which is not installed; pip install 'cogexp[optuna]'")
    asked = read(argv)
    first = asked.jobs({dimension.name: _any(dimension) for dimension in asked.dimensions})
    settings = first[0].settings
    _check_objective(asked, first[0])
    name = settings.study or "optimize"
    show_log_lines(settings.debug)
    storage = asked.storage or storage_of(settings.outputs, name)
    words = " ".join(sorted((*asked.pick, *asked.fixed, *map(str, asked.dimensions))))
    found = trials.open_search(
        name, asked.dimensions, asked.query, storage=storage, asked=words, trials=asked.trials
    )
    interrupts.install()
    progress = for_stderr()
    if before := trials.finished(found):
        progress.say(f"study {name}: {before} of {asked.trials} trials were done before")
    while (done := trials.finished(found)) < asked.trials:
        values, verdict = trials.step(
            found, asked.dimensions, lambda values: _evaluate(asked, values, name, progress), storage
        )
        progress.say(f"[{done + 1}/{asked.trials}] {_said(values)}: {_judged(verdict, asked.objective)}")
    best = trials.best(found)
    decision.conclude(settings.outputs, name, progress)
    if best is None:
        print(f"no setting of {asked.trials} meets every constraint")
        return 1
    value = f"{asked.objective} {number(best.value)}"
    print(f"best of {asked.trials} trials: {_said(best.user_attrs['values'])} ({value})")
    return 0


def read(argv: list[str]) -> Asked:
    """The words of a search.

    Raises:
        SpecError: naming what is wrong with them.
    """
    own = {word.partition("=")[0]: word.partition("=")[2] for word in argv if word.partition("=")[0] in OWN}
    pick = [word for word in argv if word.partition("=")[0] in KEYS and not word.startswith("study=")]
    rest = [word for word in argv if word.partition("=")[0] not in OWN and word not in pick]
    query = read_query(pick)
    for condition in query.where:
        if condition.name in ROW_COLUMNS:
            raise SpecError(
                f"where of optimize must be about results, got {condition}; nearest: {condition.name}=..."
            )
    count = own.get("trials", str(TRIALS))
    if not count.isdigit():
        raise SpecError(f"trials must be a whole number, got {count!r}; nearest: {TRIALS}")
    check_range("trials", int(count), 1, 100_000)
    dimensions, fixed = [], []
    for word in parse_words(["-m", *rest]).overrides:
        override = parse_override(word)
        if override.is_sweep_override() and override.key_or_group not in REPEATED:
            dimensions.append(dimension_of(override))
        else:
            fixed.append(word)
    if not dimensions:
        raise SpecError(
            "optimize needs an axis with several values, got none; "
            "for example: sampler.steps='range(10,51,10)' or sampler.guidance='interval(1.0,12.0)'"
        )
    return Asked(
        query=query,
        pick=tuple(pick),
        trials=int(count),
        storage=own.get("storage"),
        dimensions=tuple(dimensions),
        fixed=tuple(fixed),
    )


def dimension_of(override: Override) -> Dimension:
    """An axis in Hydra's sweep grammar: a,b,c or choice(), range(), interval(), tag(log, interval())."""
    name, sweep = override.key_or_group, override.value()
    if isinstance(sweep, ChoiceSweep):
        return Dimension(name=name, choices=tuple(override.sweep_string_iterator()))
    if isinstance(sweep, RangeSweep):
        ends = [sweep.start, sweep.stop, sweep.step]
        whole = all(isinstance(end, int) for end in ends)
        # Hydra's stop is exclusive, Optuna's high is not.
        low, stop, step = (float(end or 0) for end in ends)
        count = max(int(-(-(stop - low) // step)), 1)
        return Dimension(name=name, low=low, high=low + (count - 1) * step, step=step, whole=whole)
    if isinstance(sweep, IntervalSweep) and sweep.start is not None and sweep.end is not None:
        whole = isinstance(sweep.start, int) and isinstance(sweep.end, int)
        if sweep.start >= sweep.end:
            raise SpecError(f"{name} must be an interval from low to high, got {sweep.start} and {sweep.end}")
        log = "log" in sweep.tags
        return Dimension(name=name, low=float(sweep.start), high=float(sweep.end), whole=whole, log=log)
    raise SpecError(f"{name} must be a choice, range or interval, got {override.input_line!r}")


def _any(dimension: Dimension) -> Value:
    values = dimension.values
    return values[0] if values else dimension.low


def _check_objective(asked: Asked, request: Request) -> None:
    bare = asked.objective.rpartition("/")[2]
    metrics = resolve_names("all")
    if bare not in (*metrics, *COSTS):
        raise SpecError(
            f"{'maximize' if asked.query.maximize else 'minimize'} must be one of "
            f"{', '.join((*metrics, *COSTS))}, got {asked.objective!r}"
        )
    if bare in metrics and bare not in request.spec.metrics.names:
        raise SpecError(f"{bare} is not among the metrics of these runs; nearest: metrics=default")


def _evaluate(asked: Asked, values: dict[str, Value], study: str, progress: Progress) -> Verdict:
    """Run the setting on its prompts and seeds, as long as it can still meet what every run must."""
    try:
        jobs = [replace(job, settings=replace(job.settings, study=study)) for job in asked.jobs(values)]
    except SpecError as error:
        return Verdict(state="failed", reason=str(error))
    if problem := preflight_problem(jobs[0], asked.query.max_vram_gib):
        return Verdict(state="pruned", reason=problem)
    outputs = jobs[0].settings.outputs
    listed = manifest.Manifest(study=study, runs=tuple(job.spec.run_id for job in jobs), pick=asked.pick)
    manifest.write(outputs, listed)
    made: list[Record] = []
    for job in jobs:
        execute(job, progress)
        made.append(records.read(run_folder(job), per_frame=False))
        runs = study_of(made)
        if made[-1].status == "ok" and (why := search.broken_for_good(runs, asked.query)):
            return Verdict(state="pruned", reason=why)
        if made[-1].status != "ok":
            break
    return search.judge(study_of(made), asked.query, asked.objective)


def _said(values: dict[str, Value]) -> str:
    return " ".join(f"{name}={value}" for name, value in values.items())


def _judged(verdict: Verdict, objective: str) -> str:
    if verdict.state != "done":
        return f"{verdict.state}, {verdict.reason}"
    broken = [name for name, amount in verdict.violations.items() if amount > 0]
    text = f"{objective} {number(verdict.value)}"
    return f"{text}, not allowed: {', '.join(broken)}" if broken else text


def storage_of(outputs: Path, study: str) -> Path:
    """Where a search is kept unless storage= says otherwise."""
    return manifest.file_of(outputs, study).with_suffix(".optuna")
