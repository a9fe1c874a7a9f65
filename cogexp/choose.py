"""Automatic choices and snapping: pure functions of the request and of what this machine has."""

from __future__ import annotations

from cogexp import catalog, machine
from cogexp.plan import cards, memory, settings
from cogexp.spec import OptimizationSpec, RunSpec, SpecError
from cogexp.storage.checkpoint_code import code_asked_by
from cogexp.storage.run_files import expanded, is_file
from cogexp.system.host_memory import host_memory

# Best first; image-to-video models need an image and are never chosen for the user.
TEXT_TO_VIDEO = ("cogvideox-5b", "cogvideox-1.5-5b", "cogvideox-2b")


def choose_model(width: int, height: int, frames: int, weights: str, device: str) -> tuple[str, str]:
    """The name of the best variant that is here and fits, and the reason in one line.

    Sizes of 0 mean automatic. A variant is chosen only when its checkpoint is on disk: a first run must
    not start to download 20 GB by itself.
    """
    card = machine.gpu() if device.startswith("cuda") else None
    if card is None:
        return "nano", "nano: no CUDA device, so the embedded model"
    fitting = [
        v
        for name in TEXT_TO_VIDEO
        if _fits(v := catalog.VARIANTS[name], width, height, frames, card.total_gib)
    ]
    here = [v for v in fitting if weights == "random" or machine.checkpoint_is_here(v.hub_id or "")]
    if here:
        return here[0].name, f"{here[0].name}: fits the {card.name} ({card.total_gib:.0f} GiB)"
    if fitting:
        best = fitting[0].name
        return (
            "nano",
            f"nano: {best} would fit the {card.name}; get it with: python -m cogexp fetch model={best}",
        )
    return (
        "nano",
        f"nano: no variant fits the {card.name} ({card.total_gib:.0f} GiB) as it is; "
        "try model=cogvideox-2b optimization=balanced",
    )


def _fits(variant: catalog.Variant, width: int, height: int, frames: int, total_gib: float) -> bool:
    width, height = width or variant.native[0], height or variant.native[1]
    if catalog.size_problem(variant, width, height):
        return False
    peak = memory.plain_peak_gib(variant, width, height, frames or variant.native_frames)
    return peak <= cards.of_size(total_gib).usable_gib


def choose_optimization(
    spec: RunSpec, automatic: tuple[str, ...], device: str
) -> tuple[OptimizationSpec, str]:
    """The flags with the automatic ones chosen, and the choice in one line: the fastest that fits this card.

    Without a card nothing is needed: the flags stay as they are.
    """
    here = machine.gpu() if device.startswith("cuda") else None
    if here is None:
        return (
            spec.optimization,
            f"none: nothing to save on {device}" if device == "cpu" else "none: no card found",
        )
    card = cards.of_machine(here)
    # The total: what is free changes from call to call, and with it the setting would.
    flags = settings.choose(spec, automatic, card, host_memory().total_gib)
    if flags is None:
        lean = settings.leanest(spec, automatic, card)
        return lean, f"{settings.described(lean)}: the least memory, and still too much for the {card.name}"
    fits = f"the fastest that fits the {card.name} ({card.memory_gib:.0f} GiB)"
    return flags, f"{settings.described(flags)}: {fits}"


def dtype_for(variant: catalog.Variant, device: str) -> str:
    """float32 on a CPU (16-bit arithmetic is emulated there), else the authors' choice."""
    return "float32" if device == "cpu" else variant.dtype


def require_checkpoint(variant: catalog.Variant, folder: str) -> str:
    """The absolute path of a local checkpoint, or SpecError."""
    if variant.embedded:
        raise SpecError(
            f"model.path has no meaning for model=nano (it is embedded), got {folder!r}; nearest: null"
        )
    path = expanded(folder).absolute()
    if not is_file(path / "model_index.json"):
        raise SpecError(
            f"model.path must be a folder with a diffusers checkpoint (model_index.json), got {folder!r}; "
            f"without a path: python -m cogexp fetch model={variant.name}"
        )
    if code := code_asked_by(path):
        raise SpecError(
            f"model.path must hold weights and no code, got {folder!r}: {code}; "
            "cogexp runs no code of a checkpoint: take those keys out of a copy of the folder"
        )
    return str(path)


def snap_size(variant: catalog.Variant, width: int, height: int, resolved: dict[str, str]) -> tuple[int, int]:
    """The nearest legal size; a change is written into `resolved`."""
    if variant.only_native_size:
        snapped = variant.native
    else:
        low_width, low_height = (max(64, min(16 * round(side / 16), 4096)) for side in (width, height))
        snapped = (
            min(low_width, variant.max_width or low_width),
            min(low_height, variant.max_height or low_height),
        )
    if snapped != (width, height):
        resolved["resolution"] = f"snapped from {width}x{height} to {snapped[0]}x{snapped[1]} (strict=false)"
    return snapped


def snap_frames(variant: catalog.Variant, frames: int, resolved: dict[str, str]) -> int:
    """The nearest legal frame count; a change is written into `resolved`."""
    step = variant.frame_step
    snapped = max(round((frames - 1) / step), 0) * step + 1
    if snapped != frames:
        resolved["resolution.frames"] = f"snapped from {frames} to {snapped} (strict=false)"
    return snapped
