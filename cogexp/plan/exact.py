"""Activation peaks by stage from a trace of the real modules with fake tensors: no weights, no GPU, seconds.

Every operation runs on shapes only (torch's FakeTensorMode, as if on CUDA) while a ledger adds up the
storages that are alive, rounded to 512 bytes as by the CUDA allocator, and what cuDNN takes while it
convolves. Workspaces of cuBLAS (32 MiB on Hopper) are not seen.
Shapes: as in `cogexp.engine`.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from cogexp.catalog import Variant
from cogexp.plan import compute, memory
from cogexp.spec import RunSpec

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class Ledger(TorchDispatchMode):
    """Adds up what is alive, with `device` only there. Storages count, not tensors: a view costs nothing."""

    def __init__(self, device: str | None = None) -> None:
        super().__init__()
        self._device = device
        self.live = self.peak = 0
        self._held: set[int] = set()

    def hold(self, tensor: torch.Tensor) -> None:
        """Count the tensor's storage until it is freed."""
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._held or self._device not in (None, tensor.device.type):
            return
        size = -(-storage.nbytes() // 512) * 512
        self._held.add(key)
        self.live += size
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._drop, key, size)

    def _drop(self, key: int, size: int) -> None:
        self._held.discard(key)
        self.live -= size

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run one operation on shapes and count what it made."""
        if func is torch.ops.aten._local_scalar_dense.default:
            return 1  # a fake tensor has no values: "are all finite?" is answered with yes
        made = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(made):
            if isinstance(leaf, torch.Tensor):
                self.hold(leaf)
        if func is torch.ops.aten.convolution.default and made.device.type == self._device == "cuda":
            self.peak = max(self.peak, self.live + _turned_bytes(args[0], made))
        return made


def _turned_bytes(frames: torch.Tensor, made: torch.Tensor) -> int:
    """cuDNN's workspace: its tensor-core kernels want channels last, so input and output of a convolution
    are there a second time. Its peaks on an H200 agree within 1 % (tests/plan/test_measured_gpu.py)."""
    return frames.numel() * frames.element_size() + made.numel() * made.element_size()


def activations(spec: RunSpec, variant: Variant) -> dict[str, float]:
    """GiB of activations at the peak of encode, denoise (a step) and decode.

    What a step cache keeps and what fp8 storage widens is added from the closed forms.
    """
    size, flags = spec.resolution, spec.optimization
    dtype = DTYPES[spec.model.dtype]
    step = trace_step(spec, variant, dtype) + memory.step_extra_gib(spec, variant)
    if variant.image_to_video:
        step = max(step, trace_encode_image(variant, size.width, size.height, dtype, flags.vae_tiling))
    return {
        "encode": trace_text(variant, dtype),
        "denoise": step,
        "decode": trace_decode(
            variant, size.width, size.height, size.frames, dtype, flags.vae_tiling, lean=flags.lean_vae
        ),
    }


def trace_text(variant: Variant, dtype: torch.dtype) -> float:
    """One prompt through the text encoder; GiB."""
    from transformers import T5Config, T5EncoderModel

    with _fake(dtype):
        module = T5EncoderModel(T5Config(**_configs(variant)["text_encoder"])).eval()
        ids = torch.zeros(1, compute.text_tokens(variant), dtype=torch.int64)
        with _counted(module, ids) as ledger:
            module(ids)
        return ledger.peak / memory.GIB


def trace_step(spec: RunSpec, variant: Variant, dtype: torch.dtype) -> float:
    """One forward pass of the transformer, batch 2 with guidance that is not split, else 1; GiB."""
    from diffusers import CogVideoXTransformer3DModel

    size, batch = spec.resolution, memory.batch_of(spec)
    frames, _, height, width = compute.latent_shape(variant, size.width, size.height, size.frames)
    with _fake(dtype):
        module = CogVideoXTransformer3DModel(**_configs(variant)["transformer"]).eval()
        text = torch.empty(batch, compute.text_tokens(variant), module.config.text_embed_dim)
        latents = torch.empty(batch, frames, module.config.in_channels, height, width)
        time = torch.zeros(batch, dtype=torch.int64)
        extra: dict[str, Any] = {}
        if variant.positions == "rope":
            patches = compute.tokens(variant, size.width, size.height, size.frames) - text.shape[1]
            extra["image_rotary_emb"] = tuple(torch.empty(patches, 64, dtype=torch.float32) for _ in range(2))
        if module.config.ofs_embed_dim:
            extra["ofs"] = torch.empty(1)
        rotary = extra.get("image_rotary_emb", ())
        with _counted(module, latents, text, time, *rotary) as ledger:
            module(latents, text, time, return_dict=False, **extra)
        return ledger.peak / memory.GIB


def trace_decode(
    variant: Variant,
    width: int,
    height: int,
    frames: int,
    dtype: torch.dtype,
    tiling: bool | str,
    lean: bool = False,
) -> float:
    """The clip through `cogexp.engine.decode`, as a run decodes it; GiB."""
    from cogexp.engine import decode

    with _fake(dtype):
        vae = _vae(variant, tiling)
        z = torch.empty(1, (frames - 1) // 4 + 1, 16, height // 8, width // 8)
        with _replaced(decode, "to_uint8", lambda chunk: None), _counted(vae, z) as ledger:
            for _ in decode.decode_stream(vae, z, tiling=tiling, lean=lean):
                pass
        return ledger.peak / memory.GIB


def trace_decode_stock(
    variant: Variant, width: int, height: int, frames: int, dtype: torch.dtype, tiling: bool | str
) -> float:
    """The clip through diffusers' own `vae.decode`; GiB."""
    with _fake(dtype):
        vae = _vae(variant, tiling)
        z = torch.empty(1, 16, (frames - 1) // 4 + 1, height // 8, width // 8)
        with _counted(vae, z) as ledger:
            vae.decode(z, return_dict=False)
        return ledger.peak / memory.GIB


def trace_encode_image(
    variant: Variant, width: int, height: int, dtype: torch.dtype, tiling: bool | str
) -> float:
    """The first frame of an image-to-video model through the VAE's encoder; GiB."""
    with _fake(dtype):
        vae = _vae(variant, tiling)
        frame = torch.empty(1, 3, 1, height, width)
        with _counted(vae, frame) as ledger:
            vae.encode(frame)
        return ledger.peak / memory.GIB


def _configs(variant: Variant) -> dict[str, dict[str, Any]]:
    if variant.embedded:
        from cogexp.nano.arch import NANO_CONFIG

        return NANO_CONFIG
    from cogexp.engine import configs

    return {
        "text_encoder": configs.T5_XXL,
        "transformer": configs.transformer_config(variant),
        "vae": configs.vae_config(variant),
    }


def _vae(variant: Variant, tiling: bool | str) -> Any:
    from diffusers import AutoencoderKLCogVideoX

    vae = AutoencoderKLCogVideoX(**_configs(variant)["vae"]).eval()
    if tiling:
        vae.enable_tiling()
    return vae


@contextmanager
def _fake(dtype: torch.dtype) -> Iterator[None]:
    """Fake CUDA tensors, modules built in `dtype` (fake ones cannot be cast), flash attention."""
    previous = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with (
            FakeTensorMode(),
            torch.device("cuda"),
            torch.no_grad(),
            _replaced(torch.nn.functional, "scaled_dot_product_attention", _flash),
        ):
            yield
    finally:
        torch.set_default_dtype(previous)


def _flash(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> torch.Tensor:
    """Fake tensors would take the path that builds the whole attention matrix; a GPU does not."""
    made = torch.ops.aten._scaled_dot_product_flash_attention(
        query, key, value, dropout_p, is_causal, scale=scale
    )
    out: torch.Tensor = made[0]
    return out


@contextmanager
def _counted(module: torch.nn.Module, *inputs: torch.Tensor) -> Iterator[Ledger]:
    """Count what is made inside the block and the inputs; weights, known before, are not activations."""
    ledger = Ledger("cuda")
    for tensor in (*module.parameters(), *module.buffers()):
        ledger.hold(tensor)
    weights = ledger.live
    for tensor in inputs:
        ledger.hold(tensor)
    with ledger:
        yield ledger
    ledger.peak -= weights


@contextmanager
def _replaced(owner: Any, name: str, stand_in: Any) -> Iterator[None]:
    original = getattr(owner, name)
    setattr(owner, name, stand_in)
    try:
        yield
    finally:
        setattr(owner, name, original)
