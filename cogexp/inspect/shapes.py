"""What goes through a model at a setting: every stage with its shapes, parameters and share of the compute.

No weights are needed: the real classes run on the meta device. One pass at batch 1 of each part.
"""

from __future__ import annotations

from dataclasses import replace

from cogexp.inspect.row import PARTS, Row, of_part
from cogexp.spec import RunSpec


def shapes(spec: RunSpec) -> list[Row]:
    """The rows of text encoder, VAE encoder, transformer and VAE decoder, in the order of the data."""
    # Imported here: torch and diffusers load only when a table is really made.
    from cogexp.inspect.text_rows import text_rows
    from cogexp.inspect.transformer_rows import transformer_rows
    from cogexp.inspect.vae_rows import vae_rows

    encoder, decoder = vae_rows(spec)
    return _shared([*text_rows(spec), *encoder, *transformer_rows(spec), *decoder])


def passes(spec: RunSpec) -> dict[str, int]:
    """How often a run of this setting passes each part; the encoder sees at most one first frame."""
    guided = 2 if spec.sampler.guidance > 1 else 1
    return {
        "text_encoder": guided,
        "vae_encoder": 0,
        "transformer": guided * spec.sampler.steps,
        "vae_decoder": 1,
    }


def tokens(rows: list[Row]) -> tuple[int, int]:
    """Text tokens and video tokens that the transformer sees."""
    joint = next(row for row in rows if row.stage == "text + video")
    return joint.output[1] - joint.input[1], joint.input[1]


def _shared(rows: list[Row]) -> list[Row]:
    """Each row with its share of its part's FLOPs."""
    totals = {part: sum(row.flops for row in of_part(rows, part)) for part in PARTS}
    return [replace(row, flops_share=row.flops / max(totals[row.part], 1)) for row in rows]
