"""The stages of one run with their store: what is there is used again, what is made is kept.

Frames stream: as soon as a group of frames is decoded it is upscaled, reduced for the metrics and encoded,
so that the upscaled clip is never held as a whole. Chunks are (n, h, w, 3) uint8.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from cogexp.attempt import Attempt
from cogexp.engine.decode import InvalidFrames
from cogexp.metrics import EvalClip, EvalClipBuilder
from cogexp.request.prompt_window import cuts
from cogexp.sheet import frames_to_show
from cogexp.spec import RunSpec, UpscalerSpec
from cogexp.store import Keys, Store, calibration_key, calibration_spec, text_key
from cogexp.system.faults import reason_of
from cogexp.terminal import Progress
from cogexp.upscale.errors import InvalidPixels
from cogexp.video import Writer

if TYPE_CHECKING:
    from torch import Tensor

    from cogexp.upscale import Upscaler

log = logging.getLogger("cogexp")

BLACK_LEVEL = 2  # a clip whose brightest pixel is this dark is no night scene, it is an overflow
VISIBLE_LEVEL = 16  # a clip with a pixel this bright is no black one, whatever an upscaler smooths
GPU_CHUNK, CPU_CHUNK = 4, 1  # frames upscaled at once; on a CPU more at once is no faster


@dataclass(frozen=True, kw_only=True)
class Clips:
    """What remains of a run's frames: the native ones, some upscaled ones, and what the metrics see."""

    native: np.ndarray
    native_eval: EvalClip
    upscaled_eval: EvalClip | None
    shown: list[int]  # indices of the frames that the contact sheet shows
    upscaled_shown: np.ndarray | None


def latents(attempt: Attempt, store: Store, progress: Progress) -> Tensor:
    """The denoised latents: out of the store, or made from the prompt's embeddings."""
    from cogexp.engine import generate

    keys, meter, spec = Keys.of(attempt.spec), attempt.meter, attempt.spec
    if (kept := store.load("denoise", keys.denoise, spec)) is not None:
        meter.reuse("encode", kept[1]["encode"])
        meter.reuse("denoise", kept[1]["denoise"])
        return kept[0]["latents"]
    embeddings = _embeddings(attempt, store, progress, spec)
    ratios = _calibration(attempt, store, progress)
    _load(attempt, progress, "transformer", "scheduler")
    with progress.stage("denoise", spec.sampler.steps) as advance, meter("denoise"):
        made = generate.denoise(spec, embeddings, attempt.device, lambda done, _: advance(done), ratios)
    attempt.tell()
    costs = {name: meter.stages[name] for name in ("encode", "denoise")}
    store.save("denoise", keys.denoise, {"latents": made}, costs)
    return made


def _embeddings(attempt: Attempt, store: Store, progress: Progress, spec: RunSpec) -> dict[str, Tensor]:
    """The embeddings that `spec` needs, each text's by itself: what a study repeats is encoded once."""
    from cogexp.engine import generate

    texts = {"prompt": spec.prompt.text} | (
        {"negative": spec.prompt.negative} if spec.sampler.guidance > 1 else {}
    )
    found, costs = {}, []
    for name, text in texts.items():
        if (kept := store.load("encode", text_key(spec, text), spec)) is not None:
            found[name] = kept[0]["embedding"]
            costs.append(kept[1])
    missing = {name: text for name, text in texts.items() if name not in found}
    if not missing:
        attempt.meter.reuse("encode", max(costs, key=lambda cost: cost["seconds"]))
        return found
    _load(attempt, progress, "tokenizer", "text_encoder")
    _say_what_is_cut(attempt, progress)
    with progress.stage("encode", None), attempt.meter("encode"):
        made = generate.encode_texts(spec, list(missing.values()), attempt.device)
    for (name, text), embedding in zip(missing.items(), made, strict=True):
        found[name] = embedding
        store.save("encode", text_key(spec, text), {"embedding": embedding}, attempt.meter.stages["encode"])
    return found


def _say_what_is_cut(attempt: Attempt, progress: Progress) -> None:
    """A prompt that is not read to its end: a checkpoint that came only now has brought its tokenizer."""
    for key, line in cuts(attempt.spec).items():
        if key not in attempt.resolved:
            attempt.resolved[key] = line
            progress.say(f"{key}: {line}")


def _calibration(attempt: Attempt, store: Store, progress: Progress) -> list[float] | None:
    """MagCache's ratios for this model, sampler and size: kept, or measured in a clip of their own."""
    from cogexp.engine import generate, magcache

    if attempt.spec.optimization.cache != "magcache":
        return None
    spec = calibration_spec(attempt.spec, magcache.CALIBRATION_TEXT)
    file = store.folder / "magcache" / f"{calibration_key(spec)[:32]}.json"
    ratios = magcache.read(file)
    if ratios is None:
        embeddings = _embeddings(attempt, store, progress, spec)
        _load(attempt, progress, "transformer", "scheduler")
        with progress.stage("calibrate", spec.sampler.steps) as advance, attempt.meter("load"):
            ratios = generate.calibrate(spec, embeddings, attempt.device, lambda done, _: advance(done))
        size = f"{spec.resolution.name}x{spec.resolution.frames}"
        about = {"model": spec.model.name, "size": size, "sampler": asdict(spec.sampler)}
        note = f"kept in {file.name}"
        try:
            magcache.write(file, ratios, about)
        except OSError as error:  # costs only the reuse
            note = f"not kept ({reason_of(error)})"
            log.warning("MagCache's calibration could not be kept: %s", error)
        attempt.resolved["magcache"] = f"calibrated in one exact clip of its own, {note}"
    else:
        attempt.resolved["magcache"] = f"calibrated earlier: {file.name}"
    return ratios


