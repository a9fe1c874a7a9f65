"""How long a setting takes on a card: operations over throughput, bytes over bandwidth, copies over the bus.

Rough in seconds, better as a ratio between settings of one model on one card; `cogexp.plan.measured` corrects
both with runs that were measured.
"""

from __future__ import annotations

from cogexp.catalog import Variant
from cogexp.plan import compute, memory
from cogexp.plan.cards import Card
from cogexp.spec import RunSpec

DECODE_EFFICIENCY = 0.5  # of what the transformer reaches: 3-D convolutions with norms between them
GROUP_OVERHEAD = 1.1  # an estimate: thousands of small copies and waits a step
MODEL_GBPS = 4.0  # whole parts from and to memory that is not pinned: an estimate
SEQUENTIAL_GBPS = 0.8  # layer by layer: diffusers-torchao reports 3 to 5 times the time for 5b on an A100
COMPILE_SPEEDUP = {"none": 1.0, "blocks": 1.15, "full": 1.15}  # diffusers-torchao, A100: 243.3 s -> 212.0 s


def seconds(spec: RunSpec, variant: Variant, card: Card) -> dict[str, float]:
    """Seconds of encode, denoise and decode, weights already loaded."""
    flags, size, held = spec.optimization, spec.resolution, memory.weights(spec, variant)
    half = spec.model.dtype != "float32"
    throughput = card.efficiency * card.tflops if half else 0.8 * card.fp32_tflops
    work = compute.tflop(spec, variant)
    speedup = compute.CACHE_SPEEDUP[flags.cache] * COMPILE_SPEEDUP[flags.compile]
    # Every weight is read at least once a step; fp8 storage is widened layer by layer on top.
    read_bytes = held["transformer"] * memory.GIB * (1 if flags.layerwise_cast == "none" else 5)
    step = work["denoise"] / spec.sampler.steps / throughput / speedup
    step = max(step, read_bytes / card.memory_gbps / 1e9)
    if flags.layerwise_cast != "none":
        step += read_bytes / card.memory_gbps / 1e9
    decode = work["decode"] / throughput / DECODE_EFFICIENCY
    decode *= compute.tile_overhead(flags.vae_tiling, size.width, size.height)
    prompts = 2 if spec.sampler.guidance > 1 else 1
    found = {"encode": work["encode"] / throughput, "denoise": step * spec.sampler.steps, "decode": decode}
    passes = {"encode": prompts, "denoise": spec.sampler.steps, "decode": max((size.frames - 1) // 8, 1)}
    parts = {"encode": "text_encoder", "denoise": "transformer", "decode": "vae"}
    for stage, part in parts.items():
        gigabytes = held[part] * memory.GIB / 1e9
        if flags.offload == "model":
            found[stage] += 2 * gigabytes / MODEL_GBPS  # there and back, once
        elif flags.offload == "sequential":
            found[stage] += passes[stage] * gigabytes / SEQUENTIAL_GBPS
        elif flags.offload == "group":
            # Pinned and on a stream of its own: hidden behind the computing, or the other way round.
            found[stage] = max(found[stage], passes[stage] * gigabytes / card.bus_gbps) * GROUP_OVERHEAD
    return found
