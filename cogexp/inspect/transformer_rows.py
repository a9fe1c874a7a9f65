"""The transformer's way: text and video become one row of tokens, pass the blocks, and become a latent again.

Shapes of one pass at batch 1: latents (1, f, c, h, w), text (1, L, d), video tokens (1, N, D) with
N = f/p_t * h/p * w/p; with guidance above 1 the pipeline runs batch 2.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from cogexp.inspect.modules import build_meta, latent_shape, text_tokens
from cogexp.inspect.row import Row
from cogexp.inspect.trace import Seen, Shape, Stop, trace
from cogexp.spec import RunSpec

PART = "transformer"


def transformer_rows(spec: RunSpec) -> list[Row]:
    """Rows of one denoising step."""
    module = build_meta(PART, spec)
    config = module.config
    grid = _grid(spec, config)
    seen = _run(module, spec, grid)
    latent, joint = seen["unpatchify"].outputs[0], seen["text + video"].outputs[0]
    text, video = seen["text projection"].outputs[0], (1, math.prod(grid), joint[-1])
    depth = config.in_channels * config.patch_size**2 * (config.patch_size_t or 1)
    source = seen["unpatchify"].inputs[0]
    patches = f"p={config.patch_size}" + (f", p_t={config.patch_size_t}" if config.patch_size_t else "")
    condition = config.in_channels - config.out_channels
    rows = {stage: one.row(PART) for stage, one in seen.items()}
    noisy = (*source[:2], source[2] - condition, *source[3:])
    beside = f", with {condition} channels of the first frame beside it" if condition else ""
    cut = f"{patches}: grid {'x'.join(map(str, grid))}, each patch a row of {depth} numbers"
    order = f"{text[1]} text tokens, then {video[1]} of video"
    before = [
        rows["text projection"],
        *(rows[stage] for stage in ("timestep embedding", "ofs embedding") if stage in rows),
        _plain("latent", "pipeline", noisy, source, f"the noisy latent{beside}"),
        _plain("patches, flattened", "patch_embed", source, (1, video[1], depth), cut),
        _linear(rows["patches to tokens"], seen["patches to tokens"], video, depth),
        _positions(config, grid, text[1], joint),
        _plain("text + video", "patch_embed", video, joint, order),
    ]
    blocks = [row for stage, row in rows.items() if stage.startswith("blocks")]
    after = [rows[stage] for stage in ("norm_final", "norm_out", "out projection")]
    return [
        *before,
        *blocks,
        *after,
        _plain(
            "unpatchify",
            "reshape",
            after[-1].output,
            latent,
            "the predicted velocity, the shape of the latent",
        ),
    ]


def _grid(spec: RunSpec, config: Any) -> Shape:
    """Patches in time, height and width."""
    _, frames, _, height, width = latent_shape(spec, config.in_channels)
    return frames // (config.patch_size_t or 1), height // config.patch_size, width // config.patch_size


def _stops(module: Any) -> list[Stop]:
    config = module.config
    blocks, heads = f"blocks 0-{config.num_layers - 1}", config.num_attention_heads
    ofs = [Stop(stage="ofs embedding", pattern="ofs_embedding", note="added to the timestep's")]
    return [
        Stop(stage="unpatchify", pattern=""),
        Stop(stage="text projection", pattern="patch_embed.text_proj", note="prompt embeddings to width D"),
        Stop(
            stage="timestep embedding",
            pattern="time_embedding",
            note="of the diffusion step; steers all norms",
        ),
        *(ofs if module.ofs_embedding is not None else []),
        Stop(stage="patches to tokens", pattern="patch_embed.proj"),
        Stop(stage="text + video", pattern="patch_embed"),
        Stop(
            stage=f"{blocks}: norms and gates",
            pattern="transformer_blocks.*.norm*",
            note="scale, shift and gate from the timestep, one set for text, one for video (shape: video)",
        ),
        Stop(
            stage=f"{blocks}: attention",
            pattern="transformer_blocks.*.attn1",
            enter="to_q",
            leave="to_out.0",
            note=f"over all text and video tokens, {heads} heads x {config.attention_head_dim}",
        ),
        Stop(stage=f"{blocks}: feed-forward", pattern="transformer_blocks.*.ff", note="inner width 4 D"),
        Stop(stage="norm_final", pattern="norm_final", note="video tokens only from here"),
        Stop(stage="norm_out", pattern="norm_out", note="scale and shift from the timestep"),
        Stop(stage="out projection", pattern="proj_out"),
    ]


def _run(module: Any, spec: RunSpec, grid: Shape) -> dict[str, Seen]:
    """One denoising step, watched."""
    import torch

    config = module.config

    def step() -> None:
        rotary = torch.empty(math.prod(grid), config.attention_head_dim)
        module(
            torch.empty(latent_shape(spec, config.in_channels)),
            torch.empty(1, text_tokens(spec), config.text_embed_dim),
            torch.empty(1),
            ofs=torch.empty(1) if module.ofs_embedding is not None else None,
            image_rotary_emb=(rotary, rotary) if config.use_rotary_positional_embeddings else None,
            return_dict=False,
        )

    return trace(module, _stops(module), step)[0]


def _linear(row: Row, seen: Seen, video: Shape, depth: int) -> Row:
    """The patch projection as the linear layer it is; 1.0 has it as a strided convolution."""
    if len(seen.inputs[0]) == 3:
        return row
    called, made = (list(shapes[0]) for shapes in (seen.inputs, seen.outputs))
    if (made[0] * math.prod(made[2:]), made[1]) != video[1:]:
        raise RuntimeError(f"the patch convolution gave {made}, which is not {video}")
    note = f"run as a strided Conv2d {called} to {made}: the same numbers as this linear layer"
    return replace(row, input=(1, video[1], depth), output=video, note=note)


def _positions(config: Any, grid: Shape, text: int, joint: Shape) -> Row:
    """Where the tokens learn their places."""
    if not config.use_rotary_positional_embeddings:
        note = f"3D sincos added to the video tokens, zeros for the {text} of text; the grid starts top left"
        return _plain("positions: sincos", "patch_embed", grid, joint, note)
    note = "cos and sin that turn queries and keys of the video tokens in every block; the text has none"
    if config.use_learned_positional_embeddings:
        note += "; and a learned table is added to the tokens"
    tokens = math.prod(grid)
    return _plain("positions: rotary", "pipeline", grid, (tokens, config.attention_head_dim), note)


def _plain(stage: str, module: str, enters: Shape, leaves: Shape, note: str) -> Row:
    """A step without parameters: a change of shape."""
    return Row(part=PART, stage=stage, module=module, input=enters, output=leaves, note=note)
