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
# Estimates: thousands of small copies and waits a step, or one a block.
GROUP_OVERHEAD = {"group": 1.1, "group-disk": 1.1, "group-block": 1.03}
DISK_GBPS = 2.0  # an NVMe disk, read layer by layer: an estimate
MODEL_GBPS = 4.0  # whole parts from and to memory that is not pinned: an estimate
SEQUENTIAL_GBPS = 0.8  # layer by layer: diffusers-torchao reports 3 to 5 times the time for 5b on an A100
# Compiled, against compiled 16 bits: diffusers-torchao, A100: 212.0 s -> 177.3; H100: 87.5 -> 75.3.
QUANTIZED_SPEEDUP = {"int8dq": 212.0 / 177.3, "fp8": 87.5 / 75.3}
COMPILE_SPEEDUP = {"none": 1.0, "blocks": 1.15, "full": 1.15}  # diffusers-torchao, A100: 243.3 s -> 212.0 s


def seconds(spec: RunSpec, variant: Variant, card: Card) -> dict[str, float]:
    """Seconds of encode, denoise and decode, weights already loaded."""
    flags, size, held = spec.optimization, spec.resolution, memory.weights(spec, variant)
    half = spec.model.dtype != "float32"
    throughput = card.efficiency * card.tflops if half else 0.8 * card.fp32_tflops
    work = compute.tflop(spec, variant)
    speedup = compute.CACHE_SPEEDUP[flags.cache] * COMPILE_SPEEDUP[flags.compile]
    if flags.compile != "none":
        speedup *= QUANTIZED_SPEEDUP.get(flags.quantize, 1.0)
    # Every weight is read at least once a pass; one that is stored in fewer bits is widened first.
    passes_a_step = compute.prompts(spec) if flags.split_cfg else 1
    narrow = flags.layerwise_cast != "none" or flags.quantize not in ("none", "int8dq", "fp8")
    read_bytes = held["transformer"] * memory.GIB * passes_a_step * (5 if narrow else 1)
    step = work["denoise"] / spec.sampler.steps / throughput / speedup
    step = max(step, read_bytes / card.memory_gbps / 1e9)
    if narrow:
        step += read_bytes / card.memory_gbps / 1e9
    decode = work["decode"] / throughput / DECODE_EFFICIENCY
    decode *= compute.tile_overhead(flags.vae_tiling, size.width, size.height)
    found = {"encode": work["encode"] / throughput, "denoise": step * spec.sampler.steps, "decode": decode}
    passes = {
        "encode": compute.prompts(spec),
        "denoise": spec.sampler.steps * passes_a_step,
        "decode": max((size.frames - 1) // 8, 1),
    }
    for stage, part in (("encode", "text_encoder"), ("denoise", "transformer"), ("decode", "vae")):
        gigabytes = held[part] * memory.GIB / 1e9
        if flags.offload == "model" or (flags.offload == "text" and stage == "encode"):
            found[stage] += 2 * gigabytes / MODEL_GBPS  # there and back, once
        elif flags.offload == "sequential":
            found[stage] += passes[stage] * gigabytes / SEQUENTIAL_GBPS
        elif flags.offload in GROUP_OVERHEAD:
            # Pinned and on a stream of its own: hidden behind the computing, or the other way round.
            speed = DISK_GBPS if flags.offload == "group-disk" else card.bus_gbps
            found[stage] = max(found[stage], passes[stage] * gigabytes / speed)
            found[stage] *= GROUP_OVERHEAD[flags.offload]
    return found
