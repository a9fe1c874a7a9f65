"""`inspect activations=true`: its words, checked before anything is loaded, and the atlas they ask for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cogexp.build import Request
from cogexp.catalog import VARIANTS
from cogexp.spec import SpecError, check_choice
from cogexp.storage.run_files import expanded, is_file
from cogexp.terminal import Progress

if TYPE_CHECKING:
    from cogexp.inspect.atlas import Atlas
    from cogexp.inspect.compare import Comparison
    from cogexp.inspect.draw.kit import Picture
    from cogexp.inspect.measured import Measured
    from cogexp.inspect.row import Row

KEYS = ("activations", "steps", "layers", "video", "probes", "effects")
LIBRARIES = {"matplotlib": "matplotlib", "sklearn": "scikit-learn", "jinja2": "jinja2"}
FEWEST_PROMPTS, MOST_PROMPTS = 100, 2000
UNTRAINED = (
    "These weights are random, all of them or those of some parts: pictures and figures of such parts show "
    "what the architecture does to noise, and nothing that a model has learned."
)


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What to watch: steps and blocks from 0, a video for the encoder, prompts to probe with (0: none).

    None is a sensible choice. `effects`: whether a step is repeated without each word.
    """

    steps: tuple[int, ...] | None
    layers: tuple[int, ...] | None
    video: Path | None
    probes: int | None
    effects: bool


def wanted(options: dict[str, str]) -> bool:
    """Whether layers are to be watched; the other words make no sense without.

    Raises:
        SpecError: activations is neither true nor false, or one of the other words is given without it.
    """
    choice = options.get("activations", "false").lower()
    check_choice("activations", choice, ("true", "false"))
    if choice == "false" and (lone := next((key for key in KEYS[1:] if key in options), None)):
        raise SpecError(f"{lone} says what to watch and needs activations=true, which is not given")
    return choice == "true"


def read_wish(options: dict[str, str], request: Request) -> Wish:
    """The words, checked against the model and the sampler.

    Raises:
        SpecError: one line that names the key, the rule and what is nearest.
    """
    flags = request.spec.optimization
    for name, value in (("compile", flags.compile), ("cache", flags.cache)):
        if value != "none":
            raise SpecError(
                f"optimization.{name} must be none with activations=true, got {value}: "
                f"{'compiled' if name == 'compile' else 'skipped'} blocks cannot be watched; nearest: none"
            )
    if missing := [wheel for module, wheel in LIBRARIES.items() if find_spec(module) is None]:
        raise SpecError(
            f"activations=true needs {', '.join(missing)}, not installed here; pip install 'cogexp[inspect]'"
        )
    steps = _numbers("steps", options, request.spec.sampler.steps, first=1)
    blocks = VARIANTS[request.spec.model.name].layers
    return Wish(
        steps=None if steps is None else tuple(step - 1 for step in steps),
        layers=_numbers("layers", options, blocks, first=0),
        video=_video(options.get("video")),
        probes=_probes(options.get("probes")),
        effects=_flag("effects", options.get("effects", "true")),
    )


def _flag(key: str, text: str) -> bool:
    check_choice(key, text.lower(), ("true", "false"))
    return text.lower() == "true"


def _numbers(key: str, options: dict[str, str], count: int, *, first: int) -> tuple[int, ...] | None:
    """'all', '0,4,10-20' -> numbers, each from `first` to the last of `count`."""
    if key not in options:
        return None
    last, text = first + count - 1, options[key]
    if text == "all":
        return tuple(range(first, last + 1))
    found: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,4})(?:-(\d{1,4}))?\s*", part)
        if match is None:
            raise SpecError(
                f"{key} must be all, or numbers and ranges such as {first},{last} or {first}-{last}, "
                f"got {text!r}; nearest: all"
            )
        low, high = int(match[1]), int(match[2] or match[1])
        for number in (low, high):
            if not first <= number <= last:
                raise SpecError(
                    f"{key} must lie in {first}..{last} here, got {number}; "
                    f"nearest: {min(max(number, first), last)}"
                )
        if low > high:
            raise SpecError(f"{key} must rise in a range, got {part.strip()}; nearest: {high}-{low}")
        found |= set(range(low, high + 1))
    return tuple(sorted(found))


def _video(text: str | None) -> Path | None:
    if text is None:
        return None
    path = expanded(text)
    if not is_file(path):
        raise SpecError(
            f"video must name a file, got {text!r}, which there is not; without it: the clip made"
        )
    from cogexp.video import VideoError, probe

    try:
        probe(path)
    except VideoError as error:
        raise SpecError(f"video: {error}") from None
    return path


def _probes(text: str | None) -> int | None:
    if text is None:
        return None
    rule = f"probes must be 0 (none) or from {FEWEST_PROMPTS} to {MOST_PROMPTS} prompts, got {text}"
    if not re.fullmatch(r"\d{1,9}", text):
        raise SpecError(f"{rule}; nearest: 0")
    count = int(text)
    if count and not FEWEST_PROMPTS <= count <= MOST_PROMPTS:
        raise SpecError(f"{rule}; nearest: {min(max(count, FEWEST_PROMPTS), MOST_PROMPTS)}")
    return count


