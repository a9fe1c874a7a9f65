"""Four-bit storage of matrices: for the weak model only, which may lose a little more."""

from __future__ import annotations

import torch

Tensors = dict[str, torch.Tensor]

# Values that share one scale.
GROUP = 128
_LEVELS = 7


def pack(tensors: Tensors) -> Tensors:
    """Matrices as nibbles ('name|4bit', 'name|scale', 'name|shape'); everything else as fp16."""
    packed: Tensors = {}
    for name, tensor in tensors.items():
        flat = tensor.detach().float().flatten()
        if tensor.ndim < 2 or flat.numel() % GROUP:
            packed[name] = tensor.half().contiguous()
            continue
        rows = flat.view(-1, GROUP)
        scale = (rows.abs().amax(1, keepdim=True) / _LEVELS).clamp(min=1e-8)
        levels = ((rows / scale).round().clamp(-_LEVELS, _LEVELS) + _LEVELS + 1).to(torch.uint8).flatten()
        packed[f"{name}|4bit"] = levels[0::2] | (levels[1::2] << 4)
        packed[f"{name}|scale"] = scale.half().flatten()
        packed[f"{name}|shape"] = torch.tensor(tensor.shape, dtype=torch.int32)
    return packed


def unpack(packed: Tensors) -> Tensors:
    """The inverse of `pack`, float32."""
    tensors: Tensors = {}
    for name, tensor in packed.items():
        base, _, kind = name.partition("|")
        if not kind:
            tensors[name] = tensor.float()
        elif kind == "4bit":
            levels = torch.stack([tensor & 15, tensor >> 4], dim=1).flatten().float() - _LEVELS - 1
            scale = packed[f"{base}|scale"].float().repeat_interleave(GROUP)
            tensors[base] = (levels * scale).view(*packed[f"{base}|shape"].tolist())
    return tensors
