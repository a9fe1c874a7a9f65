"""Runs of the embedded model torn by default VAE tiling: are they found, and is the decoder named?
python -m tests.metrics.generated OUT [--prompts N] [--seeds N] [--stills N] [--steps N]

Each run goes through `cogexp.run` at 512x288 with vae_tiling=true. Its latents are then decoded whole, and
whole once more from latents rounded to half precision: a torn pair (tiled, whole) and a sound pair (whole,
whole). Of further seeds only the latents are made, and of those the middle frame is decoded. What is there
already is not made again.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from cogexp import build
from cogexp.metrics.artifacts.attribution import Attribution, attribute
from cogexp.metrics.evaluate import auc
from cogexp.record import Record
from cogexp.run import make_latents, run
from cogexp.spec import RunSpec
from cogexp.store import Keys, Store
from cogexp.terminal import Silent
from tests.metrics.latents import decoded

PROMPTS = ("wolves", "count", "crowd", "motion", "night", "pan-left", "pan-right", "texture", "water")


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Latents decoded in tiles and whole, and whole against whole; the run's record where there was one."""

    torn: Attribution
    sound: Attribution
    record: Record | None = None


def text_of(name: str) -> str:
    """The text of conf/prompt/NAME.yaml."""
    import yaml

    file = Path(__file__).parents[2] / "conf" / "prompt" / f"{name}.yaml"
    return str(yaml.safe_load(file.read_text(encoding="utf-8"))["text"])


def spec_of(prompt: str, seed: int, steps: int, tiling: bool = True) -> RunSpec:
    """512x288 on the embedded model, decoded in default tiles unless `tiling` is False."""
    return build(
        {
            "model": {"name": "nano"},
            "device": "cpu",
            "seed": seed,
            "prompt": {"name": prompt, "text": text_of(prompt)},
            "resolution": {"width": 512, "height": 288},
            "sampler": {"steps": steps},
            "optimization": {"vae_tiling": tiling, "lean_vae": True},
            "metrics": {"names": "tear"},
        }
    ).spec


def pair_of(spec: RunSpec, out: Path) -> Pair:
    """Run it (or find it done) and decode its latents again."""
    record = run(spec, out, device="cpu")
    store, keys = Store(out / "store", 20), Keys.of(spec)
    kept, made = store.load("denoise", keys.denoise), store.load("decode", keys.decode)
    assert kept is not None
    assert made is not None
    return compared(kept[0]["latents"].float(), made[0]["frames"].numpy(), record)


def still_of(spec: RunSpec, out: Path) -> Pair:
    """Only its latents, and of them only the middle frame: a tenth of the work."""
    make_latents(spec, out, device="cpu", store_gb=20, progress=Silent())
    kept = Store(out / "store", 20).load("denoise", Keys.of(spec).denoise)
    assert kept is not None
    latents = kept[0]["latents"].float()
    middle = latents[:, latents.shape[1] // 2][:, None]
    return compared(middle, decoded(middle, True))


def compared(latents: Tensor, tiled: np.ndarray, record: Record | None = None) -> Pair:
    """The tiled clip against the whole one, and that against latents rounded to half precision."""
    whole = decoded(latents, False)
    rounded = decoded(latents.half().float(), False)
    plain = latents[0].numpy()
    torn, sound = (attribute(clip, whole, latents=plain) for clip in (tiled, rounded))
    return Pair(torn=torn, sound=sound, record=record)


def show(name: str, pair: Pair) -> None:
    """What the record says, and both verdicts."""
    if pair.record is not None:
        found = pair.record.artifacts["native"]
        said = {key: found[key] for key in ("level", "kind", "score", "rows", "columns", "cause")}
        print(f"{name}: {json.dumps(said)}")
    for what, verdict in (("torn", pair.torn), ("sound", pair.sound)):
        places = f"rows {verdict.rows}, columns {verdict.columns}"
        most = max(verdict.row_profile)
        print(f"{name}, {what}: {verdict.cause}, score {verdict.score:.2f}, {places}, {most:.2f}", flush=True)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.metrics.generated")
    parser.add_argument("out", type=Path, nargs="?", help="folder for runs and latents (a temporary one)")
    parser.add_argument("--prompts", type=int, default=len(PROMPTS))
    parser.add_argument("--seeds", type=int, default=1, help="seeds of whole runs")
    parser.add_argument("--stills", type=int, default=2, help="further seeds, of which a frame is decoded")
    parser.add_argument("--steps", type=int, default=4)
    options = parser.parse_args()
    out = options.out or Path(tempfile.mkdtemp())
    pairs = []
    for seed in range(options.seeds + options.stills):
        for prompt in PROMPTS[: options.prompts]:
            spec = spec_of(prompt, seed, options.steps)
            pairs.append((pair_of if seed < options.seeds else still_of)(spec, out))
            show(f"{prompt} {seed}", pairs[-1])
    area = auc([p.torn.score for p in pairs], [p.sound.score for p in pairs])
    causes = [p.torn.cause for p in pairs]
    named = ", ".join(f"{cause} {causes.count(cause)}" for cause in sorted(set(causes)))
    wrong = sum(p.sound.cause == "decoder" for p in pairs)
    print(f"{len(pairs)} pairs: AUC {area:.3f}; torn: {named}; sound ones called decoder: {wrong}")
    levels = [p.record.artifacts["native"]["level"] for p in pairs if p.record is not None]
    print(f"{len(levels)} runs: suspect {levels.count('suspect')}, certain {levels.count('certain')}")


if __name__ == "__main__":
    main()
