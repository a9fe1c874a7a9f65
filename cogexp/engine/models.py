"""Loads the parts of a model, places them on the device, and holds them for the next job of the process.

Parts are loaded one by one, when a stage needs them: a run whose latents are in the store loads no
transformer and no text encoder. One model is held at a time; `MODELS` says what is held and frees it.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from typing import Any

import torch

from cogexp.catalog import VARIANTS
from cogexp.engine import checkpoints, offload, optimize
from cogexp.engine.configs import T5_XXL, scheduler_config, transformer_config, vae_config
from cogexp.engine.random_weights import random_module
from cogexp.nano import weights as nano_weights
from cogexp.spec import ModelSpec, RunSpec, digest

log = logging.getLogger("cogexp")

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class DeviceError(RuntimeError):
    """The device that was asked for cannot be used by this torch."""


class Models:
    """The parts held by this process, by name, each with the key of what it was loaded for."""

    def __init__(self) -> None:
        self._held: dict[str, tuple[str, Any, dict[str, str]]] = {}
        self._told: tuple[RunSpec | None, dict[str, str]] = (None, {})

    def held(self) -> tuple[str, ...]:
        """Names of the parts in memory."""
        return tuple(self._held)

    def is_loaded(self, name: str, spec: RunSpec, device: str) -> bool:
        """True when `part` would come without loading anything."""
        return name in self._held and self._held[name][0] == _key(name, spec, device)

    def notes(self, spec: RunSpec, device: str) -> dict[str, str]:
        """How the optimizations of this very spec took hold in the parts that are held for it."""
        found: dict[str, str] = {}
        for name, (_, _, notes) in self._held.items():
            if self.is_loaded(name, spec, device):
                found |= notes
        job, told = self._told
        return found | (told if job == spec else {})

    def tell(self, spec: RunSpec, notes: dict[str, str]) -> None:
        """Keep what one job found out about its own flags, until the next job tells."""
        self._told = (spec, notes)

    def free(self, *names: str) -> None:
        """Drop parts (all without names) and give their memory back."""
        gone = [self._held.pop(name, None) for name in names or tuple(self._held)]
        if any(held is not None and optimize.is_compiled(held[1]) for held in gone):
            torch.compiler.reset()  # its code is for this very module and size
        del gone
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def part(self, name: str, spec: RunSpec, device: str) -> Any:
        """The part `name` for this spec: held, or loaded, optimized and placed."""
        key = _key(name, spec, device)
        if name in self._held and self._held[name][0] != key:
            self.free(name)
        if name not in self._held:
            log.info("loading %s of %s (%s, %s)", name, spec.model.name, spec.model.dtype, spec.model.weights)
            loaded = load_part(name, spec.model, optimize.made_on(name, spec.optimization, device))
            notes: dict[str, str] = {}
            if isinstance(loaded, torch.nn.Module):
                loaded.requires_grad_(False).eval()
                loaded, notes = optimize.prepare(name, loaded, spec.optimization, device)
            self._held[name] = (key, loaded, notes)
        return self._held[name][1]

    @contextmanager
    def on_device(self, names: tuple[str, ...], spec: RunSpec, device: str) -> Iterator[tuple[Any, ...]]:
        """The parts, ready to compute on `device`; those that do not stay there leave it afterwards."""
        parts = tuple(self.part(name, spec, device) for name in names)
        leaving = [
            part
            for name, part in zip(names, parts, strict=True)
            if offload.leaves(name, spec.optimization, device)
        ]
        with ExitStack() as visits:
            if leaving:
                visits.callback(torch.cuda.empty_cache)  # the last thing that is done
            for module in leaving:
                visits.enter_context(offload.visiting(module, device))
            yield parts


MODELS = Models()


def check_device(device: str) -> None:
    """Raise DeviceError when torch cannot use `device`."""
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise DeviceError(
            f"a GPU was asked for (device={device}), but this torch ({torch.__version__}) cannot use one; "
            "use device=cpu, or install a torch build for this driver"
        )


def _key(name: str, spec: RunSpec, device: str) -> str:
    flags = asdict(spec.optimization)
    matter = optimize.PART_FLAGS.get(name, ())
    return digest([name, asdict(spec.model), device, {flag: flags[flag] for flag in matter}])


def load_part(name: str, model: ModelSpec, device: str) -> Any:
    """Load one of tokenizer, text_encoder, transformer, vae, scheduler (its config) in the model's dtype."""
    if VARIANTS[model.name].embedded:
        part, dtype = nano_weights.components((name,), kind=model.weights)[name], DTYPES[model.dtype]
        return part.to(dtype) if isinstance(part, torch.nn.Module) and part.dtype != dtype else part
    return _random(name, model, device) if model.weights == "random" else _pretrained(name, model)


def _pretrained(name: str, model: ModelSpec) -> Any:
    from diffusers import AutoencoderKLCogVideoX, CogVideoXDDIMScheduler, CogVideoXTransformer3DModel
    from transformers import AutoTokenizer, T5EncoderModel

    folder, dtype = checkpoints.locate(model) / name, DTYPES[model.dtype]
    if name == "tokenizer":
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    if name == "scheduler":
        return CogVideoXDDIMScheduler.from_config(CogVideoXDDIMScheduler.load_config(folder))
    if name == "text_encoder":
        return T5EncoderModel.from_pretrained(folder, dtype=dtype, use_safetensors=True)
    classes = {"transformer": CogVideoXTransformer3DModel, "vae": AutoencoderKLCogVideoX}
    return classes[name].from_pretrained(folder, torch_dtype=dtype, use_safetensors=True)


def _random(name: str, model: ModelSpec, device: str) -> Any:
    """A full-size part without a download, made on the target device in the target dtype."""
    from diffusers import AutoencoderKLCogVideoX, CogVideoXDDIMScheduler, CogVideoXTransformer3DModel
    from transformers import T5Config, T5EncoderModel

    variant = VARIANTS[model.name]
    if name == "tokenizer":
        # The real vocabulary is part of the download; any token ids cost the same.
        return nano_weights.components(("tokenizer",))["tokenizer"]
    if name == "scheduler":
        return CogVideoXDDIMScheduler(**scheduler_config(variant))
    make: dict[str, Callable[[], torch.nn.Module]] = {
        "text_encoder": lambda: T5EncoderModel(T5Config(**T5_XXL)),
        "transformer": lambda: CogVideoXTransformer3DModel(**transformer_config(variant)),
        "vae": lambda: AutoencoderKLCogVideoX(**vae_config(variant)),
    }
    return random_module(make[name], DTYPES[model.dtype], device)
