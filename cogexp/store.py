"""Stage results on disk by the content they depend on: embeddings, latents, decoded frames.

`outputs/store/<kind>/<key>.safetensors`, where key is the digest of that part of the spec. What it cost to
make (seconds, memory) travels in the file's metadata, so that a record can say it when the result is reused.
What is read is checked, and made again when it fails (see cogexp/storage). Bounded in size: the least
recently used files go first. Only the standard library until a tensor is touched.
"""

from __future__ import annotations

import logging
import stat
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cogexp import tiles
from cogexp.spec import RunSpec, digest
from cogexp.storage import bounded_folder, stage_check, stage_file
from cogexp.system.faults import reason_of

if TYPE_CHECKING:
    from torch import Tensor

log = logging.getLogger("cogexp")

# Raised whenever the same spec would give different numbers: older files are then not found, and age out.
FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Keys:
    """The content key of each stage that is kept. Each depends on the one before it."""

    encode: str
    denoise: str
    decode: str

    @classmethod
    def of(cls, spec: RunSpec) -> Keys:
        """Keys of the stages of `spec`: what can change a stage's result, or what it costs, is in its key.

        A stage that is used again brings its seconds and peaks along, so a flag that changes no number but
        the cost (offload, lean_vae) is there too: else a run would pass off another's costs as its own.
        """
        encode = {**_text(spec, spec.prompt.text), "negative": spec.prompt.negative}
        resolution = {
            "width": spec.resolution.width,
            "height": spec.resolution.height,
            "frames": spec.resolution.frames,
        }
        flags = spec.optimization
        denoise = {
            "encode": encode,
            "image": spec.prompt.image_sha256,
            "resolution": resolution,
            "sampler": asdict(spec.sampler),
            "seed": spec.seed,
            "flags": [flags.layerwise_cast, flags.cache, flags.compile, flags.fuse_qkv, flags.channels_last],
            **_changed(spec, "quantize", "attention", "split_cfg", "offload"),
            **(_changed(spec, "vae_cast") if spec.prompt.image else {}),  # the first frame is encoded
        }
        decode = {
            "denoise": denoise,
            "flags": [flags.vae_tiling, *_edge_tile(spec)],
            **_changed(spec, "vae_cast", "lean_vae"),
        }
        return cls(encode=digest(encode), denoise=digest(denoise), decode=digest(decode))


def _edge_tile(spec: RunSpec) -> tuple[int, ...]:
    """Which tiles "edge" means is this package's choice and may change: frames of others are not found."""
    if spec.optimization.vae_tiling != "edge":
        return ()
    return tiles.edge_tile(spec.resolution.height, spec.resolution.width)


def text_key(spec: RunSpec, text: str) -> str:
    """The key of one text's embedding: the negative prompt of a whole study is one of them."""
    return digest(_text(spec, text))


def calibration_spec(spec: RunSpec, text: str) -> RunSpec:
    """What MagCache is calibrated on for `spec`: the exact clip of one fixed text, without a negative one."""
    return replace(
        spec,
        prompt=replace(spec.prompt, name="calibration", text=text, negative=""),
        optimization=replace(spec.optimization, cache="none"),
        seed=0,
    )


def calibration_key(spec: RunSpec) -> str:
    """The key of the ratios measured on `spec`: they depend on no flag that only moves weights."""
    return Keys.of(replace(spec, optimization=replace(spec.optimization, offload="none"))).denoise


def _text(spec: RunSpec, text: str) -> dict[str, Any]:
    model = {"format": FORMAT, "model": asdict(spec.model)}
    return {**model, "text": text, **_changed(spec, "text_cast", "quantize_text", "offload")}


def _changed(spec: RunSpec, *flags: str) -> dict[str, bool | str]:
    """Those of `flags` that are set: a flag that came later leaves the keys of earlier results alone."""
    return {flag: value for flag, value in spec.optimization.changed().items() if flag in flags}


class Store:
    """A folder of safetensors files, `limit_gb` in all; a limit of 0 keeps nothing."""

    def __init__(self, folder: Path, limit_gb: float) -> None:
        self.folder = folder
        self.limit_bytes = int(limit_gb * 1e9)

    def path(self, kind: str, key: str) -> Path:
        """Where the result of stage `kind` with `key` lies or would lie."""
        return self.folder / kind / f"{key[:32]}{bounded_folder.STAGE}"

    def has(self, kind: str, key: str) -> bool:
        """True when the result is there (it may still prove unreadable or damaged)."""
        try:
            return stat.S_ISREG(self.path(kind, key).stat().st_mode)
        except OSError:
            return False

    def load(
        self, kind: str, key: str, spec: RunSpec | None = None
    ) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Tensors by name and what they cost, or None. `spec`: what they are for, so that sizes are checked.

        A file that fails its check is set aside and said; one that cannot be read is said and stays.
        """
        path = self.path(kind, key)
        if not self.has(kind, key):
            return None
        try:
            stage = stage_file.read(path, kind, key)
            if found := stage_check.problem(kind, stage, spec):
                raise stage_file.DamagedStage(found)
        except stage_file.DamagedStage as error:
            log.warning("the stored %s result is damaged and will be made again: %s", kind, error)
            bounded_folder.set_aside(path)
            return None
        except FileNotFoundError:  # another process made room
            return None
        except OSError as error:
            why = reason_of(error)
            log.warning("the stored %s result cannot be read (%s) and will be made again", kind, why)
            return None
        if not stage.verified:
            log.info("the stored %s result is of an earlier version, without a digest: %s", kind, path.name)
        bounded_folder.touch(path)  # least recently *used* goes first
        return stage.tensors, stage.cost

    def save(self, kind: str, key: str, tensors: Mapping[str, Tensor], cost: Mapping[str, Any]) -> None:
        """Keep a result; a full disk costs only the reuse, so it is said and the run goes on."""
        size = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
        if size > self.limit_bytes:
            if self.limit_bytes:
                log.warning("store_gb is too small to keep the %s result (%.2f GB)", kind, size / 1e9)
            return
        try:
            bounded_folder.make_room(self.folder, size, self.limit_bytes)
            stage_file.write(self.path(kind, key), kind, key, tensors, cost)
        except OSError as error:
            log.warning("the %s result could not be kept for reuse: %s", kind, error)
