"""Damaged records, manifests, journals, measurements, configs and checkpoints through every command that reads.

No traceback, no hang, nothing written or embedded from outside the outputs folder, no secret, no code; and
the records that were left alone are still there.
"""

# ruff: noqa: E501  (lists of hostile values read better in rows)
from __future__ import annotations

import base64
import json
import random
import re
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cogexp import record as records
from cogexp.__main__ import main as cogexp_main
from cogexp.record import Record
from cogexp.spec import ModelSpec, PromptSpec, ResolutionSpec, RunSpec, SamplerSpec, SpecError, UpscalerSpec
from tools.campaigns import harness
from tools.campaigns.damage import HOSTILE, damage
from tools.campaigns.inprocess import CANARY, call, working_in

OUTSIDE = b"bytes of somebody else's file, which no report may hold " * 4
STUDY = "study of wolves"
_base: dict[str, bytes] = {}
_hit: list[str] = []  # what the attempt before damaged


@dataclass(frozen=True, kw_only=True)
class Reader:
    """A command of those that read, and how often it is drawn."""

    name: str
    work: Callable[[Path], int]
    weight: float = 1.0


def make_base(folder: Path) -> dict[str, bytes]:
    """The files of a small study, by their paths below outputs/."""
    outputs = folder / "base"
    shutil.rmtree(outputs, ignore_errors=True)
    clip = _clip(folder / "clip.mp4")
    specs = [_spec(upscaler, seed) for upscaler in ("none", "lanczos") for seed in (0, 1)]
    for spec in specs:
        home = outputs / "runs" / spec.run_id
        records.write(_record(spec), home)
        (home / "native.mp4").write_bytes(clip)
        (home / "config.yaml").write_text(_config(spec), encoding="utf-8")
        (home / "log.txt").write_text("a log\n", encoding="utf-8")
    from cogexp.study import manifest

    listed = manifest.Manifest(
        study=STUDY, runs=tuple(spec.run_id for spec in specs), pick=("minimize=tear",)
    )
    manifest.write(outputs, listed)
    _bench(outputs, specs[0])
    _checkpoint(outputs / "checkpoint")
    (outputs / "reports").mkdir()
    (outputs / "reports" / "wandb-saved.json").write_text('{"workspace/me/cogexp/": "https://wandb.ai/x"}')
    _journal(outputs)
    return {str(f.relative_to(outputs)): f.read_bytes() for f in sorted(outputs.rglob("*")) if f.is_file()}


def _spec(upscaler: str, seed: int) -> RunSpec:
    return RunSpec(
        model=ModelSpec(name="nano"),
        resolution=ResolutionSpec(width=64, height=64, frames=9, fps=8),
        sampler=SamplerSpec(scheduler="ddim", steps=4, guidance=6.0),
        upscaler=UpscalerSpec(name=upscaler, scale=1 if upscaler == "none" else 2),
        prompt=PromptSpec(name="wolves", text="two wolves in the snow"),
        seed=seed,
    )


def _record(spec: RunSpec) -> Record:
    finding = {"level": "none", "kind": None, "score": 0.1, "rows": [1, 2]}
    stage = {"seconds": 2.0 + spec.seed, "cached": False, "peak_allocated_gib": None, "rss_gib": 1.0}
    sides = ["native"] if spec.upscaler.name == "none" else ["native", "upscaled"]
    return Record(
        run_id=spec.run_id,
        status="ok",
        spec=spec.to_dict(),
        resolved={"metrics.clip_score": "net-a"},
        scores={f"{side}/{name}": 20.0 + spec.seed for side in sides for name in ("clip_score", "tear")},
        skipped={"native/lpips_adjacent": "no weights"},
        artifacts={side: {**finding, "detectors": {"shear": finding}} for side in sides},
        stages={"load": stage, "denoise": stage},
        files={"native": "native.mp4"},
        device={"type": "cpu"},
        versions={"torch": "2"},
        started="2026-11-22T00:00:00.000+00:00",
        finished="2026-11-22T00:01:00.000+00:00",
        study=STUDY,
        per_frame={"native/clip_score": [1.0, None, 2.0]},
    )


