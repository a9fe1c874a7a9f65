"""Hooks that read what passes a text encoder, a VAE and a transformer, and leave no trace.

Every watch is a context: its hooks are gone after the block, also after an exception. Hooks only read, so
that frames made inside the block are bit-equal to frames made without it. Shapes: text (B, L, d), VAE
(1, c, t, h, w), transformer (B, N, D) with N = f*h*w video tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cogexp.inspect.attention import word_mass
from cogexp.inspect.reduce import CHUNK, Components, Maps, components, feature_maps

Handles = list[Any]


@contextmanager
def _removed(handles: Handles) -> Iterator[None]:
    """Remove the hooks in any case; more may be added inside the block."""
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def first_tensor(value: Any) -> Tensor:
    """A module's output, or the first part of it."""
    while isinstance(value, (tuple, list)):
        value = value[0]
    tensor: Tensor = value
    return tensor


def text_layer_names(encoder: nn.Module) -> list[str]:
    """The layers that `text_layers` reports, in the order of the data."""
    return ["embedding", *(f"layer {i}" for i in range(len(encoder.encoder.block))), "final norm"]


@contextmanager
def text_layers(encoder: nn.Module, seen: Callable[[int, int, Tensor], None]) -> Iterator[None]:
    """Call `seen(layer, call, states)` with (B, L, d) of every layer, in every call of the T5 encoder."""
    stack = encoder.encoder
    handles: Handles = []
    for index, module in enumerate((stack.embed_tokens, *stack.block, stack.final_layer_norm)):
        calls = iter(range(10**9))

        def hook(_: nn.Module, __: Any, out: Any, index: int = index, calls: Iterator[int] = calls) -> None:
            seen(index, next(calls), first_tensor(out))

        handles.append(module.register_forward_hook(hook))
    with _removed(handles):
        yield


def vae_stages(half: nn.Module) -> list[tuple[str, nn.Module]]:
    """Names and modules of the layers of a VAE's encoder or decoder, in the order of the data."""
    stages: list[tuple[str, nn.Module]] = [("conv_in", half.conv_in)]
    middle = [(f"mid block, resnet {j}", module) for j, module in enumerate(half.mid_block.resnets)]
    down = hasattr(half, "down_blocks")
    blocks: list[tuple[str, nn.Module]] = []
    for i, block in enumerate(half.down_blocks if down else half.up_blocks):
        name = f"{'down' if down else 'up'} block {i}"
        blocks += [(f"{name}, resnet {j}", module) for j, module in enumerate(block.resnets)]
        samplers = block.downsamplers if down else block.upsamplers
        blocks += [(f"{name}, {'down' if down else 'up'}sample", module) for module in samplers or ()]
    stages += [*blocks, *middle] if down else [*middle, *blocks]
    return [*stages, ("norm_out", half.norm_out), ("conv_out", half.conv_out)]


@contextmanager
def vae_layers(half: nn.Module, *, widest: int, count: int) -> Iterator[dict[str, Maps]]:
    """The feature maps of every layer in its first call (the first frames, and of tiles the first one)."""
    found: dict[str, Maps] = {}
    handles: Handles = []
    for name, module in vae_stages(half):

        def hook(_: nn.Module, __: Any, out: Any, name: str = name) -> None:
            if name not in found:
                found[name] = feature_maps(first_tensor(out), widest=widest, count=count)

        handles.append(module.register_forward_hook(hook))
    with _removed(handles):
        yield found


@dataclass(frozen=True, kw_only=True)
class BlockView:
    """A transformer block after one step: norms (n,) of its video tokens, and their components."""

    norms: np.ndarray
    parts: Components


