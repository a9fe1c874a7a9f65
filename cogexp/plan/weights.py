"""The weights of each part in GiB: as they are stored with these flags, and what is on the GPU when."""

from __future__ import annotations

from cogexp import catalog
from cogexp.catalog import Variant
from cogexp.spec import RunSpec

GIB = 2**30
BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
PARTS = ("text_encoder", "transformer", "vae")

T5_LINEAR = 24 * (4 * 4096**2 + 3 * 4096 * 10240)  # of the text encoder's parameters; the rest is embeddings
T5_WO_PARAMETERS = 24 * 4096 * 10240  # kept in float32 when a checkpoint is loaded in float16
T5_LEAF = 32128 * 4096  # the token embedding
T5_BLOCK = 4 * 4096**2 + 3 * 4096 * 10240
VAE_LEAF = 512 * 512 * 27
VAE_CAST_SHARE = 0.998  # what layerwise casting takes of the VAE: all but what has "norm" in its name
LINEAR_SHARE = 0.9993  # linear layers' weights, of the transformer's parameters
NANO = {"text_encoder": 935_040, "vae": 2_088_883}  # parameters of the embedded model's parts
# Bits of a stored weight with its scales: one a row of thousands (8), a float16 for 32 weights (gguf), a
# float32 for 64 (nf4).
BITS = {"gguf-q8": 8.5, "gguf-q4": 4.5, "bnb-nf4": 4.5}


def weights(spec: RunSpec, variant: Variant) -> dict[str, float]:
    """GiB of each part's weights with these flags: text_encoder, transformer, vae."""
    found = {
        "text_encoder": _text_encoder(spec, variant),
        "transformer": _transformer(spec, variant),
        "vae": NANO["vae"] if variant.embedded else catalog.VAE_PARAMETERS,
    }
    size = BYTES[spec.model.dtype]
    if spec.optimization.vae_cast == "fp8":
        found["vae"] *= (1 - VAE_CAST_SHARE) + VAE_CAST_SHARE / size
    found["vae"] *= size
    return {part: found[part] / GIB for part in PARTS}


def _text_encoder(spec: RunSpec, variant: Variant) -> float:
    """Bytes."""
    size, flags = BYTES[spec.model.dtype], spec.optimization
    if variant.embedded:
        return NANO["text_encoder"] * size
    kept = catalog.TEXT_ENCODER_PARAMETERS - T5_LINEAR
    if flags.quantize_text != "none":
        return kept * size + T5_LINEAR * stored_bytes(flags.quantize_text)
    if flags.text_cast == "fp8":
        return kept * size + T5_LINEAR
    wide = spec.model.dtype == "float16" and spec.model.weights == "pretrained"
    return catalog.TEXT_ENCODER_PARAMETERS * size + (T5_WO_PARAMETERS * 2 if wide else 0)


def _transformer(spec: RunSpec, variant: Variant) -> float:
    """Bytes."""
    size, flags = BYTES[spec.model.dtype], spec.optimization
    parameters, dim, layers = variant.transformer_parameters, variant.model_dim, variant.layers
    if flags.fuse_qkv:  # the fused matrices stand beside the separate ones
        parameters += 3 * layers * dim**2
    if flags.quantize != "none":
        linear = LINEAR_SHARE * parameters
        return (parameters - linear) * size + linear * stored_bytes(flags.quantize)
    if flags.layerwise_cast == "fp8":
        # Everything but names with "norm", and those hold the large AdaLN layers: two of 512 -> 6d a block.
        kept = 2 * layers * 513 * 6 * dim + 2 * 513 * dim + 4096 * dim
        return kept * size + (parameters - kept)
    return parameters * size


def stored_bytes(how: str) -> float:
    """Bytes of one quantized weight."""
    return BITS.get(how, 8) / 8


def leaves(spec: RunSpec, variant: Variant) -> dict[str, float]:
    """GiB of the largest single layer of each part."""
    if variant.embedded:
        return dict.fromkeys(PARTS, 0.001)
    size = BYTES[spec.model.dtype]
    linear = 4 * variant.model_dim**2
    elements = {"text_encoder": T5_LEAF, "transformer": linear, "vae": VAE_LEAF}
    return {part: count * size / GIB for part, count in elements.items()}


def blocks(spec: RunSpec, variant: Variant) -> dict[str, tuple[float, float]]:
    """GiB of one block of each part, and of what is in no block and stays while the part computes."""
    held = weights(spec, variant)
    if variant.embedded:
        return {part: (held[part] / 4, 0.0) for part in PARTS}
    share = 1 / variant.layers * (1 - 0.0033)  # the patches' and the timestep's layers are in no block
    text = 24 * T5_BLOCK / catalog.TEXT_ENCODER_PARAMETERS
    return {
        "text_encoder": (held["text_encoder"] * text / 24, held["text_encoder"] * (1 - text)),
        "transformer": (held["transformer"] * share, held["transformer"] * 0.0033),
        "vae": (leaves(spec, variant)["vae"], 0.0),  # by layers
    }


def resident(spec: RunSpec, variant: Variant, stage: str) -> float:
    """GiB of weights on the GPU during a stage. Parts are loaded when a stage first needs them, and stay."""
    held, offload = weights(spec, variant), spec.optimization.offload
    needed: tuple[str, ...] = {"encode": ("text_encoder",), "denoise": ("transformer",)}.get(stage, ("vae",))
    if stage == "denoise" and variant.image_to_video:
        needed = ("transformer", "vae")
    if offload in ("none", "text"):
        loaded = PARTS[: 1 + max(PARTS.index(part) for part in needed)]
        gone = {"text_encoder"} if offload == "text" and stage != "encode" else set()
        return sum(held[part] for part in loaded if part not in gone)
    if offload == "model":
        return sum(held[part] for part in needed)
    if offload == "group-block":
        # The next block comes on a stream while one computes.
        return max(2 * block + rest for block, rest in (blocks(spec, variant)[part] for part in needed))
    leaf = leaves(spec, variant)
    return max(leaf[part] * (2 if offload != "sequential" and part != "vae" else 1) for part in needed)
