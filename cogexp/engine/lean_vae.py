"""The decoder of AutoencoderKLCogVideoX with about half of its memory, and bit-equal output.

The same modules are called on the same values in the same arithmetic as in diffusers' `forward` methods.
Left out is what nobody reads (caches of 1x1x1 convolutions), what is held too long (the caches of the group
before, a block's input after its last use) and what can be done in place (spatial norm, SiLU, residual sum).
On a CPU the spatial norm's 1x1x1 convolutions run on the latents instead of on latents enlarged to the frame:
nearest upsampling and a pointwise convolution commute. They do so there only where a probe finds the same
bits; a GPU picks its kernels by size, so there they run as in diffusers.

`standing` says whether the installed diffusers still is the one that is done over again here; when it is not,
`decode_stream` uses diffusers' own decoder and the run's record says so.
Shapes: b batch, c channels, t frames, h height, w width; z latents (b, 16, t, h, w).
"""

from __future__ import annotations

import functools
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKLCogVideoX
from diffusers import __version__ as diffusers_version
from torch import Tensor, nn

from cogexp.engine import cpu_convolution, lean_fingerprint
from cogexp.engine.threads import same_sums

# A CPU computes SiLU some values at a time, and the rest one by one with other bits. Channels of a multiple
# of this many values have no rest, so that they may be written apart from each other.
WHOLE_VECTORS = 64

Box = list[Tensor]  # one tensor, handed over: whoever pops it holds the only reference and can free it


@functools.lru_cache(maxsize=1)
def problem() -> str | None:
    """Why the installed diffusers cannot be decoded lean, or None."""
    if lean_fingerprint.fingerprint() in lean_fingerprint.KNOWN:
        return None
    return f"the CogVideoX VAE of diffusers {diffusers_version} is not the one that the lean decoder knows"


def usable(vae: AutoencoderKLCogVideoX) -> bool:
    """True when this very VAE can be decoded lean: known code, known parts, not in training."""
    if problem() is not None or vae.training:
        return False
    known = (*lean_fingerprint.CLASSES, nn.GroupNorm, nn.Conv2d, nn.SiLU, nn.Dropout, nn.ModuleList)
    return all(type(part) in known for part in vae.decoder.modules())


def standing() -> str:
    """What a record says of lean_vae=true: that it took hold, or why not."""
    reason = problem()
    return "exact, with less memory" if reason is None else f"no effect: {reason}; diffusers' own decoder"


class LeanDecoder:
    """Decodes one clip (or one tile) group by group; what the next group needs is kept inside."""

    def __init__(self, vae: AutoencoderKLCogVideoX) -> None:
        self._vae = vae
        self._kept: dict[nn.Module, Tensor] = {}
        self._last = False

    @torch.no_grad()
    def __call__(self, z: Tensor, *, last: bool) -> Tensor:
        """Latents of a group (b, 16, t, h, w) -> frames (b, 3, T, 8h, 8w) in -1..1; `last`: none follows."""
        if self._vae.post_quant_conv is not None:
            z = self._vae.post_quant_conv(z)
        decoder, self._last = self._vae.decoder, last
        box = [_shown(decoder.conv_in, self._causal(decoder.conv_in, [z]))]
        for resnet in decoder.mid_block.resnets:
            box = [_shown(resnet, self._resnet(resnet, box, z))]
        for block in decoder.up_blocks:
            for resnet in block.resnets:
                box = [_shown(resnet, self._resnet(resnet, box, z))]
            for upsampler in block.upsamplers or ():
                box = [_shown(upsampler, _upsample(upsampler, box))]
        made = self._half(decoder.norm_out, decoder.conv_out, box, z)
        return _shown(decoder.conv_out, made)

    def _resnet(self, block: Any, box: Box, z: Tensor) -> Tensor:
        """Two halves of norm, SiLU and convolution, and the input around them."""
        shortcut = box[0]
        if block.in_channels != block.out_channels:
            # First, not last as in diffusers: the input can then be freed inside the first norm.
            layer = block.conv_shortcut
            causal = block.use_conv_shortcut
            shortcut = self._causal(layer, [shortcut]) if causal else _convolve(layer, shortcut)
        made = self._half(block.norm1, block.conv1, box, z)
        inner = [made]
        del made
        return self._half(block.norm2, block.conv2, inner, z).add_(shortcut)

    def _half(self, norm: Any, convolution: Any, box: Box, z: Tensor) -> Tensor:
        reach = convolution.time_kernel_size - 1
        return self._behind(convolution, [_activated(norm, box, z, reach)])

    def _causal(self, convolution: Any, box: Box) -> Tensor:
        """Convolve what has no frames in front yet."""
        reach = convolution.time_kernel_size - 1
        return self._behind(convolution, [F.pad(box.pop(), (0, 0, 0, 0, reach, 0))])

    def _behind(self, convolution: Any, box: Box) -> Tensor:
        """Fill the room in front with the last frames of the group before, or with the first frame repeated;
        then convolve."""
        frames = box.pop()
        reach = convolution.time_kernel_size - 1
        if reach:
            before = self._kept.pop(convolution, None)
            frames[:, :, :reach] = frames[:, :, reach : reach + 1] if before is None else before
            del before
            if not self._last:
                self._kept[convolution] = frames[:, :, -reach:].clone()
        return _convolve(convolution.conv, frames)


