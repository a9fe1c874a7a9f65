"""Facts about the public CogVideoX variants, and which settings each of them accepts.

Sources: the checkpoints' own configs, the model cards and the authors' recommended parameters
(https://github.com/zai-org/CogVideo). Parameter counts are those of the built modules.
"""

from __future__ import annotations

from dataclasses import dataclass

TEXT_ENCODER_PARAMETERS = 4_762_310_656  # T5 v1.1-XXL encoder
VAE_PARAMETERS = 215_583_907

COGVIDEOX_LICENSE = "CogVideoX License (free for research; commercial use needs registration)"


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One public variant. Sizes in pixels; `max_*`: where the transformer's positions end (None: no end)."""

    name: str
    hub_id: str | None
    license: str
    generation: str  # "1.0" or "1.5"
    image_to_video: bool
    native: tuple[int, int]
    native_frames: int
    native_fps: int
    frame_step: int  # frames must be frame_step*k + 1
    dtype: str  # what the authors recommend on a GPU
    scheduler: str
    steps: int
    guidance: float
    dynamic_cfg: bool
    heads: int
    layers: int
    transformer_parameters: int
    positions: str  # "sincos" or "rope"
    only_native_size: bool = False
    max_width: int | None = None
    max_height: int | None = None
    pad_latent_frames: int = 1  # latent frames are padded to a multiple of this

    @property
    def model_dim(self) -> int:
        """Width of the transformer: heads of 64."""
        return self.heads * 64

    @property
    def embedded(self) -> bool:
        """True for the model that ships inside this package."""
        return self.hub_id is None


def _public(name: str, hub_id: str, **changes: object) -> Variant:
    """A 5B-sized CogVideoX 1.0 with `changes`."""
    facts: dict[str, object] = {
        "license": COGVIDEOX_LICENSE,
        "generation": "1.0",
        "image_to_video": False,
        "native": (720, 480),
        "native_frames": 49,
        "native_fps": 8,
        "frame_step": 8,
        "dtype": "bfloat16",
        "scheduler": "dpm",
        "steps": 50,
        "guidance": 6.0,
        "dynamic_cfg": True,
        "heads": 48,
        "layers": 42,
        "positions": "rope",
    }
    return Variant(name=name, hub_id=hub_id, **(facts | changes))  # type: ignore[arg-type]


_GENERATION_1_5: dict[str, object] = {
    "generation": "1.5",
    "native": (1360, 768),
    "native_frames": 81,
    "native_fps": 16,
    "frame_step": 16,
    "max_width": 1360,
    "max_height": 768,
    "pad_latent_frames": 2,
}

VARIANTS: dict[str, Variant] = {
    "nano": Variant(
        name="nano",
        hub_id=None,
        license="Apache-2.0",
        generation="1.0",
        image_to_video=False,
        native=(512, 288),
        native_frames=9,
        native_fps=8,
        frame_step=8,
        dtype="float32",
        scheduler="ddim",
        steps=20,
        guidance=2.0,
        dynamic_cfg=False,
        heads=4,
        layers=8,
        transformer_parameters=8_054_976,
        positions="rope",
    ),
    "cogvideox-2b": _public(
        "cogvideox-2b",
        "THUDM/CogVideoX-2b",
        license="Apache-2.0",
        dtype="float16",
        scheduler="ddim",
        dynamic_cfg=False,
        heads=30,
        layers=30,
        transformer_parameters=1_693_783_872,
        positions="sincos",
    ),
    "cogvideox-5b": _public("cogvideox-5b", "THUDM/CogVideoX-5b", transformer_parameters=5_570_283_072),
    "cogvideox-1.5-5b": _public(
        "cogvideox-1.5-5b", "THUDM/CogVideoX1.5-5B", transformer_parameters=5_570_676_352, **_GENERATION_1_5
    ),
    "cogvideox-5b-i2v": _public(
        "cogvideox-5b-i2v",
        "THUDM/CogVideoX-5b-I2V",
        image_to_video=True,
        only_native_size=True,
        transformer_parameters=5_570_479_680,
    ),
    "cogvideox-1.5-5b-i2v": _public(
        "cogvideox-1.5-5b-i2v",
        "THUDM/CogVideoX1.5-5B-I2V",
        image_to_video=True,
        transformer_parameters=5_571_594_880,
        **_GENERATION_1_5,
    ),
}


def size_problem(variant: Variant, width: int, height: int) -> str | None:
    """Why this variant cannot run at this size ('rule, got WxH; nearest: WxH'), or None."""
    got = f"got {width}x{height}"
    if variant.only_native_size and (width, height) != variant.native:
        native = "x".join(map(str, variant.native))
        return f"must be {native} for {variant.name} (its positions are learned), {got}; nearest: {native}"
    max_width, max_height = variant.max_width or width, variant.max_height or height
    if width > max_width or height > max_height:
        nearest = f"{min(width, max_width)}x{min(height, max_height)}"
        return (
            f"must be at most {max_width}x{max_height} for {variant.name} (its positions end there), "
            f"{got}; nearest: {nearest}"
        )
    return None


def frames_problem(variant: Variant, frames: int) -> str | None:
    """Why this variant cannot make this many frames, or None."""
    step = variant.frame_step
    if (frames - 1) % step == 0:
        return None
    low = (frames - 1) // step * step + 1
    return (
        f"must be {step}k+1 for {variant.name} (the VAE packs time), got {frames}; "
        f"nearest: {low} or {low + step}"
    )


def off_trained_grid(variant: Variant, width: int, height: int, frames: int) -> str | None:
    """A note when the setting runs but is outside what the authors support, else None."""
    notes = []
    if (width, height) != variant.native:
        native = "x".join(map(str, variant.native))
        notes.append(f"{width}x{height} is outside the size {variant.name} was trained for ({native})")
    if frames > variant.native_frames:
        notes.append(f"{frames} frames is longer than its training clips ({variant.native_frames})")
    return "; ".join(notes) or None
