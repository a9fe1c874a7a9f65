"""What a setting costs on this machine, measured: full-size random weights, or the embedded model on a CPU.

`bench` encodes, denoises a few steps and decodes, and compares the peaks with the plan. Its result is data
whatever happens: a setting that runs out of memory says so and how far it came.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from cogexp import provenance
from cogexp import record as records
from cogexp.plan import Plan, plan
from cogexp.plan.preflight import check_host
from cogexp.spec import RunSpec, SpecError, digest
from cogexp.storage import record_schema, run_error
from cogexp.storage.foreign_data import ForeignDataError, read_json
from cogexp.terminal import Progress, Silent
from cogexp.whole import write_whole

if TYPE_CHECKING:
    from cogexp.engine.meter import Meter

log = logging.getLogger("cogexp")

FILE = "bench.json"
WARM = 1  # steps that are not timed: kernels are chosen, graphs compiled


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What one setting took. `step_seconds` are those of every step, the cold one first.

    Seconds are wall time on a GPU and CPU time of the process on a CPU, where others may be at work, too.
    `memory` is the peak by stage in GiB: of what torch allocated on the GPU, on a CPU of the process's
    resident memory. `planned` is the same by the plan, `plan_error` its relative error at the peak (0.05: 5 %
    more).
    """

    bench_id: str
    status: str
    spec: dict[str, Any]
    steps: int
    error: dict[str, Any] | None = None
    step_seconds: list[float] = field(default_factory=list)
    encode_seconds: float | None = None
    decode_seconds: float | None = None
    memory: dict[str, float] = field(default_factory=dict)
    reserved: dict[str, float] = field(default_factory=dict)
    planned: dict[str, float] = field(default_factory=dict)
    plan_error: float | None = None
    resolved: dict[str, str] = field(default_factory=dict)
    device: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    git: dict[str, Any] | None = None
    started: str = ""
    finished: str = ""

    @property
    def step(self) -> float | None:
        """Median seconds of a warm step; with a step cache, where steps differ, the mean."""
        warm = self.step_seconds[WARM:]
        if not warm:
            return None
        cached = self.spec["optimization"]["cache"] != "none"
        return sum(warm) / len(warm) if cached else median(warm)

    @property
    def clip_seconds(self) -> float | None:
        """A whole clip at the spec's number of steps: encoding, steps, decoding."""
        if self.step is None or self.encode_seconds is None or self.decode_seconds is None:
            return None
        return self.encode_seconds + self.step * self.spec["sampler"]["steps"] + self.decode_seconds

    @property
    def peak(self) -> float | None:
        """The largest stage."""
        return max(self.memory.values(), default=None)

    def to_dict(self) -> dict[str, Any]:
        """What bench.json holds and `bench --json` prints."""
        derived = {"step": self.step, "clip_seconds": self.clip_seconds, "peak_gib": self.peak}
        return {**asdict(self), **derived}


def bench(
    spec: RunSpec,
    out: Path | str = "outputs",
    *,
    device: str,
    timed: int = 3,
    force: bool = False,
    resolved: dict[str, str] | None = None,
    progress: Progress | None = None,
    preflight: str = "refuse",
) -> Bench:
    """Measure `spec` with `timed` warm steps, or return the finished measurement of that kind below `out`.

    A step cache is measured over all the steps of the spec, because it skips some and not others.

    Raises:
        SpecError: too little main memory, and `preflight` is "refuse".
    """
    from cogexp.attempt import describe_device

    on = describe_device(device)
    identity = [spec_key(spec), device, on.get("gpu") or on["cpu"], timed, provenance.versions().get("torch")]
    bench_id = f"{spec.model.name}-{spec.resolution.name}-{digest(identity)[:8]}"
    folder = Path(out) / "bench" / bench_id
    if not force and (kept := read(folder)) is not None:
        return kept
    # A card that is too small is an answer; a machine that kills the process gives none.
    if preflight == "refuse" and (found := check_host(spec, device)) and found.impossible:
        raise SpecError(f"{found.text}; preflight=warn measures it all the same")
    planned = plan(spec, device=device)
    steps = spec.sampler.steps if spec.optimization.cache != "none" else min(spec.sampler.steps, timed + WARM)
    run = _Run(spec, device=device, steps=steps, progress=progress or Silent())
    started = records.now()
    error = run.measure()
    memory = run.peaks("peak_allocated_gib" if device != "cpu" else "rss_gib")
    expected = _planned(planned, device)
    measured = Bench(
        bench_id=bench_id,
        status="ok" if error is None else run_error.status_of(error),
        error=None if error is None else run_error.describe_error(error, run.meter.current),
        spec=spec.to_dict(),
        steps=steps,
        step_seconds=run.step_seconds,
        encode_seconds=run.spent.get("encode"),
        decode_seconds=run.spent.get("decode"),
        memory=memory,
        reserved=run.peaks("peak_reserved_gib") if device != "cpu" else {},
        planned=expected,
        plan_error=max(expected.values()) / max(memory.values()) - 1 if memory and error is None else None,
        resolved={**(resolved or {}), **run.notes},
        device=on,
        versions=provenance.versions(),
        git=provenance.git_state(Path(__file__).parent),
        started=started,
        finished=records.now(),
    )
    write(measured, folder)
    return measured


