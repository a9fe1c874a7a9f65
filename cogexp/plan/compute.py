"""How much there is to compute: latent shape, tokens, and floating-point operations by stage.

Shapes: latent (t, c, h, w) as the transformer sees it. One multiply-add counts as two operations.
"""

from __future__ import annotations

from cogexp import tiles
from cogexp.catalog import Variant
from cogexp.spec import RunSpec

TEXT_TOKENS = 226
NANO_TEXT_TOKENS = 48
LATENT_CHANNELS = 16
T5_TFLOP = 2.113  # one prompt of 226 tokens, counted with torch's flop counter over fake tensors
VAE_FLOP_PER_PIXEL = 74.15e6  # for each latent frame, less what the first frame saves; counted the same way
VAE_FLOP_FIRST_FRAME = 52.46e6
NANO_VAE_SHARE = 0.01  # the embedded VAE's operations, as a share of the public one's
CACHE_SPEEDUP = {  # published for 5b at 720x480: huggingface/diffusers pull requests 9562 and 10163
    "none": 1.0,
    "pab": 245.9 / 184.0,
    "fastercache": 245.9 / 159.0,
    "firstblock": 1.3,  # no figure is published for CogVideoX: it depends on the threshold and the clip
    "taylorseer": 1.3,
    "magcache": 1.3,
}


def latent_frames(variant: Variant, frames: int) -> int:
    """Latent frames that are denoised: (frames - 1)/4 + 1, in whole patches (1.5: two a patch)."""
    pad = variant.pad_latent_frames
    return -(-((frames - 1) // 4 + 1) // pad) * pad


def latent_shape(variant: Variant, width: int, height: int, frames: int) -> tuple[int, int, int, int]:
    """(t, c, h, w) of the latents."""
    return latent_frames(variant, frames), LATENT_CHANNELS, height // 8, width // 8


def prompts(spec: RunSpec) -> int:
    """Texts that guide a step: with and without the prompt, or the prompt alone."""
    return 2 if spec.sampler.guidance > 1 else 1


def text_tokens(variant: Variant) -> int:
    """Tokens of the prompt, always padded to this."""
    return NANO_TEXT_TOKENS if variant.embedded else TEXT_TOKENS


def tokens(variant: Variant, width: int, height: int, frames: int) -> int:
    """Tokens into the transformer: the prompt's, and one a patch (2x2 latents; 1.5: over two frames)."""
    patches = latent_frames(variant, frames) // variant.pad_latent_frames
    return text_tokens(variant) + patches * (height // 16) * (width // 16)


def step_tflop(variant: Variant, count: int, batch: int) -> float:
    """One denoising step: 2*P*N*B + 4*B*L*N^2*d, P = 12*L*d^2 the weights of attention and feed-forward."""
    layers, dim = variant.layers, variant.model_dim
    weights = 12 * layers * dim**2
    return (2 * weights * count * batch + 4 * batch * layers * count**2 * dim) / 1e12


def decode_tflop(variant: Variant, width: int, height: int, frames: int) -> float:
    """The whole clip through the VAE's decoder, untiled."""
    count = (frames - 1) // 4 + 1
    flop = (VAE_FLOP_PER_PIXEL * count - VAE_FLOP_FIRST_FRAME) * width * height
    return flop / 1e12 * (NANO_VAE_SHARE if variant.embedded else 1.0)


def tile_overhead(tiling: bool | str, width: int, height: int) -> float:
    """Pixels decoded over pixels shown: 1 without tiles."""
    return tiles.layout(tiling, height, width).decoded_pixels / (width * height)


def tflop(spec: RunSpec, variant: Variant) -> dict[str, float]:
    """TFLOP of a run by stage (encode, denoise, decode); upscaling is not counted.

    What tiles have in common is decoded as often as there are tiles that have it.
    """
    size = spec.resolution
    batch = prompts(spec)
    count = tokens(variant, size.width, size.height, size.frames)
    step = step_tflop(variant, count, batch)
    return {
        "encode": 0.0 if variant.embedded else T5_TFLOP * batch,
        "denoise": step * spec.sampler.steps,
        "decode": decode_tflop(variant, size.width, size.height, size.frames)
        * tile_overhead(spec.optimization.vae_tiling, size.width, size.height),
    }