@dataclass
class Passes:
    """What the transformer's passes gave: views and attention by (step, block), and the patch grid (f, h, w).

    `inputs` has the arguments of the passes that were to be kept, by step, of the item with the prompt.
    Attention is (n, columns) float32: mean over the heads, for the pass with the prompt.
    """

    views: dict[tuple[int, int], BlockView] = field(default_factory=dict)
    attention: dict[tuple[int, int], np.ndarray] = field(default_factory=dict)
    inputs: dict[int, dict[str, Any]] = field(default_factory=dict)
    grid: tuple[int, int, int] = (0, 0, 0)
    step: int = -1
    item: int | None = None
    _time: float | None = None

    def enter(self, latents: Tensor, text: Tensor, time: Tensor, prompt: Tensor, config: Any) -> None:
        """A pass begins: which step it is, and which item of the batch has the prompt (None: no one)."""
        now = float(time.flatten()[0])
        if now != self._time:
            self.step, self._time = self.step + 1, now
        same = (text == prompt.to(text)).flatten(1).all(1).nonzero().flatten().tolist()
        self.item = same[-1] if same else None
        frames, (height, width), patch = latents.shape[1], latents.shape[-2:], config.patch_size
        self.grid = (frames // (config.patch_size_t or 1), height // patch, width // patch)


@contextmanager
def transformer_blocks(
    transformer: nn.Module,
    *,
    prompt: Tensor,
    weights: Tensor,
    blocks: Sequence[int],
    steps: Sequence[int],
    keep: Sequence[int] = (),
) -> Iterator[Passes]:
    """Watch `blocks` in the passes of `steps` (counted from 0) that have `prompt` (1, L, d).

    Of the steps in `keep` the arguments are kept, so that the pass can be repeated.

    Queries and keys are read where their norms leave them, so it does not matter which processor and which
    attention kernel runs. `weights` (L, columns): how much of each text token counts for a column.
    """
    found = Passes()

    def begins(_: nn.Module, args: Any, kwargs: Any) -> None:
        given = dict(zip(("hidden_states", "encoder_hidden_states", "timestep"), args, strict=False)) | kwargs
        found.enter(
            given["hidden_states"],
            given["encoder_hidden_states"],
            given["timestep"],
            prompt,
            transformer.config,
        )
        if found.item is not None and found.step in keep:
            found.inputs[found.step] = _of_item(given, found.item)

    handles = [transformer.register_forward_pre_hook(begins, with_kwargs=True)]
    for index in blocks:
        block = transformer.transformer_blocks[index]
        handles += _watch_block(block, index, found, set(steps))
        handles += _watch_attention(block.attn1, index, found, set(steps), weights)
    with _removed(handles):
        yield found


def _of_item(given: dict[str, Any], item: int) -> dict[str, Any]:
    """The arguments of one item of the batch, as copies."""
    batch = given["hidden_states"].shape[0]
    return {
        name: value[item : item + 1].clone() if isinstance(value, Tensor) and len(value) == batch else value
        for name, value in given.items()
    }


def _watch_block(block: nn.Module, index: int, found: Passes, steps: set[int]) -> Handles:
    def after(_: nn.Module, __: Any, out: Any) -> None:
        if found.item is not None and found.step in steps:
            tokens = first_tensor(out)[found.item]
            norms = torch.cat(
                [tokens[at : at + CHUNK].float().norm(dim=-1) for at in range(0, len(tokens), CHUNK)]
            )
            found.views[found.step, index] = BlockView(norms=norms.cpu().numpy(), parts=components(tokens))

    return [block.register_forward_hook(after)]


def _watch_attention(attn: nn.Module, index: int, found: Passes, steps: set[int], weights: Tensor) -> Handles:
    """The query waits from its norm to the key's; both are read before rotary positions are put on them."""
    held: dict[str, Any] = {}

    def begins(_: nn.Module, args: Any, kwargs: Any) -> None:
        if found.item is not None and found.step in steps:
            held["rotary"] = kwargs.get("image_rotary_emb")
            held["text"] = kwargs["encoder_hidden_states"].shape[1]

    def query_made(_: nn.Module, __: Any, out: Tensor) -> None:
        if held:
            held["query"] = out

    def key_made(_: nn.Module, __: Any, out: Tensor) -> None:
        if "query" in held:
            query, item = held.pop("query"), found.item
            mass = word_mass(query[item], out[item], weights, text=held["text"], rotary=held["rotary"])
            found.attention[found.step, index] = mass.cpu().numpy()

    def ends(_: nn.Module, __: Any, ___: Any) -> None:
        held.clear()

    return [
        attn.register_forward_pre_hook(begins, with_kwargs=True),
        attn.norm_q.register_forward_hook(query_made),
        attn.norm_k.register_forward_hook(key_made),
        attn.register_forward_hook(ends),
    ]
