"""Where the parts of a model come from: this package's engine for a spec, or a pipeline of diffusers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from cogexp.engine import generate, optimize
from cogexp.engine.decode import decode_stream
from cogexp.engine.models import MODELS
from cogexp.inspect.modules import text_tokens
from cogexp.spec import RunSpec

OnStep = Callable[[int, int], None]


class Source(Protocol):
    """A model that can be run stage by stage while it is watched."""

    @property
    def device(self) -> str:
        """Where it computes; parts may lie elsewhere while they are offloaded."""

    @property
    def prompt(self) -> str:
        """The text."""

    @property
    def text_length(self) -> int:
        """Tokens that a prompt is padded to."""

    @property
    def steps(self) -> int:
        """Denoising steps."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the clip, px."""

    def parts(self, *names: str) -> Any:
        """A context with the parts of these names, ready to compute."""

    def encode(self) -> dict[str, Tensor]:
        """`prompt` and, with guidance, `negative` embeddings (1, L, d)."""

    def denoise(self, embeddings: dict[str, Tensor], on_step: OnStep) -> Tensor:
        """Latents (1, t, c, h, w)."""

    def decode(self, latents: Tensor) -> np.ndarray:
        """Frames (n, H, W, 3) uint8."""


@dataclass(frozen=True, kw_only=True)
class EngineSource:
    """The very stages that a run of `spec` goes through; make one with `of`."""

    spec: RunSpec
    device: str

    @classmethod
    def of(cls, spec: RunSpec, device: str) -> EngineSource:
        """The stages of `spec`, decoded lean where that is possible: the same bits and layers, sooner and
        with less memory."""
        return cls(spec=replace(spec, optimization=replace(spec.optimization, lean_vae=True)), device=device)

    @property
    def prompt(self) -> str:
        """The text."""
        return self.spec.prompt.text

    @property
    def text_length(self) -> int:
        """48 for the embedded model, 226 for the public ones."""
        return text_tokens(self.spec)

    @property
    def steps(self) -> int:
        """Denoising steps."""
        return self.spec.sampler.steps

    @property
    def size(self) -> tuple[int, int]:
        """Height and width, px."""
        return self.spec.resolution.height, self.spec.resolution.width

    @contextmanager
    def parts(self, *names: str) -> Iterator[tuple[Any, ...]]:
        """The parts on the device; the VAE tiles or not as the spec says."""
        with MODELS.on_device(names, self.spec, self.device) as found:
            if "vae" in names:
                optimize.set_tiling(found[names.index("vae")], self.spec.optimization.vae_tiling)
            yield found

    def encode(self) -> dict[str, Tensor]:
        """As the run does."""
        return generate.encode(self.spec, self.device)

    def denoise(self, embeddings: dict[str, Tensor], on_step: OnStep) -> Tensor:
        """As the run does."""
        return generate.denoise(self.spec, embeddings, self.device, on_step)

    def decode(self, latents: Tensor) -> np.ndarray:
        """As the run does."""
        return np.concatenate(list(generate.decode(self.spec, latents, self.device)))


@dataclass(frozen=True, kw_only=True)
class PipelineSource:
    """A CogVideoXPipeline (or image-to-video) of the user's, placed and optimized as the user did.

    `call` goes to the pipeline as it is (image=..., use_dynamic_cfg=...).
    """

    pipeline: Any
    prompt: str
    negative: str = ""
    size: tuple[int, int]
    frames: int
    steps: int
    guidance: float
    seed: int
    call: dict[str, Any] = field(default_factory=dict)

    @property
    def device(self) -> str:
        """Where the pipeline computes."""
        return str(self.pipeline._execution_device)

    @property
    def text_length(self) -> int:
        """What the transformer was made for."""
        return int(self.pipeline.transformer.config.max_text_seq_length)

    @contextmanager
    def parts(self, *names: str) -> Iterator[tuple[Any, ...]]:
        """The pipeline's own parts, where they are; its offloading hooks move them when they are called."""
        yield tuple(getattr(self.pipeline, name) for name in names)

    @torch.no_grad()
    def encode(self) -> dict[str, Tensor]:
        """Through the pipeline's own method."""
        positive, negative = self.pipeline.encode_prompt(
            self.prompt,
            self.negative or None,
            do_classifier_free_guidance=self.guidance > 1,
            max_sequence_length=self.text_length,
            device=self.pipeline._execution_device,
        )
        return {"prompt": positive} | ({} if negative is None else {"negative": negative})

    def denoise(self, embeddings: dict[str, Tensor], on_step: OnStep) -> Tensor:
        """The pipeline, asked for latents."""

        def done(_: Any, index: int, __: Any, ___: Any) -> dict[str, Any]:
            on_step(index + 1, self.steps)
            return {}

        latents: Tensor = self.pipeline(
            prompt_embeds=embeddings["prompt"],
            negative_prompt_embeds=embeddings.get("negative"),
            height=self.size[0],
            width=self.size[1],
            num_frames=self.frames,
            num_inference_steps=self.steps,
            guidance_scale=self.guidance,
            generator=torch.Generator("cpu").manual_seed(self.seed),
            callback_on_step_end=done,
            output_type="latent",
            **self.call,
        ).frames
        return latents

    def decode(self, latents: Tensor) -> np.ndarray:
        """Group by group; 1.5 denoises a few latent frames more than were asked for, at the front."""
        wanted = (self.frames - 1) // 4 + 1
        vae = self.pipeline.vae
        if hook := getattr(vae, "_hf_hook", None):  # offloading moves it only for its own methods
            hook.pre_forward(vae)
        return np.concatenate(list(decode_stream(vae, latents[:, latents.shape[1] - wanted :])))
