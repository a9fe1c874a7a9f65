"""How long a setting takes on a card: operations over throughput, bytes over bandwidth, copies over the bus.

Rough in seconds, better as a ratio between settings of one model on one card; `cogexp.plan.measured` corrects
both with runs that were measured.
"""

from __future__ import annotations

from cogexp.catalog import Variant
from cogexp.plan import compute, memory
from cogexp.plan.cards import Card
from cogexp.plan.weights import weights
from cogexp.spec import RunSpec

# "On the H200" below: measured with `bench`, docs/performance.md.
# Of what the transformer reaches, on the H200: 3-D convolutions with norms between them.
DECODE_EFFICIENCY = 0.4
GROUP_OVERHEAD = {"group": 1.1, "group-disk": 1.1}  # estimates: thousands of small copies and waits a step
# The processor waits for a block (in the VAE: a layer) before it launches the next one: seconds each, H200.
BLOCK_WAIT, LAYER_WAIT = 1.7e-3, 1.3e-4
T5_BLOCKS, VAE_LAYERS = 24, 219
DISK_GBPS = 2.0  # an NVMe disk, read layer by layer: an estimate
# Whole parts from memory that is not pinned: an estimate, half of the 7.8 s that T5 took on the H200 when it
# still was copied back.
MODEL_GBPS = 2.5
SEQUENTIAL_GBPS = 0.8  # layer by layer: diffusers-torchao reports 3 to 5 times the time for 5b on an A100
# Compiled, against compiled 16 bits: diffusers-torchao, A100: 212.0 s -> 177.3; H100: 87.5 -> 75.3.
QUANTIZED_SPEEDUP = {"int8dq": 212.0 / 177.3, "fp8": 87.5 / 75.3}


def seconds(spec: RunSpec, variant: Variant, card: Card) -> dict[str, float]:
    """Seconds of encode, denoise and decode, weights already loaded."""
    flags, size, held = spec.optimization, spec.resolution, weights(spec, variant)
    half = spec.model.dtype != "float32"
    throughput = card.efficiency * card.tflops if half else 0.8 * card.fp32_tflops
    work = compute.tflop(spec, variant)
    speedup = compute.CACHE_SPEEDUP[flags.cache]
    if flags.compile != "none":
        speedup *= card.compiled * QUANTIZED_SPEEDUP.get(flags.quantize, 1.0)
    # Every weight is read at least once a pass; one that is stored in fewer bits is widened first.
    passes_a_step = compute.prompts(spec) if flags.split_cfg else 1
    narrow = flags.layerwise_cast != "none" or flags.quantize not in ("none", "int8dq", "fp8")
    read_bytes = held["transformer"] * memory.GIB * passes_a_step * (5 if narrow else 1)
    step = work["denoise"] / spec.sampler.steps / throughput / speedup
    step = max(step, read_bytes / card.memory_gbps / 1e9)
    if narrow:
        step += read_bytes / card.memory_gbps / 1e9
    decode = work["decode"] / throughput / DECODE_EFFICIENCY
    found = {"encode": work["encode"] / throughput, "denoise": step * spec.sampler.steps, "decode": decode}
    passes = {
        "encode": compute.prompts(spec),
        "denoise": spec.sampler.steps * passes_a_step,
        "decode": max((size.frames - 1) // 8, 1),
    }
    for stage, part in (("encode", "text_encoder"), ("denoise", "transformer"), ("decode", "vae")):
        gigabytes = held[part] * memory.GIB / 1e9
        if flags.offload == "model" or (flags.offload == "text" and stage == "encode"):
            found[stage] += gigabytes / MODEL_GBPS
        elif flags.offload == "sequential":
            found[stage] += passes[stage] * gigabytes / SEQUENTIAL_GBPS
        elif flags.offload == "group-block":
            # Pinned and on a stream of its own: hidden behind the computing, or the other way round.
            waits = {
                "encode": BLOCK_WAIT * T5_BLOCKS,
                "denoise": BLOCK_WAIT * variant.layers,
                "decode": LAYER_WAIT * VAE_LAYERS,
            }
            computing = found[stage] + passes[stage] * waits[stage]
            found[stage] = max(computing, passes[stage] * gigabytes / card.bus_gbps)
        elif flags.offload in GROUP_OVERHEAD:
            speed = DISK_GBPS if flags.offload == "group-disk" else card.bus_gbps
            found[stage] = max(found[stage], passes[stage] * gigabytes / speed)
            found[stage] *= GROUP_OVERHEAD[flags.offload]
    return found
