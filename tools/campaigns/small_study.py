"""The files of a small study, made without a model: what campaigns damage and commands then read."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from cogexp import record as records
from cogexp.record import Record
from cogexp.spec import ModelSpec, PromptSpec, ResolutionSpec, RunSpec, SamplerSpec, UpscalerSpec

STUDY = "study of wolves"


def make_base(folder: Path) -> dict[str, bytes]:
    """The files of a small study, by their paths below outputs/."""
    outputs = folder / "base"
    shutil.rmtree(outputs, ignore_errors=True)
    clip = _clip(folder / "clip.mp4")
    specs = [spec_of(upscaler, seed) for upscaler in ("none", "lanczos") for seed in (0, 1)]
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


def spec_of(upscaler: str, seed: int) -> RunSpec:
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
    found = search(outputs)
    for _ in range(2):
        trial = found.ask()
        trial.set_user_attr("values", {"x": trial.suggest_float("x", 0, 1)})
        trial.set_user_attr("ended", True)
        found.tell(trial, 1.0)
    found.ask()


def search(outputs: Path) -> Any:
    from cogexp.study.query import Query
    from cogexp.study.search import Dimension
    from cogexp.study.trials import open_search

    dimensions = [Dimension(name="x", low=0.0, high=1.0)]
    storage = outputs / "studies" / "search.optuna"
    return open_search("search", dimensions, Query(), storage=storage, asked="x", trials=5)
