"""Runs of the embedded model torn by default VAE tiling: are they found, and is the decoder named?
python -m tests.metrics.generated OUT [--prompts N] [--seeds N] [--steps N]

Each run goes through `cogexp.run` at 512x288 with vae_tiling=true. Its latents are then decoded whole, and
whole once more from latents rounded to half precision: a torn pair (tiled, whole) and a sound pair (whole,
whole). Runs that are there already are not made again.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

from cogexp import build
from cogexp.metrics.artifacts.attribution import Attribution, attribute
from cogexp.metrics.evaluate import auc
from cogexp.record import Record
from cogexp.run import run
from cogexp.spec import RunSpec
from cogexp.store import Keys, Store
from tests.metrics.latents import decoded

PROMPTS = ("wolves", "count", "crowd", "motion", "night", "pan-left", "pan-right", "texture", "water")


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One run: what its record says, and its latents decoded in tiles and whole against whole."""

    record: Record
    torn: Attribution
    sound: Attribution


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
    latents, tiled = kept[0]["latents"].float(), made[0]["frames"].numpy()
    whole = decoded(latents, False)
    return Pair(
        record=record,
        torn=attribute(tiled, whole),
        sound=attribute(decoded(latents.half().float(), False), whole),
    )


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.metrics.generated")
    parser.add_argument("out", type=Path, nargs="?", help="folder for runs and latents (a temporary one)")
    parser.add_argument("--prompts", type=int, default=len(PROMPTS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=4)
    options = parser.parse_args()
    out = options.out or Path(tempfile.mkdtemp())
    pairs = []
    for seed in range(options.seeds):
        for prompt in PROMPTS[: options.prompts]:
            pair = pair_of(spec_of(prompt, seed, options.steps), out)
            pairs.append(pair)
            found = pair.record.artifacts["native"]
            said = {key: found[key] for key in ("level", "kind", "score", "rows", "columns", "cause")}
            print(f"{prompt} {seed}: {json.dumps(said)}", flush=True)
            for name, verdict in (("torn", pair.torn), ("sound", pair.sound)):
                places = f"rows {verdict.rows}, columns {verdict.columns}"
                most = max(verdict.row_profile)
                print(
                    f"  {name}: {verdict.cause}, score {verdict.score:.2f}, {places}, {most:.2f}", flush=True
                )
    area = auc([p.torn.score for p in pairs], [p.sound.score for p in pairs])
    levels = [p.record.artifacts["native"]["level"] for p in pairs]
    causes = [p.torn.cause for p in pairs]
    named = ", ".join(f"{cause} {causes.count(cause)}" for cause in sorted(set(causes)))
    wrong = sum(p.sound.cause == "decoder" for p in pairs)
    print(f"{len(pairs)} runs: AUC {area:.3f}; torn pairs: {named}; sound ones called decoder: {wrong}")
    print(f"in the records: suspect {levels.count('suspect')}, certain {levels.count('certain')}")


if __name__ == "__main__":
    main()