def spec_key(spec: RunSpec) -> dict[str, Any]:
    """What of a spec decides its cost."""
    plain = spec.to_dict()
    model = {key: value for key, value in plain["model"].items() if key in ("name", "dtype")}
    kept = {key: plain[key] for key in ("resolution", "sampler", "optimization")}
    return {"model": model, **kept}


def write(measured: Bench, folder: Path) -> None:
    """bench.json, whole or not at all."""
    write_whole(folder / FILE, json.dumps(measured.to_dict(), indent=1, allow_nan=False))


def read(folder: Path) -> Bench | None:
    """The measurement in `folder`: one that ended, or ran out of memory; else None."""
    try:
        plain = read_json(folder / FILE)
        if problem := record_schema.bench_problem(plain):
            raise ForeignDataError(problem)
        plain = record_schema.without_controls(plain)
        kept = Bench(**{key: plain[key] for key in plain if key not in ("step", "clip_seconds", "peak_gib")})
        RunSpec.from_dict(kept.spec)
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        log.warning("measurement left out: %s: %s", folder / FILE, error)
        return None
    return kept if kept.status in ("ok", "oom") else None


class _Run:
    """One measurement under way."""

    def __init__(self, spec: RunSpec, *, device: str, steps: int, progress: Progress) -> None:
        from cogexp.engine.meter import Meter

        self.device, self.on_gpu, self.progress = device, device != "cpu", progress
        # Fewer steps of the same kind: what a step costs does not depend on how many there are.
        self.short = replace(spec, sampler=replace(spec.sampler, steps=steps))
        self.meter: Meter = Meter(device)
        # On a CPU others may be at work: what counts is what this process spent.
        self.clock = time.process_time if device == "cpu" else time.perf_counter
        self.spent: dict[str, float] = {}
        self.step_seconds: list[float] = []
        self.notes: dict[str, str] = {}

    def measure(self) -> BaseException | None:
        """Run the stages; the error that ended them, if any. Nothing is left in memory."""
        from cogexp.engine.models import MODELS, check_device
        from cogexp.engine.optimize import optimization_notes

        try:
            check_device(self.device)
            MODELS.free()
            self.notes |= optimization_notes(self.short, self.device)
            self._stages()
        except Exception as error:
            log.debug("traceback", exc_info=error)
            return error
        finally:
            self.notes |= MODELS.notes(self.short, self.device)
            MODELS.free()
        return None

    def _stages(self) -> None:
        from cogexp.engine import generate, magcache
        from cogexp.engine.models import MODELS
        from cogexp.engine.offload import leaves

        spec, device, total = self.short, self.device, self.short.sampler.steps
        self._stage("load", lambda: MODELS.part("text_encoder", spec, device))
        if self.on_gpu and not leaves("text_encoder", spec.optimization, device):
            self._stage("load", lambda: generate.encode(spec, device))  # kernels are chosen, order is learned
        embeddings = self._stage("encode", lambda: generate.encode(spec, device))
        self._stage("load", lambda: MODELS.part("transformer", spec, device))
        ratios = None
        if spec.optimization.cache == "magcache":
            fixed = replace(spec, prompt=replace(spec.prompt, text=magcache.CALIBRATION_TEXT, negative=""))
            texts = generate.encode(fixed, device)
            ratios = self._stage("load", lambda: generate.calibrate(fixed, texts, device, lambda *_: None))
        with self.progress.stage("denoise", total) as advance:
            latents = self._stage(
                "denoise",
                lambda: generate.denoise(spec, embeddings, device, self._clock(advance), ratios),
            )
        self._stage("load", lambda: MODELS.part("vae", spec, device))
        if self.on_gpu:
            # The first group of latent frames and one of the others.
            self._stage("load", lambda: list(generate.decode(self._brief(5), latents[:, -5:], device)))
        frames = self._stage("decode", lambda: sum(map(len, generate.decode(spec, latents, device))))
        assert frames == spec.resolution.frames

    def _brief(self, latent_frames: int) -> RunSpec:
        frames = min(4 * latent_frames - 3, self.short.resolution.frames)
        return replace(self.short, resolution=replace(self.short.resolution, frames=frames))

    def _stage(self, name: str, work: Callable[[], Any]) -> Any:
        with self.meter(name):
            started = self.clock()
            made = work()
            if self.on_gpu:
                import torch

                torch.cuda.synchronize(self.device)
                if name == "load":
                    torch.cuda.empty_cache()  # what loading needed and gave back is not the next stage's
            self.spent[name] = self.spent.get(name, 0.0) + self.clock() - started
            return made

    def _clock(self, advance: Callable[[int], None]) -> Callable[[int, int], None]:
        """A step callback that waits for the device and takes the time."""
        import torch

        last = self.clock()

        def step_done(done: int, _: int) -> None:
            nonlocal last
            if self.on_gpu:
                torch.cuda.synchronize(self.device)
            now = self.clock()
            self.step_seconds.append(now - last)
            last = now
            advance(done)

        return step_done

    def peaks(self, kind: str) -> dict[str, float]:
        """Peaks by stage, without loading."""
        return {name: cost[kind] for name, cost in self.meter.in_order().items() if name != "load"}


def _planned(planned: Plan, device: str) -> dict[str, float]:
    """GiB by stage; on a CPU all that is planned of main memory is one figure."""
    if device == "cpu":
        return {"host": planned.host_gib}
    return {name: stage.peak_allocated_gib for name, stage in planned.stages.items() if name != "upscale"}
