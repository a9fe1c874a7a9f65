"""The video's way in and out: the 3D VAE's encoder and decoder, stage by stage.

The VAE works on groups of frames (8 frames in, 2 latent frames out; the remainder joins the first group). All
groups after the first have the same shapes, so the first two are run and the second is counted as often as it
comes. Shapes: frames (1, t, 3, H, W), latents (1, t, c, H/8, W/8); inside the VAE (1, c, t, h, w).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from cogexp.catalog import VARIANTS
from cogexp.inspect.modules import build_meta, latent_frames
from cogexp.inspect.row import Row
from cogexp.inspect.trace import Stop, grouped, trace
from cogexp.spec import RunSpec

ENCODER, DECODER = "vae_encoder", "vae_decoder"

# CogVideoXSafeConv3d cuts inputs of more than 2 GiB along time; above about 1.6 million pixels the pieces are
# shorter than the kernel and the untiled VAE raises (diffusers 0.42.1). Said in a note where it happens.
TOO_LARGE = (
    " (untiled, diffusers fails at this size: its convolutions cut the clip too short; use vae_tiling)"
)


def vae_rows(spec: RunSpec) -> tuple[list[Row], list[Row]]:
    """Rows of the encoder and of the decoder."""
    vae = build_meta("vae", spec)
    return _encoder_rows(vae, spec), _decoder_rows(vae, spec)


def _encoder_rows(vae: Any, spec: RunSpec) -> list[Row]:
    frames, width, height = spec.resolution.frames, spec.resolution.width, spec.resolution.height
    encoder = vae.encoder
    stops = [Stop(stage="conv_in", pattern="conv_in")]
    for index, block in enumerate(encoder.down_blocks):
        stops.append(Stop(stage=f"down block {index}: resnets", pattern=f"down_blocks.{index}.resnets.*"))
        if block.downsamplers is not None:
            stops.append(
                Stop(stage=f"down block {index}: downsample", pattern=f"down_blocks.{index}.downsamplers.*")
            )
    stops += [
        Stop(stage="mid block", pattern="mid_block"),
        Stop(stage="norm_out", pattern="norm_out"),
        Stop(stage="conv_out", pattern="conv_out", note="mean and log variance of the latent"),
    ]
    rows, grouping = _measured(
        ENCODER,
        encoder,
        stops,
        Groups(frames, vae.num_sample_frames_batch_size),
        lambda count: vae.encode(_empty(1, 3, count, height, width)),
    )
    image = VARIANTS[spec.model.name].image_to_video
    clip = Row(
        part=ENCODER,
        stage="frames",
        module="video_processor",
        input=(1, frames, 3, height, width),
        output=rows[0].input,
        note=f"pixels to -1..1; encoded in groups of frames: {grouping}; "
        + (
            "the pipeline encodes the first frame only" if image else "text to video does not run the encoder"
        ),
    )
    _, channels, count, high, wide = rows[-1].output
    latent = Row(
        part=ENCODER,
        stage="latent",
        module="latent_dist",
        input=rows[-1].output,
        output=(1, count, channels // 2, high, wide),
        note=f"drawn from that distribution, scaling factor {vae.config.scaling_factor:g}",
    )
    return [clip, *rows, latent]


def _decoder_rows(vae: Any, spec: RunSpec) -> list[Row]:
    height, width = spec.resolution.height // 8, spec.resolution.width // 8
    frames, channels = latent_frames(spec), vae.config.latent_channels
    decoder = vae.decoder
    stops = [
        Stop(stage="conv_in", pattern="conv_in"),
        Stop(stage="mid block", pattern="mid_block"),
    ]
    for index, block in enumerate(decoder.up_blocks):
        stops.append(Stop(stage=f"up block {index}: resnets", pattern=f"up_blocks.{index}.resnets.*"))
        if block.upsamplers is not None:
            stops.append(Stop(stage=f"up block {index}: upsample", pattern=f"up_blocks.{index}.upsamplers.*"))
    stops += [
        Stop(stage="norm_out", pattern="norm_out", note="scaled and shifted by the latent (spatial norm)"),
        Stop(stage="conv_out", pattern="conv_out"),
    ]
    rows, grouping = _measured(
        DECODER,
        decoder,
        stops,
        Groups(frames, vae.num_latent_frames_batch_size),
        lambda count: vae.decode(_empty(1, channels, count, height, width)),
    )
    padded = frames + frames % VARIANTS[spec.model.name].pad_latent_frames
    padding = f"; the first {padded - frames} of {padded} latent frames is padding" if padded > frames else ""
    latent = Row(
        part=DECODER,
        stage="latent",
        module="decode_latents",
        input=(1, padded, channels, height, width),
        output=rows[0].input,
        note=f"scaling factor {vae.config.scaling_factor:g} undone; "
        f"decoded in groups of latent frames: {grouping}{padding}",
    )
    _, colours, count, high, wide = rows[-1].output
    clip = Row(
        part=DECODER,
        stage="frames",
        module="video_processor",
        input=rows[-1].output,
        output=(1, count, colours, high, wide),
        note="-1..1 to pixels",
    )
    return [latent, *rows, clip]


def _empty(*shape: int) -> Any:
    import torch

    return torch.empty(shape, device="meta")


@dataclass(frozen=True)
class Groups:
    """`frames` that the VAE takes `batch` at a time; the remainder joins the first group."""

    frames: int
    batch: int

    @property
    def count(self) -> int:
        """How many groups."""
        return max(self.frames // self.batch, 1)

    @property
    def shown(self) -> int:
        """The fewest frames with all group sizes: the first group and one more."""
        return self.frames if self.count == 1 else self.frames % self.batch + 2 * self.batch


def _measured(
    part: str, module: Any, stops: list[Stop], groups: Groups, run: Callable[[int], object]
) -> tuple[list[Row], str]:
    """Rows for a clip of `groups`, and how its frames come, as text."""

    def clip() -> None:
        run(groups.shown)

    limit = ""
    try:
        seen, _ = trace(module, stops, clip)
    except RuntimeError:
        # The shapes are those that a convolution of the whole group would give.
        _convolve_whole(module)
        seen, _ = trace(module, stops, clip)
        limit = TOO_LARGE
    first = next(iter(seen.values()))
    rows = [one.row(part, groups=groups.count, prefix=part.removeprefix("vae_")) for one in seen.values()]
    return rows, grouped(first.inputs, groups.count) + limit


def _convolve_whole(module: Any) -> None:
    """Take diffusers' splitting of large inputs out of this meta module's convolutions."""
    from diffusers.models.autoencoders.autoencoder_kl_cogvideox import CogVideoXSafeConv3d
    from torch.nn import Conv3d

    for layer in module.modules():
        if isinstance(layer, CogVideoXSafeConv3d):
            layer.forward = partial(Conv3d.forward, layer)
