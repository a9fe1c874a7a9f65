"""Group offload with a stream, which takes a GPU: here the stream is a fake, the device main memory."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest
import torch
from diffusers import hooks
from diffusers.hooks import group_offloading

from cogexp.engine import generate, offload
from cogexp.engine.models import MODELS
from tests.engine.flags import spec_with

CPU = torch.device("cpu")


class Stream:
    """Everything on it is done at once."""

    def synchronize(self) -> None:
        """Nothing to wait for."""


class Backend:
    """What diffusers asks of torch.cuda."""

    def __init__(self, device: torch.device) -> None:
        pass

    Stream = Stream

    def stream(self, stream: Stream) -> Any:
        """The context in which work goes to `stream`."""
        return nullcontext()

    def current_stream(self) -> Stream:
        """The stream that computes."""
        return Stream()


@pytest.fixture
def streams(monkeypatch: pytest.MonkeyPatch) -> None:
    """Offload as for a GPU, to the CPU."""
    copied = torch.Tensor.clone

    def apply(module: Any, onload_device: torch.device, **given: Any) -> None:
        config = group_offloading.GroupOffloadingConfig(
            onload_device=CPU,
            offload_device=CPU,
            offload_type=group_offloading.GroupOffloadingType(given["offload_type"]),
            num_blocks_per_group=given["num_blocks_per_group"],
            non_blocking=False,
            stream=Stream() if given["use_stream"] else None,
            record_stream=False,
            low_cpu_mem_usage=False,
            offload_to_disk_path=given["offload_to_disk_path"],
        )
        group_offloading._apply_group_offloading(module, config)

    monkeypatch.setattr(group_offloading, "TorchDeviceBackend", Backend)
    monkeypatch.setattr(hooks, "apply_group_offloading", apply)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: copied(tensor))
    monkeypatch.setattr(torch.Tensor, "is_pinned", lambda tensor: True)

    def place(name: str, module: Any, flags: Any, device: str) -> str | None:
        if flags.offload == "none":
            return None
        return offload.install(name, module, flags.offload, torch.device("cuda"))

    monkeypatch.setattr(offload, "place", place)


@pytest.mark.parametrize("kind", ["group-block", "group", "group-disk"])
def test_a_stream_changes_nothing(kind: str, streams: None) -> None:
    spec = spec_with({"offload": kind, "lean_vae": True})
    plain = spec_with({"offload": "none", "lean_vae": True})
    try:
        wanted = clip(plain)
        MODELS.free()
        for _ in range(3):  # the first learns the order, the second looks ahead
            for mine, its in zip(clip(spec), wanted, strict=True):
                assert torch.equal(mine, its)
        vae = MODELS.part("vae", spec, "cpu")
        kept = {
            name
            for part in vae.modules()
            if (found := getattr(part, "_diffusers_hook", None))
            for name in found.hooks
        }
        assert kept == {offload.HOOK}
        encoder = MODELS.part("text_encoder", spec, "cpu").encoder
        rest = encoder._diffusers_hook.get_hook(offload.HOOK).group
        assert (rest.stream is not None) == (kind == "group-block")
    finally:
        MODELS.free()


def clip(spec: Any) -> list[torch.Tensor]:
    """Embeddings, latents and frames."""
    embeddings = generate.encode(spec, "cpu")
    latents = generate.denoise(spec, embeddings, "cpu", lambda *_: None)
    frames = torch.cat([torch.from_numpy(chunk) for chunk in generate.decode(spec, latents, "cpu")])
    return [embeddings["prompt"], latents, frames]
