"""Which positions the transformer's tokens get at a size, against those that it was trained with.

The numbers are read back from the very tables that diffusers makes (rotary cos and sin, or 3D sincos), not
computed again. Unit: patches of the trained grid, so that a native clip has the positions 0, 1, 2 ...
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cogexp.catalog import VARIANTS
from cogexp.inspect.modules import build_meta, latent_shape
from cogexp.spec import RunSpec

# Both kinds of table have wave lengths 10000^(i/n); the middle one turns by 0.01 a position: fine enough to
# read a position to 1e-4, and it does not wrap before position 314.
TURN = 0.01


@dataclass(frozen=True, kw_only=True)
class Axis:
    """Positions along one axis: at this setting, and at the variant's native size."""

    name: str
    used: tuple[float, ...]
    trained: tuple[float, ...]

    @property
    def step(self) -> float:
        """Distance of neighbouring positions; 1 in training. 0 when there is a single one."""
        return (self.used[-1] - self.used[0]) / (len(self.used) - 1) if len(self.used) > 1 else 0.0

    @property
    def verdict(self) -> str:
        """What the setting does to this axis, in words."""
        if self.used == self.trained:
            return "as trained"
        if len(self.used) > 1 and abs(self.step - 1) > 0.005:
            way = "stretched" if self.step > 1 else "squeezed"
            return f"{way}, neighbours are {self.step:.2f} apart instead of 1"
        beyond = round(self.used[-1] - self.trained[-1])
        if beyond > 0:
            return f"{beyond} position{'s' if beyond > 1 else ''} beyond the trained end"
        return f"the first {len(self.used)} of {len(self.trained)} trained positions"

    def describe(self) -> str:
        """One line for people."""
        return (
            f"{self.name}: {len(self.used)} positions, {self.used[0]:.3g} to {self.used[-1]:.3g}, "
            f"step {self.step:.2f} (trained: {len(self.trained)}, {self.trained[0]:.3g} to "
            f"{self.trained[-1]:.3g}): {self.verdict}"
        )

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "used": [self.used[0], self.used[-1], len(self.used)],
            "trained": [self.trained[0], self.trained[-1], len(self.trained)],
            "step": round(self.step, 4),
            "verdict": self.verdict,
        }


@dataclass(frozen=True, kw_only=True)
class Positions:
    """The three axes, and the kind of table they come from: 'rope' or 'sincos'."""

    kind: str
    rows: Axis
    columns: Axis
    frames: Axis

    @property
    def axes(self) -> tuple[Axis, Axis, Axis]:
        """Rows, columns, frames."""
        return self.rows, self.columns, self.frames


def positions(spec: RunSpec) -> Positions:
    """Positions of the setting and of the variant's native size and length."""
    variant = VARIANTS[spec.model.name]
    module = build_meta("transformer", spec)
    size = spec.resolution
    padded = latent_shape(spec, 1)[1]
    native = (variant.native_frames - 1) // 4 + 1
    native += native % variant.pad_latent_frames
    used = _table(module, size.height, size.width, padded)
    trained = _table(module, variant.native[1], variant.native[0], native)
    axes = [
        Axis(name=name, used=mine, trained=theirs)
        for name, mine, theirs in zip(("rows", "columns", "frames"), used, trained, strict=True)
    ]
    kind = "rope" if module.config.use_rotary_positional_embeddings else "sincos"
    return Positions(kind=kind, rows=axes[0], columns=axes[1], frames=axes[2])


def _table(module: Any, height: int, width: int, frames: int) -> tuple[tuple[float, ...], ...]:
    """Positions of rows, columns and latent frames for a clip of height x width px."""
    read = _rotary if module.config.use_rotary_positional_embeddings else _sincos
    # Space and time are separate in both tables: one frame of the full size, then a tiny picture in time.
    rows, columns, _ = read(module, height, width, module.config.patch_size_t or 1)
    _, _, times = read(module, 64, 64, frames)
    return rows, columns, times


def _rotary(module: Any, height: int, width: int, frames: int) -> tuple[tuple[float, ...], ...]:
    """From the pipeline's own cos and sin, (t*h*w, 64): 16 numbers for time, 24 for rows, 24 for columns."""
    import torch
    from diffusers import CogVideoXPipeline

    pipeline = CogVideoXPipeline(
        tokenizer=None, text_encoder=None, vae=None, transformer=module, scheduler=None
    )
    cos, sin = pipeline._prepare_rotary_positional_embeddings(height, width, frames, torch.device("cpu"))
    patch, width_t = 8 * module.config.patch_size, module.config.attention_head_dim // 4
    width_s = module.config.attention_head_dim // 8 * 3
    angles = torch.atan2(sin, cos).reshape(-1, height // patch, width // patch, cos.shape[-1])
    # Every frequency stands twice in a row; the one of 0.01 is in the middle of each axis's numbers.
    return (
        _read(angles[0, :, 0, width_t + width_s // 2]),
        _read(angles[0, 0, :, width_t + width_s + width_s // 2]),
        _read(angles[:, 0, 0, width_t // 2]),
    )


def _sincos(module: Any, height: int, width: int, frames: int) -> tuple[tuple[float, ...], ...]:
    """From `get_3d_sincos_pos_embed`, (t, h*w, D): a quarter for time, then columns, rows; sines first."""
    import torch
    from diffusers.models.embeddings import get_3d_sincos_pos_embed

    config = module.config
    patch, dim = 8 * config.patch_size, config.num_attention_heads * config.attention_head_dim
    high, wide = height // patch, width // patch
    table = get_3d_sincos_pos_embed(
        dim,
        (wide, high),
        frames,
        config.spatial_interpolation_scale,
        config.temporal_interpolation_scale,
        output_type="pt",
    ).reshape(frames, high, wide, dim)

    def axis(start: int, length: int, view: Any) -> Any:
        sines, half = start + length // 4, length // 2
        return torch.atan2(view[..., sines], view[..., sines + half])

    time, space = dim // 4, dim * 3 // 8
    return (
        _read(axis(time + space, space, table[0, :, 0]), config.spatial_interpolation_scale),
        _read(axis(time, space, table[0, 0, :]), config.spatial_interpolation_scale),
        _read(axis(0, time, table[:, 0, 0]), config.temporal_interpolation_scale),
    )


def _read(angles: Any, scale: float = 1.0) -> tuple[float, ...]:
    """Angles of the 0.01 wave -> positions, rounded to what float32 tables can tell."""
    return tuple(round(angle / TURN * scale, 3) + 0.0 for angle in angles.double().tolist())
