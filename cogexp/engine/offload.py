"""Where weights wait and when they come: placement, and the hooks that move them.

none      everything on the device, as it is loaded, and it stays
text      the text encoder leaves the device after the prompts are encoded
model     one part on the device at a time
group, group-block, group-disk, sequential
          layers or blocks come when they are computed; with a stream the next comes while one computes
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from cogexp.engine.offload_folder import new_folder
from cogexp.engine.probe import hooked, took_hold
from cogexp.spec import OptimizationSpec

HOOK = "group_offloading"
LOOKING_AHEAD = ("lazy_prefetch_group_offloading", "layer_execution_tracker")
WHOLE = {"none": (), "text": ("text_encoder",), "model": ("text_encoder", "transformer", "vae")}


def place(name: str, module: Any, flags: OptimizationSpec, device: str) -> str | None:
    """Put the part `name` where it waits; what was done, in words (None: it is simply on the device).

    On a CPU everything is where it computes, whatever the flag.
    """
    if device == "cpu" or (flags.offload in WHOLE and not leaves(name, flags, device)):
        module.to(device)
        return None
    if flags.offload in WHOLE:
        module.to("cpu")
        return f"{flags.offload}: on the GPU only while it computes"
    return install(name, module, flags.offload, torch.device(device))


def leaves(name: str, flags: OptimizationSpec, device: str) -> bool:
    """True when the part comes as a whole before it computes and leaves the device afterwards."""
    return device != "cpu" and name in WHOLE.get(flags.offload, ())


@contextmanager
def visiting(module: torch.nn.Module, device: str) -> Iterator[None]:
    """The part's weights on `device` inside the block.

    What waits in main memory stays there meanwhile and serves again: nothing computes new weights, so nothing
    is copied back. Only quantized tensors are moved both ways.
    """
    waiting = [(p, p.data) for p in module.parameters() if type(p) is torch.nn.Parameter]
    module.to(device)
    try:
        yield
    finally:
        for parameter, weights in waiting:
            parameter.data = weights
        module.to("cpu")


def install(name: str, module: Any, offload: str, device: torch.device) -> str:
    """The hooks of sequential and group offload, for computing on `device`; what was done, in words."""
    module.to("cpu")
    if offload == "sequential":
        from accelerate import cpu_offload

        cpu_offload(module, device)
        waiting = sum(p.device.type == "meta" for p in module.parameters())
        took_hold("offload", waiting > 0)
        return f"sequential: {waiting} tensors come one layer at a time"
    from diffusers.hooks import apply_group_offloading

    by_block = offload == "group-block" and name != "vae"  # the VAE's parts are small
    folder = new_folder() if offload == "group-disk" else None
    stream = device.type != "cpu" and not (folder and name == "vae")
    apply_group_offloading(
        # T5 keeps its blocks one level further down, and its embedding under two names: hooked under both,
        # what goes to disk second is the memory that the first one has left.
        module.encoder if name == "text_encoder" else module,
        onload_device=device,
        offload_device=torch.device("cpu"),
        offload_type="block_level" if by_block else "leaf_level",
        num_blocks_per_group=1 if by_block else None,
        use_stream=stream,
        offload_to_disk_path=folder,
    )
    if stream and name == "vae":
        # Its decoder is called from outside its own forward, which is where looking ahead would begin: a
        # stream only means that weights wait pinned and are not copied back.
        for hook in LOOKING_AHEAD:
            module._diffusers_hook.remove_hook(hook, recurse=True)
    if stream and by_block:
        _pin_the_rest(module.encoder if name == "text_encoder" else module)
    groups = hooked(module, HOOK)
    took_hold("offload", groups > 0)
    kind = "blocks" if by_block else "layers"
    return f"{offload}: {groups} {kind} come when they are computed" + (f", from {folder}" if folder else "")


def _pin_the_rest(module: Any) -> None:
    """Let what is in no block (embeddings, the last layers) wait pinned as the blocks do.

    diffusers (0.42) moves it without a stream: there from pageable memory and back into new memory, around
    every call. On the blocks' stream the copy is still waited for, and nothing is copied back.
    """
    groups = [
        registry.get_hook(HOOK).group
        for part in module.modules()
        if (registry := getattr(part, "_diffusers_hook", None)) and registry.get_hook(HOOK)
    ]
    streams = [group.stream for group in groups if group.stream is not None]
    for group in groups:
        if streams and group.stream is None and not group.offload_to_disk_path:
            group.stream = streams[0]
            group.cpu_param_dict = group._init_cpu_param_dict()
            group.offload_()