def _clip(file: Path) -> bytes:
    import av
    import numpy as np

    with av.open(str(file), "w") as container:
        stream = container.add_stream("libx264", rate=8)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for index in range(3):
            pixels = np.full((64, 64, 3), 40 * index, dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return file.read_bytes()


def _config(spec: RunSpec) -> str:
    import yaml

    from cogexp.attempt import config_of

    return yaml.safe_dump(config_of(spec), sort_keys=False)


def _bench(outputs: Path, spec: RunSpec) -> None:
    from cogexp.bench import Bench, write

    measured = Bench(
        bench_id="a", status="ok", spec=spec.to_dict(), steps=2, step_seconds=[1.0, 0.5], encode_seconds=1.0,
        decode_seconds=2.0, memory={"denoise": 1.0}, device={"type": "cpu"}, started="2026-11-22T00:00:00",
    )  # fmt: skip
    (outputs / "bench" / "a").mkdir(parents=True)
    write(measured, outputs / "bench" / "a")


def _checkpoint(folder: Path) -> None:
    index = {"_class_name": "CogVideoXPipeline", "transformer": ["diffusers", "CogVideoXTransformer3DModel"]}
    for part in ("transformer", "vae", "text_encoder", "tokenizer"):
        (folder / part).mkdir(parents=True)
        (folder / part / "config.json").write_text(json.dumps({"num_layers": 2}))
        header = b'{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
        shard = len(header).to_bytes(8, "little") + header + b"\x00" * 4
        (folder / part / "model.safetensors").write_bytes(shard)
        names = {"weight_map": {"x": "model.safetensors"}}
        (folder / part / "model.safetensors.index.json").write_text(json.dumps(names))
    (folder / "model_index.json").write_text(json.dumps(index))


def _journal(outputs: Path) -> None:
    found = _search(outputs)
    for _ in range(2):
        trial = found.ask()
        trial.set_user_attr("values", {"x": trial.suggest_float("x", 0, 1)})
        trial.set_user_attr("ended", True)
        found.tell(trial, 1.0)
    found.ask()


def _search(outputs: Path) -> Any:
    from cogexp.study.query import Query
    from cogexp.study.search import Dimension
    from cogexp.study.trials import open_search

    dimensions = [Dimension(name="x", low=0.0, high=1.0)]
    storage = outputs / "studies" / "search.optuna"
    return open_search("search", dimensions, Query(), storage=storage, asked="x", trials=5)


def _command(*words: str) -> Callable[[Path], int]:
    return lambda outputs: cogexp_main([word.replace("OUTPUTS", str(outputs)) for word in words])


def _load(outputs: Path) -> int:
    """The library's face, every row looked at; the runs that nobody touched must all be there."""
    from cogexp.study import load
    from cogexp.study.rows import flat
    from cogexp.tracking import payload
    from cogexp.tracking.study_table import table_of

    try:
        study = load(outputs)
    except SpecError:
        return 2
    for row in study.rows:
        flat(row)
    found = [
        (record, outputs / "runs" / record.run_id) for record in records.load_many(outputs, per_frame=True)
    ]
    for record, _ in found:
        payload.numbers(record), payload.texts(record), payload.curves(record), payload.media(record)
        payload.after(record), payload.goals(record)
    table_of("all", found)
    print(json.dumps(sorted(row.run_id for row in study.rows)))
    return 0


def _forecast(outputs: Path) -> int:
    """What a sweep does before it goes on where it stopped, and the tables it ends with."""
    from cogexp.cli import forecast as shown
    from cogexp.cli import tables
    from cogexp.plan import measured
    from cogexp.study.forecast import forecast

    specs = [_spec(upscaler, seed) for upscaler in ("none", "lanczos") for seed in (0, 1, 2)]
    shown.show(forecast(specs, outputs, device="cpu"), STUDY)
    list(measured._runs(outputs)), list(measured._benches(outputs))
    rows = [(spec.run_id, records.read_if_whole(outputs / "runs" / spec.run_id), True) for spec in specs]
    tables.show_sweep(rows)
    for _, record, _ in rows:
        if record is not None:
            tables.show_run(record, outputs, found=True)
    return 0


def _resume_search(outputs: Path) -> int:
    from cogexp.study import trials

    found = _search(outputs)
    trials.finished(found), trials.best(found)
    return 0


def _checkpoints(outputs: Path) -> int:
    from cogexp import catalog, choose
    from cogexp.engine import checkpoints

    folder = outputs / "checkpoint"
    checkpoints.incomplete(folder)
    choose.require_checkpoint(catalog.VARIANTS["cogvideox-2b"], str(folder))
    return 0


def _conclude(outputs: Path) -> int:
    """The end of a resumed study: its manifest's own words, its decision and its report."""
    from cogexp.cli import decision
    from cogexp.terminal import Silent
    from cogexp.tracking import dashboard_saved

    dashboard_saved.addresses(outputs / "reports")
    decision.conclude(outputs, STUDY, Silent())
    return 0


def _config_path(outputs: Path) -> int:
    """--config-path of a run's folder, as far as the checked request."""
    from cogexp.build import build
    from cogexp.cli import compose

    home = sorted((outputs / "runs").glob("*"))[0]
    print(build(compose.compose_jobs(compose.parse_words(["--config-path", str(home)]))[0]))
    return 0


def _as_main(work: Callable[[Path], int]) -> Callable[[Path], int]:
    """A library function with the handling of wrong requests that the command line has."""

    def wrapped(outputs: Path) -> int:
        try:
            return work(outputs)
        except SpecError as error:
            print(f"cogexp: {error}", file=sys.stderr)
            return 2

    return wrapped


READERS = (
    Reader(name="load", work=_load, weight=6),
    Reader(name="pick", work=_command("pick", "OUTPUTS"), weight=3),
    Reader(
        name="pick json",
        work=_command("pick", "OUTPUTS", "minimize=tear", "--json", f"study={STUDY}"),
        weight=3,
    ),
    Reader(name="pick markdown", work=_command("pick", "OUTPUTS", "where=tear<99", "--markdown"), weight=2),
    Reader(name="export", work=_command("export", "OUTPUTS", "--to", "csv"), weight=3),
    Reader(name="report", work=_command("report", "OUTPUTS")),
    Reader(name="report embedded", work=_command("report", "OUTPUTS", "--embed", f"study={STUDY}")),
    Reader(name="dashboard", work=_command("dashboard", "OUTPUTS", "--dry-run"), weight=0.3),
    Reader(name="bench", work=_command("bench", "from=OUTPUTS/bench"), weight=1.5),
    Reader(name="forecast", work=_forecast, weight=4),
    Reader(name="search", work=_as_main(_resume_search), weight=2),
    Reader(name="checkpoint", work=_as_main(_checkpoints), weight=3),
    Reader(name="conclude", work=_as_main(_conclude), weight=0.7),
    Reader(name="config", work=_as_main(_config_path), weight=0.5),
    Reader(name="explain", work=_command("explain", "nano", "outputs=OUTPUTS"), weight=0.2),
    Reader(
        name="explain by path", work=_command("explain", "OUTPUTS/runs/RUN", "outputs=OUTPUTS"), weight=0.2
    ),
)
# Which files a reader looks at; else all of them.
LOOKS_AT = {"bench": "bench/", "search": "studies/search", "checkpoint": "checkpoint/", "config": "runs/"}


def prepare(folder: Path) -> None:
    """The files of the study in memory, and what lies outside of it."""
    _base.clear()
    _hit.clear()
    shutil.rmtree(folder / "outputs", ignore_errors=True)
    with working_in(folder):
        _base.update(make_base(folder))
    shutil.rmtree(folder / "base")
    outside = folder / "outside"
    shutil.rmtree(outside, ignore_errors=True)
    (outside / "folder").mkdir(parents=True)
    (outside / "secret.mp4").write_bytes(OUTSIDE)
    (outside / "folder" / "native.mp4").write_bytes(OUTSIDE)
    (outside / "record.json").write_bytes(OUTSIDE)


def attempt(tally: harness.Tally, rng: random.Random, folder: Path, index: int) -> None:
    """One to three files damaged, one command that reads them."""
    outputs = folder / "outputs"
    _restore(outputs, _hit or list(_base))
    reader = rng.choices(READERS, [one.weight for one in READERS])[0]
    names = [name for name in _base if name.startswith(LOOKS_AT.get(reader.name, ""))]
    if reader.name not in LOOKS_AT and rng.random() < 0.7:
        names = [name for name in names if name.endswith("record.json")]
    hit = rng.sample(names, min(len(names), rng.choice((1, 1, 1, 2, 3))))
    _hit[:] = hit
    done = [f"{name}: {_damaged(outputs, name, rng)}" for name in hit]
    before = _state(folder)
    with working_in(folder):
        outcome = call(lambda words: reader.work(outputs), [])
    shown = f"{reader.name}: {'; '.join(done)}"
    for fault in outcome.faults():
        tally.fault(fault, shown, outcome.stderr)
    for fault in _leaks(outcome, outputs):
        tally.fault(fault, shown, outcome.stderr)
    if _state(folder) != before or (folder / "pwned").exists():
        tally.fault("written outside", shown, outcome.stderr)
    if reader.name == "load" and (gone := _untouched(hit) - set(_listed(outcome.stdout))):
        tally.fault("another record left out", f"{shown}: {sorted(gone)}", outcome.stderr)
    if outcome.code == 2 and len(outcome.stderr.strip().splitlines()) > 3 + len(hit):
        tally.fault("a long refusal", shown, outcome.stderr)
    tally.note(f"{reader.name}: exit {outcome.code}")


def _restore(outputs: Path, names: Sequence[str]) -> None:
    """Put the files of these names back, and take away what commands wrote."""
    made = [*(outputs / "reports").glob("*"), *(outputs / "studies").glob("*.lock")]
    for file in (*(outputs / name for name in names), *made):
        if file.parent.is_symlink():
            file.parent.unlink()
        if file.is_dir() and not file.is_symlink():
            shutil.rmtree(file)
        else:
            file.unlink(missing_ok=True)
    runs = {str(Path(name).parent) for name in names}
    changed = ("reports/", "studies/")
    for name, content in _base.items():
        if name in names or name.startswith(changed) or str(Path(name).parent) in runs:
            (outputs / name).parent.mkdir(parents=True, exist_ok=True)
            (outputs / name).write_bytes(content)


def _damaged(outputs: Path, name: str, rng: random.Random) -> str:
    """One file damaged; now and then the whole folder of a run is a link."""
    file = outputs / name
    if name.startswith("runs/") and rng.random() < 0.03 and not file.parent.is_symlink():
        shutil.rmtree(file.parent)
        file.parent.symlink_to(outputs.parent / "outside" / "folder")
        return "its folder is a link"
    return damage(file, rng) if file.parent.is_dir() and not file.parent.is_symlink() else "gone before"


def _state(folder: Path) -> list[tuple[str, int, int]]:
    """Names, sizes and times of all that lies beside the outputs."""
    return sorted(
        (str(f.relative_to(folder)), f.lstat().st_size, f.lstat().st_mtime_ns)
        for f in (*folder.iterdir(), *(folder / "outside").rglob("*"))
        if f.name != "outputs"
    )


def _leaks(outcome: harness.Outcome, outputs: Path) -> list[str]:
    """What came out that must not: the secret, a stranger's bytes, markup, what steers a terminal."""
    said = outcome.stdout + outcome.stderr
    faults = ["steering output"] if re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", said) else []
    made = [f for f in (outputs / "reports").glob("*") if f.is_file() and f.name != "wandb-saved.json"]
    pages = "".join(f.read_text(encoding="utf-8", errors="replace") for f in made)
    for text in (said, pages):
        if CANARY in text:
            faults.append("secret")
        if OUTSIDE[:40].decode() in text or base64.b64encode(OUTSIDE[:39]).decode() in text:
            faults.append("a stranger's bytes")
    if HOSTILE[:25] in pages and any(f.suffix == ".html" for f in made):
        faults.append("markup")
    return faults


def _untouched(hit: Sequence[str]) -> set[str]:
    """Runs whose folders were left alone."""
    runs = {name.split("/")[1] for name in _base if name.startswith("runs/")}
    return runs - {name.split("/")[1] for name in hit if name.startswith("runs/")}


def _listed(said: str) -> list[str]:
    lines = [line for line in said.splitlines() if line.startswith("[")]
    return list(json.loads(lines[-1])) if lines else []


def main(arguments: Sequence[str] | None = None) -> harness.Tally:
    """The campaign."""
    return harness.main(
        "mutations", attempt, count=20_000, description=__doc__, prepare=prepare, arguments=arguments
    )


if __name__ == "__main__":
    sys.exit(bool(main().faults))
