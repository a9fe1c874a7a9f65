"""The pictures in a run's folder: the contact sheet and, when something was found, the tear."""

from __future__ import annotations

from collections.abc import Mapping

from PIL import Image

from cogexp.attempt import Attempt
from cogexp.metrics import METRICS
from cogexp.metrics.artifacts.detect import Artifacts
from cogexp.metrics.artifacts.picture import tear_picture
from cogexp.sheet import contact_sheet
from cogexp.stages import Clips
from cogexp.storage.durable import replacing
from cogexp.terminal import number


def draw(attempt: Attempt, clips: Clips, detected: Artifacts | None) -> None:
    """contact_sheet.png (how it looks, at which setting, with what scores and costs), and tear.png."""
    spec, size, sampler = attempt.spec, attempt.spec.resolution, attempt.spec.sampler
    facts = (
        spec.model.name + {"pretrained": ""}.get(spec.model.weights, f", {spec.model.weights} weights"),
        size.name,
        f"{size.frames} frames at {size.fps:g} fps",
        f"{sampler.scheduler}, {sampler.steps} steps, guidance {sampler.guidance:g}",
        "native only" if spec.upscaler.name == "none" else f"{spec.upscaler.name} x{spec.upscaler.scale}",
        f"seed {spec.seed}",
    )
    rows = [
        (labelled(name, attempt.resolved), number(value))
        for name, value in attempt.scores.items()
        if value is not None
    ]
    rows += [(f"{name} seconds", f"{cost['seconds']:.1f}") for name, cost in attempt.meter.in_order().items()]
    with attempt.meter("write"), replacing(attempt.folder / "contact_sheet.png") as out:
        contact_sheet(
            clips.native[clips.shown],
            clips.upscaled_shown,
            frame_numbers=clips.shown,
            fps=spec.resolution.fps,
            title=spec.prompt.text,
            fallback_title=f"prompt: {spec.prompt.name}",
            subtitle=" · ".join(facts),
            rows=rows,
            out=out,
        )
    attempt.files["contact_sheet"] = "contact_sheet.png"
    if detected is not None and detected.kind is not None:
        with attempt.meter("write"):
            _draw_tear(attempt, clips, detected)


def labelled(name: str, resolved: Mapping[str, str]) -> str:
    """'native/clip_score (nano-clip)': a score that a CLIP network gave never stands without its name."""
    metric = name.rpartition("/")[2]
    network = resolved.get(f"metrics.{metric}", "").partition(";")[0].rpartition("/")[2]
    return f"{name} ({network})" if network and "clip" in METRICS[metric].networks else name


def _draw_tear(attempt: Attempt, clips: Clips, found: Artifacts) -> None:
    """tear.png: the worst frame with the place marked and the evidence by row."""
    with replacing(attempt.folder / "tear.png") as out:
        Image.fromarray(tear_picture(clips.native_eval, found)).save(out)
    attempt.files["tear"] = "tear.png"