def native_frames(attempt: Attempt, store: Store, progress: Progress) -> Iterator[np.ndarray]:
    """The native clip in chunks: out of the store, or decoded from the latents as they are needed."""
    import torch

    from cogexp.engine import generate

    key, meter = Keys.of(attempt.spec).decode, attempt.meter
    if (kept := store.load("decode", key, attempt.spec)) is not None:
        for name in ("encode", "denoise", "decode"):
            meter.reuse(name, kept[1][name])
        yield from np.array_split(kept[0]["frames"].numpy(), max(1, len(kept[0]["frames"]) // 8))
        return
    made = latents(attempt, store, progress)
    _load(attempt, progress, "vae")
    chunks: list[np.ndarray] = []
    with progress.stage("decode", attempt.spec.resolution.frames) as advance:
        source = generate.decode(attempt.spec, made, attempt.device)
        while True:
            with meter("decode"):
                chunk = next(source, None)
            if chunk is None:
                break
            chunks.append(chunk)
            advance(sum(map(len, chunks)))
            yield chunk
    clip = np.concatenate(chunks)
    meter.current = "decode"  # the last chunk was written since
    if clip.max() <= BLACK_LEVEL:
        raise InvalidFrames(
            f"every frame is black (brightest pixel {clip.max()} of 255); 16-bit overflow is the usual "
            "cause: try model.dtype=bfloat16 or float32"
        )
    costs = {name: meter.stages[name] for name in ("encode", "denoise", "decode")}
    store.save("decode", key, {"frames": torch.from_numpy(clip)}, costs)


def stream(attempt: Attempt, chunks: Iterator[np.ndarray], progress: Progress) -> Clips:
    """Write native.mp4 and, with an upscaler, upscaled.mp4 while the frames come; return what is kept."""
    spec, meter, fps = attempt.spec, attempt.meter, attempt.spec.resolution.fps
    upscaler = None
    if spec.upscaler.name != "none":
        with meter("load"):
            upscaler = _upscaler(spec.upscaler, attempt.device)
        attempt.resolved["upscaler"] = upscaler.description
    shown = frames_to_show(spec.resolution.frames)
    native, enlarged = [], []
    brightest = 0
    native_eval, upscaled_eval = (EvalClipBuilder(fps=fps, height=spec.metrics.height) for _ in range(2))
    step = CPU_CHUNK if attempt.device == "cpu" else GPU_CHUNK
    with ExitStack() as files:
        native_file = files.enter_context(Writer(attempt.folder / "native.mp4", fps))
        if upscaler:
            advance = files.enter_context(progress.stage("upscale", spec.resolution.frames))
            upscaled_file = files.enter_context(Writer(attempt.folder / "upscaled.mp4", fps))
        done = 0
        for chunk in chunks:
            native.append(chunk)
            with meter("write"):
                native_file.write(chunk)
            with meter("measure"):
                native_eval.add(chunk)
            for start in range(0, len(chunk) if upscaler else 0, step):
                assert upscaler is not None
                with meter("upscale"):
                    large = upscaler(chunk[start : start + step])
                with meter("write"):
                    upscaled_file.write(large)
                with meter("measure"):
                    upscaled_eval.add(large)
                brightest = max(brightest, int(large.max()))
                enlarged += [frame for index, frame in enumerate(large, done) if index in shown]
                done += len(large)
                advance(done)
        if upscaler and _is_overflow(brightest, native):
            meter.current = "upscale"
            raise InvalidPixels(
                f"every upscaled frame is black (brightest pixel {brightest} of 255), the native clip is not"
            )
        meter.current = "write"  # closing the files
    attempt.files |= {"native": "native.mp4"} | ({"upscaled": "upscaled.mp4"} if upscaler else {})
    return Clips(
        native=np.concatenate(native),
        native_eval=native_eval.finish(),
        upscaled_eval=upscaled_eval.finish() if upscaler else None,
        shown=shown,
        upscaled_shown=np.stack(enlarged) if upscaler else None,
    )


def _is_overflow(brightest: int, native: list[np.ndarray]) -> bool:
    """Whether an upscaled clip with this brightest pixel is black though its source is not."""
    return brightest <= BLACK_LEVEL and max(int(chunk.max()) for chunk in native) >= VISIBLE_LEVEL


@functools.lru_cache(maxsize=1)
def _upscaler(spec: UpscalerSpec, device: str) -> Upscaler:
    """The network stays for the next job of the process that wants the same one."""
    from cogexp.upscale import load_upscaler

    return load_upscaler(spec, device)


def _load(attempt: Attempt, progress: Progress, *names: str) -> None:
    """Load parts that this process does not hold yet, and count it as loading."""
    from cogexp.engine.models import MODELS

    if all(MODELS.is_loaded(name, attempt.spec, attempt.device) for name in names):
        return
    with (
        progress.stage(f"load {names[-1] if names[0] != 'transformer' else names[0]}", None),
        attempt.meter("load"),
    ):
        for name in names:
            MODELS.part(name, attempt.spec, attempt.device)
