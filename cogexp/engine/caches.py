"""Step caches: what one denoising step computed is used again in the next. One at a time, and only while a
clip is denoised, because what they keep belongs to that clip."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from cogexp.engine.probe import counted_calls, hooked, took_hold

# How little the first block may change before the other blocks are skipped (the library's own default).
FIRST_BLOCK_THRESHOLD = 0.05
# How much error may add up before MagCache computes again, over how many steps, and which share of the steps
# at the start is always computed (the library's own defaults).
MAG_THRESHOLD, MAG_SKIP, MAG_RETAINED = 0.06, 3, 0.2
HOOKS = {
    "pab": "pyramid_attention_broadcast",
    "fastercache": "faster_cache_block",
    "firstblock": "fbc_block_hook",
    "taylorseer": "taylorseer_cache",
    "magcache": "mag_cache_block_hook",
}


@contextmanager
def step_cache(
    transformer: Any, cache: str, timestep: Callable[[], int], steps: int, ratios: Sequence[float] | None
) -> Iterator[dict[str, str]]:
    """The chosen step cache, on inside the block. `timestep` gives the present one of `steps`.

    Yields a dictionary that holds, after the block, how many attention layers were computed and how many
    were skipped: under `torch.compile` nothing is counted.
    """
    notes: dict[str, str] = {}
    if cache == "none":
        yield notes
        return
    transformer.enable_cache(_config(cache, timestep, steps, ratios))
    took_hold(f"cache={cache}", transformer.is_cache_enabled and hooked(transformer, HOOKS[cache]) > 0)
    layers = [block.attn1 for block in transformer.transformer_blocks]
    try:
        if any(getattr(block, "_compiled_call_impl", None) for block in transformer.modules()):
            yield notes
        else:
            # The projection is called when attention is computed, not when it is taken from the cache.
            asked = [layer.to_qkv if layer.fused_projections else layer.to_q for layer in layers]
            with counted_calls([transformer]) as passes, counted_calls(asked) as computed:
                yield notes
            notes["optimization.cache"] = _said(cache, computed[0], len(layers) * passes[0])
    finally:
        transformer.disable_cache()


def _said(cache: str, computed: int, wanted: int) -> str:
    if computed == wanted:
        return f"{cache}: nothing was skipped, all {wanted} attention layers were computed"
    return f"{cache}: {wanted - computed} of {wanted} attention layers skipped"


def _config(cache: str, timestep: Callable[[], int], steps: int, ratios: Sequence[float] | None) -> Any:
    """Settings that match CogVideoX's blocks; TaylorSeer's own default patterns match none of them."""
    from diffusers import hooks

    if cache == "pab":
        return hooks.PyramidAttentionBroadcastConfig(
            spatial_attention_block_skip_range=2,
            spatial_attention_timestep_skip_range=(100, 800),
            current_timestep_callback=timestep,
        )
    if cache == "fastercache":
        return hooks.FasterCacheConfig(
            spatial_attention_block_skip_range=2,
            spatial_attention_timestep_skip_range=(-1, 681),
            current_timestep_callback=timestep,
            attention_weight_callback=lambda _: 0.3,
            unconditional_batch_skip_range=5,
            unconditional_batch_timestep_skip_range=(-1, 781),
            tensor_format="BFCHW",
        )
    if cache == "firstblock":
        return hooks.FirstBlockCacheConfig(threshold=FIRST_BLOCK_THRESHOLD)
    if cache == "magcache":
        assert ratios is not None, "MagCache needs its calibration"
        return hooks.MagCacheConfig(
            threshold=MAG_THRESHOLD,
            max_skip_steps=MAG_SKIP,
            retention_ratio=MAG_RETAINED,
            num_inference_steps=steps,
            mag_ratios=list(ratios),
        )
    return hooks.TaylorSeerCacheConfig(cache_identifiers=[r"transformer_blocks\.\d+\.(attn1|ff)"])