def _shown(module: nn.Module, output: Tensor) -> Tensor:
    """`output`, after whoever watches `module` has seen it: taken apart, it never runs its own forward."""
    for watches in tuple(module._forward_hooks.values()):
        watches(module, (), output)
    return output


def _convolve(convolution: Any, frames: Tensor) -> Tensor:
    """CogVideoXSafeConv3d, which cuts inputs of more than 2 GiB (in 16 bits) along time: the same pieces, but
    one at a time, and never shorter than the kernel (there diffusers 0.42 raises: above 1.6 megapixels)."""
    gib = frames.numel() * 2 / 1024**3
    if gib <= 2 or cpu_convolution.hooked(convolution):
        return cpu_convolution.convolve(convolution, frames)
    reach = convolution.kernel_size[0] - 1
    size = max(-(-frames.shape[2] // (int(gib / 2) + 1)), reach + 1)
    made = None
    for start in range(0, frames.shape[2], size):
        first = max(start - reach, 0)
        piece = nn.Conv3d.forward(convolution, frames[:, :, first : start + size])
        if made is None:
            made = piece.new_empty(*piece.shape[:2], frames.shape[2] - reach, *piece.shape[3:])
        made[:, :, first : first + piece.shape[2]] = piece
        del piece
    assert made is not None
    return made


def _activated(norm: Any, box: Box, z: Tensor, reach: int) -> Tensor:
    """SiLU(GroupNorm(x) * conv_y(z) + conv_b(z)), z enlarged to the size of x, with room for `reach` frames
    in front: what a convolution then fills need not be copied again."""
    copies = _copies(box[0].shape, z)  # first: what a trial takes is free again for the rest
    normed: Tensor = norm.norm_layer(box.pop())
    source = z if copies else _enlarged(z, normed.shape[2:])
    for layer, apply in ((norm.conv_y.conv, Tensor.mul_), (norm.conv_b.conv, Tensor.add_)):
        convolution = functools.partial(cpu_convolution.convolve, layer)
        if copies:
            _by_blocks(apply, normed, _before(convolution, source, copies))
        else:
            apply(normed, convolution(source))
    del source
    normed = _shown(norm, normed)
    if not reach:
        return F.silu(normed, inplace=True)
    b, c, t, h, w = normed.shape
    made = normed.new_empty(b, c, t + reach, h, w)
    behind = made[:, :, reach:]
    if t * h * w % WHOLE_VECTORS == 0:
        torch.ops.aten.silu.out(normed, out=behind)
    else:
        behind.copy_(F.silu(normed, inplace=True))
    return made


def _before(convolution: Any, z: Tensor, copies: int) -> Tensor:
    """A pointwise convolution of the latents; torch picks its algorithm by the `copies` in the batch."""
    made: Tensor = convolution(torch.cat([z] * copies) if copies > 1 else z)
    return made[: z.shape[0]]


def _enlarged(z: Tensor, size: tuple[int, ...]) -> Tensor:
    """z at (T, H, W), nearest; the first of an odd number of frames stands for itself."""
    sizes = [(len(range(size[0])[span]), *size[1:]) for span in _spans(size[0])]
    parts = [
        F.interpolate(z[:, :, span], size=each) for span, each in zip(_spans(size[0]), sizes, strict=True)
    ]
    return torch.cat(parts, dim=2) if len(parts) > 1 else parts[0]


def _by_blocks(apply: Any, frames: Tensor, small: Tensor) -> None:
    """`apply` to `frames` (in place) with `small`, as if it were enlarged."""
    for span in _spans(frames.shape[2]):
        _broadcast(apply, frames[:, :, span], small[:, :, span])


def _spans(frames: int) -> tuple[slice, ...]:
    """An odd number of frames has a first one that stands for itself, in latents as in frames."""
    return (slice(0, 1), slice(1, None)) if frames > 1 and frames % 2 else (slice(None),)


def _broadcast(apply: Any, frames: Tensor, small: Tensor) -> None:
    """`apply` with each value of `small` on its block of frames, rows and columns (nearest)."""
    times, tall, wide = (large // few for large, few in zip(frames.shape[2:], small.shape[2:], strict=True))
    rows = small.repeat_interleave(wide, dim=4)  # columns written out: the inner loop stays contiguous
    blocks = frames.unflatten(3, (-1, tall)).unflatten(2, (-1, times))
    apply(blocks, rows[:, :, :, None, :, None])


def _copies(size: torch.Size, z: Tensor) -> int:
    """In how many copies the latents go through the norm's convolutions before the upsampling: as many as
    give the bits of convolving afterwards. 0: none do, or this is no CPU."""
    if z.device.type != "cpu":
        return 0
    times, *sides = zip(size[2:], z.shape[2:], strict=True)
    parts = [[len(range(count)[span]) for count in times] for span in _spans(times[0])]
    whole = all(large % few == 0 for large, few in (*sides, *parts))
    with same_sums():
        return _same_bits(z.shape, size, z.dtype, torch.get_num_threads()) if whole else 0


@functools.lru_cache(maxsize=256)
def _same_bits(small: torch.Size, large: torch.Size, dtype: torch.dtype, threads: int) -> int:
    """With how many copies does a 1x1x1 convolution on the CPU give the same bits before and after enlarging?

    torch has two algorithms, which sum in different orders: one for small inputs, and one for large ones and
    for batches. So it is tried at the very size, once a process: it costs what is spared from then on.
    """
    draw = torch.Generator().manual_seed(0)
    shapes = ((large[1], small[1], 1, 1, 1), (large[1],), small)
    weight, bias, z = (torch.randn(shape, generator=draw).to(dtype) for shape in shapes)
    after = F.conv3d(_enlarged(z, large[2:]), weight, bias)
    same: list[bool] = []

    def compare(blocks: Tensor, few: Tensor) -> None:
        same.append(torch.equal(blocks, few.expand_as(blocks)))

    for copies in (1, 2):
        same.clear()
        _by_blocks(compare, after, _before(lambda x: F.conv3d(x, weight, bias), z, copies))
        if all(same):
            return copies
    return 0


def _upsample(upsampler: Any, box: Box) -> Tensor:
    """CogVideoXUpsample3D: twice as tall and wide, with `compress_time` also twice as many frames (an odd
    number's first stays one); then a 2-D convolution. Frames change places with channels while small."""
    frames = box.pop().permute(0, 2, 1, 3, 4)  # (b, t, c, h, w)
    if upsampler.compress_time and frames.shape[1] > 1:
        parts = [frames[:, span] for span in _spans(frames.shape[1])]
        parts[-1] = parts[-1].repeat_interleave(2, dim=1)
        frames = torch.cat(parts, dim=1)
        del parts
    box.append(frames)
    del frames
    return cpu_convolution.enlarged(upsampler.conv, box)