def make_atlas(
    request: Request,
    wish: Wish,
    rows: list[Row],
    comparison: Comparison | None,
    progress: Progress,
) -> tuple[Atlas, Measured | None]:
    """Watch one clip being made, measure the text layers, write the atlas, show it in W&B."""
    from cogexp.engine.models import check_device
    from cogexp.inspect.atlas import write_atlas
    from cogexp.inspect.measured import PROMPTS, measure
    from cogexp.inspect.modules import untrained
    from cogexp.inspect.sources import EngineSource
    from cogexp.inspect.tables import tables
    from cogexp.inspect.watched import VIDEO_FRAMES, observe
    from cogexp.video import VideoError, read

    spec, settings = request.spec, request.settings
    device = settings.device
    check_device(device)
    _check_memory(request, device, progress)
    try:
        video = read(wish.video, max_frames=VIDEO_FRAMES).frames if wish.video else None
    except VideoError as error:
        raise SpecError(f"video: {error}") from None
    source = EngineSource.of(spec, device)
    with progress.stage("load", None):
        for name in ("tokenizer", "text_encoder", "transformer", "vae"):
            with source.parts(name):
                pass
    found = observe(
        source,
        layers=wish.layers,
        steps=wish.steps,
        video=video,
        effects=wish.effects,
        progress=progress,
    )
    layers = None
    if wish.probes != 0:
        layers = measure(source, prompts=wish.probes or PROMPTS, progress=progress)
    folder = settings.outputs / "inspect" / spec.run_id
    size, sampler = spec.resolution, spec.sampler
    atlas = write_atlas(
        folder,
        found,
        layers,
        title=f"Inside {spec.model.name} at {size.name}",
        facts=f"{size.frames} frames, {sampler.scheduler}, {sampler.steps} steps, "
        f"guidance {sampler.guidance:g}, seed {spec.seed}, {spec.model.dtype} on {device}; "
        f"blocks {_listed(found.blocks)} of {found.all_blocks}, "
        f"steps {_listed([step + 1 for step in found.steps])} watched"
        + (f"; the encoder was shown {wish.video.name}" if wish.video else ""),
        warnings=[UNTRAINED] if untrained(spec) else [],
        tables=tables(rows, spec),
        extra=_positions(comparison, folder) if comparison else [],
        fps=size.fps,
        progress=progress,
    )
    return atlas, layers


def _check_memory(request: Request, device: str, progress: Progress) -> None:
    """Watching costs little more than the run that it watches: what cannot fit is refused as a run is."""
    from cogexp.plan.preflight import check

    mode = request.settings.preflight
    if mode == "off" or not (found := check(request.spec, device)):
        return
    if found.impossible and mode == "refuse":
        raise SpecError(f"{found.text}; preflight=warn goes on all the same")
    progress.say(found.text)


def _listed(numbers: Any) -> str:
    return ", ".join(map(str, numbers))


def _positions(comparison: Comparison, folder: Path) -> list[Picture]:
    """The comparison's picture, as one of the atlas."""
    from PIL import Image

    from cogexp.inspect.draw.kit import Picture
    from cogexp.inspect.picture import draw

    file = folder / "pictures" / "positions.png"
    draw(comparison, file)
    with Image.open(file) as picture:
        width, height = picture.size
    this, other = comparison.this, comparison.other
    return [
        Picture(
            file=file.name, section="Two sizes", width=width, height=height,
            title=f"{this.size} against {other.size}",
            caption="Positions of the tokens in the trained field, and where decode tiles meet.",
            words=" ".join(axis.describe() for axis in this.positions.axes),
        )
    ]  # fmt: skip


def track(request: Request, atlas: Atlas, layers: Measured | None, started: str, progress: Progress) -> None:
    """Show the atlas's pictures and figures in W&B under inspect/, in a run of their own."""
    from cogexp import provenance
    from cogexp.record import Record, now
    from cogexp.tracking import make_tracker

    spec, settings = request.spec, request.settings
    tracker = make_tracker(
        settings.tracking,
        project=settings.project,
        entity=settings.entity,
        folder=settings.outputs,
        say=progress.say,
    )
    run_id = f"inspect-{spec.run_id}"
    tags = ["inspect", spec.model.name, spec.resolution.name]
    tracker.start(run_id, spec.to_dict(), study=settings.study, name=run_id, tags=tags)
    record = Record(
        run_id=run_id,
        status="ok",
        spec=spec.to_dict(),
        resolved=dict(request.resolved),
        scores=_scores(layers) if layers else {},
        files=atlas.files() | {"inspect/clip": "clip.mp4"},
        versions=provenance.versions(),
        git=provenance.git_state(Path(__file__).parent),
        started=started,
        finished=now(),
        study=settings.study,
    )
    tracker.finish(record, atlas.folder)


def _scores(layers: Measured) -> dict[str, float | None]:
    """The best of each probe and the final rank, so that settings can be compared in W&B's tables."""
    best = {
        f"inspect/probe/{name.replace(' ', '_')}": max(one.mean for one in scores)
        for name, scores in layers.probes.items()
    }
    return {**best, "inspect/effective_rank": layers.rank[-1]}
