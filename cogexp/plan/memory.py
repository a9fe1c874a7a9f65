"""Peak GPU memory by stage: the weights that are there and the activations that come and go, in GiB.

Closed forms, fitted to traces of the modules with fake tensors (`cogexp.plan.exact`) and checked against
published peaks in tests/plan. Where a figure is an estimate, its comment says so. B batch, N tokens, d model
width, L layers; a "leaf" is the largest single layer, which is what sequential and group offload move.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from cogexp import catalog, tiles
from cogexp.catalog import Variant
from cogexp.plan import compute
from cogexp.plan.weights import BYTES, GIB, leaves, resident
from cogexp.spec import OptimizationSpec, RunSpec

T5_ACTIVATION = 16.2e6  # elements, one prompt of 226 tokens
STEP_ELEMENTS = {"rope": 12.95, "sincos": 12.05}  # a step holds this many (B, N, d) tensors at its peak
ENCODE_IMAGE = 2960  # elements a pixel, VAE encode of one frame
# Its decoder's activations, as a share of the public one's.
NANO_VAE_ACTIVATION = {"stock": 0.192, "2024": 0.192, "lean": 0.109}

# Elements a pixel that the decoder holds at its peak, when 1, 3, 5, or 7 and more latent frames are decoded
# (two at a time, with the caches of the causal convolutions), with the copies of a convolution's input and
# output that cuDNN makes meanwhile. "stock": diffusers 0.42, which also clones the input of every 1x1x1
# convolution into a cache that nobody reads: its peak lies between the convolutions. "2024": diffusers 0.31,
# before that. "lean": `cogexp.engine.lean_vae`, whose peak is the last large convolution with those copies.
DECODERS: dict[str, tuple[float, float, float, float]] = {
    "stock": (5690, 17185, 22895, 22895),
    "2024": (5690, 17185, 18550, 18550),
    "lean": (1920, 9218, 11107, 12290),
}
# Tensors like a block's output that a step cache keeps between steps, for every block.
CACHED_OUTPUTS = {"none": 0, "pab": 1, "fastercache": 2, "firstblock": 0.1, "taylorseer": 4, "magcache": 0.05}
# What the allocator reserves for each allocated byte of activations. VAE: 20.91/12.45 and 5.41/3.59 GB
# (huggingface/diffusers pull request 9333), 1.5 to 1.6 on an H200; lean 1.9 there, compiled 1.5. A
# step: 1.8 on the H200 at both sizes and by two published peaks; with sequential offload, where accelerate
# empties the allocator's cache after every layer, 1.2 fits what is published. Others: estimates.
RESERVED = {"encode": 1.2, "denoise": 1.8, "decode": 1.6, "upscale": 1.2}
RESERVED_LEAN = 1.9
RESERVED_SEQUENTIAL = 1.2
# Elements a native pixel of one frame at scale 4, in float16, and parameters: estimates.
UPSCALERS = {
    "esrgan": (450, 620_000),
    "esrgan-photo": (3600, 16_700_000),
    "esrgan-anime": (3600, 4_470_000),
    "spandrel": (3600, 20_000_000),
}


@dataclass(frozen=True, kw_only=True)
class StageMemory:
    """One stage: weights on the GPU, activations at their peak, what the allocator reserves; GiB."""

    weights_gib: float
    activations_gib: float
    reserved_gib: float

    @property
    def peak_allocated_gib(self) -> float:
        """What torch.cuda.max_memory_allocated would say."""
        return self.weights_gib + self.activations_gib


def decoder_of(flags: OptimizationSpec) -> str:
    """Which entry of DECODERS the flags choose."""
    return "lean" if flags.lean_vae else "stock"


def batch_of(spec: RunSpec) -> int:
    """Clips in one pass through the transformer: two with guidance, unless it is split."""
    return 2 if spec.sampler.guidance > 1 and not spec.optimization.split_cfg else 1


def step_gib(spec: RunSpec, variant: Variant) -> float:
    """One denoising step: k * B * N * d, and the embeddings of the prompts."""
    text = compute.prompts(spec) * compute.text_tokens(variant) * (192 if variant.embedded else 4096)
    # Rotation is computed in float32: from 16 bits that makes a copy, from float32 it does not.
    copies = STEP_ELEMENTS["sincos" if spec.model.dtype == "float32" else variant.positions]
    tensors = copies * batch_of(spec) * _tensor_gib(spec, variant)
    return tensors + text * BYTES[spec.model.dtype] / GIB


def step_extra_gib(spec: RunSpec, variant: Variant) -> float:
    """What flags add to a step: outputs that a step cache keeps of all passes; one layer widened."""
    flags = spec.optimization
    widened = flags.layerwise_cast == "fp8" or flags.quantize not in ("none", "int8dq", "fp8")
    return kept_gib(spec, variant) + (leaves(spec, variant)["transformer"] if widened else 0.0)


def kept_gib(spec: RunSpec, variant: Variant) -> float:
    """Outputs that a step cache keeps from one step to the next."""
    outputs = CACHED_OUTPUTS[spec.optimization.cache] * variant.layers * compute.prompts(spec)
    return outputs * _tensor_gib(spec, variant)


def _tensor_gib(spec: RunSpec, variant: Variant) -> float:
    """One (1, N, d) tensor."""
    size = spec.resolution
    count = compute.tokens(variant, size.width, size.height, size.frames)
    return count * variant.model_dim * BYTES[spec.model.dtype] / GIB


def decode_gib(
    variant: Variant,
    width: int,
    height: int,
    frames: int,
    *,
    dtype: str,
    tiling: bool | str,
    decoder: str = "stock",
) -> float:
    """The VAE's decoder at its peak. Tiled: one tile at a time, beside the clip put together so far."""
    count = (frames - 1) // 4 + 1
    elements = DECODERS[decoder][min(count // 2, 3)]
    share = NANO_VAE_ACTIVATION[decoder] if variant.embedded else 1.0
    laid = tiles.layout(tiling, height, width)
    clip = 3 * frames * width * height if laid.tiled and tiling is True else 0
    pixels = laid.tile_pixels
    return (elements * pixels * share + clip) * BYTES[dtype] / GIB


def _upscale(spec: RunSpec) -> StageMemory | None:
    if spec.upscaler.name not in UPSCALERS:
        return None
    elements, parameters = UPSCALERS[spec.upscaler.name]
    side = spec.upscaler.tile_px
    whole = spec.resolution.width * spec.resolution.height
    activations = elements * (min((side + 64) ** 2, whole) if side else whole) * 2 / GIB
    held = parameters * 2 / GIB
    return StageMemory(weights_gib=held, activations_gib=activations, reserved_gib=held + 1.2 * activations)


def stages(spec: RunSpec, variant: Variant, *, decoder: str | None = None) -> dict[str, StageMemory]:
    """Peaks of encode, denoise, decode and, with a network, upscale. The run's peak is the largest."""
    size, flags, width = spec.resolution, spec.optimization, BYTES[spec.model.dtype]
    text = 0.0 if variant.embedded else T5_ACTIVATION * width / GIB
    step = step_gib(spec, variant) + step_extra_gib(spec, variant)
    if variant.image_to_video:
        # Only diffusers' own tiles hold for the encoder, too.
        pixels = tiles.layout(flags.vae_tiling is True, size.height, size.width).tile_pixels
        step = max(step, ENCODE_IMAGE * pixels * width / GIB)
    decode = decode_gib(
        variant, size.width, size.height, size.frames,
        dtype=spec.model.dtype, tiling=flags.vae_tiling, decoder=decoder or decoder_of(flags),
    )  # fmt: skip
    found = {
        stage: with_activations(spec, variant, stage, activations, decoder=decoder)
        for stage, activations in (("encode", text), ("denoise", step), ("decode", decode))
    }
    if network := _upscale(spec):
        # The decoder waits meanwhile: its weights stay.
        held = network.weights_gib + resident(spec, variant, "decode")
        reserved = held + RESERVED["upscale"] * network.activations_gib
        found["upscale"] = replace(network, weights_gib=held, reserved_gib=reserved)
    return found


def with_activations(
    spec: RunSpec, variant: Variant, stage: str, activations_gib: float, *, decoder: str | None = None
) -> StageMemory:
    """Encode, denoise or decode with these activations: its weights, and what the allocator reserves."""
    held, factor = resident(spec, variant, stage), RESERVED[stage]
    if stage == "decode" and (decoder or decoder_of(spec.optimization)) == "lean":
        factor = RESERVED_LEAN
    if stage == "denoise" and spec.optimization.offload == "sequential":
        factor = RESERVED_SEQUENTIAL
    # What a cache keeps from step to step is no more than it is: it does not come and go.
    kept = kept_gib(spec, variant) if stage == "denoise" else 0.0
    reserved = held + kept + factor * (activations_gib - kept)
    return StageMemory(weights_gib=held, activations_gib=activations_gib, reserved_gib=reserved)


def disk_gib(variant: Variant) -> float:
    """The checkpoint on the hub: 16 bit, but the T5 and the VAE of the 1.5 models, which are stored in 32."""
    if variant.embedded:
        return 0.02
    around = 4 if variant.generation == "1.5" else 2
    others = catalog.TEXT_ENCODER_PARAMETERS + catalog.VAE_PARAMETERS
    return (2 * variant.transformer_parameters + around * others) / GIB


def plain_peak_gib(variant: Variant, width: int, height: int, frames: int) -> float:
    """Peak of the 16-bit model with guidance and no flags: all weights and the decode, or the step."""
    parts = (variant.transformer_parameters, catalog.TEXT_ENCODER_PARAMETERS, catalog.VAE_PARAMETERS)
    text_and_step = 2 * (parts[0] + parts[1]) / GIB
    tensor = 2 * compute.tokens(variant, width, height, frames) * variant.model_dim * 2 / GIB
    decode = decode_gib(variant, width, height, frames, dtype="bfloat16", tiling=False)
    return max(text_and_step + STEP_ELEMENTS[variant.positions] * tensor, 2 * sum(parts) / GIB + decode)
