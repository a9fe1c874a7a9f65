"""The denoising loop: what diffusers' CogVideoX pipelines do, without asking the device for anything.

The pipelines keep their timesteps on the device and read them back in every step (in the scheduler, for the
dynamic guidance, in every layer of a step cache), and each reading waits for all that was queued. Here they
are plain integers. The results are bit-equal. Guidance can be split: first the pass without the prompt, then
the one with it, each with half the activations.
Shapes: embeddings (1, l, d); latents (1, t, c, h, w).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import CogVideoXDPMScheduler
from torch import Tensor

from cogexp.spec import RunSpec

OnStep = Callable[[int, int], None]


@dataclass(kw_only=True)
class Loop:
    """One clip under way. `timestep` is the present one: what step caches ask for.

    `passes` are the embeddings of a step's passes through the transformer: one, (negative, positive) together
    or one after the other.
    """

    pipeline: Any
    spec: RunSpec
    passes: list[Tensor]
    device: str
    timestep: int = -1

    @torch.no_grad()
    def run(self, image: Any, on_step: OnStep) -> Tensor:
        """Latents after all steps; `image` is the first frame of image-to-video, else None."""
        spec, scheduler = self.spec, self.pipeline.scheduler
        # Noise is drawn on the CPU, so that a seed means the same on every device.
        generator = torch.Generator("cpu").manual_seed(spec.seed)
        scheduler.set_timesteps(spec.sampler.steps, device="cpu")
        host: list[int] = scheduler.timesteps.tolist()
        on_device = scheduler.timesteps.to(self.device)
        latents, first = self._start(image, generator)
        extra = self._extra(latents)
        before: Tensor | None = None
        for index, timestep in enumerate(host):
            self.timestep = timestep
            scaled = scheduler.scale_model_input(latents, timestep)
            seen = scaled if first is None else torch.cat([scaled, first], dim=2)
            predicted = self._guided(self._predict(seen, on_device[index], extra), timestep)
            if isinstance(scheduler, CogVideoXDPMScheduler):
                last = host[index - 1] if index else None
                latents, before = scheduler.step(
                    predicted, before, timestep, last, latents, generator=generator, return_dict=False
                )
            else:
                latents = scheduler.step(predicted, timestep, latents, return_dict=False)[0]
            latents = latents.to(self.passes[0].dtype)
            on_step(index + 1, len(host))
        return latents

    def _start(self, image: Any, generator: torch.Generator) -> tuple[Tensor, Tensor | None]:
        """The noise and, with an image, what is known of the first frame; both (1, t, c, h, w)."""
        pipeline, size, config = self.pipeline, self.spec.resolution, self.pipeline.transformer.config
        frames, patch = size.frames, config.patch_size_t or 1
        # The 1.5 models denoise whole patches of frames.
        frames += -((frames - 1) // 4 + 1) % patch * 4
        shape = {"num_frames": frames, "height": size.height, "width": size.width}
        dtype = self.passes[0].dtype
        if image is None:
            return pipeline.prepare_latents(
                1, config.in_channels, **shape, dtype=dtype, device=self.device, generator=generator
            ), None
        pixels = pipeline.video_processor.preprocess(image, height=size.height, width=size.width)
        noise, first = pipeline.prepare_latents(
            pixels.to(self.device, dtype=dtype), 1, config.in_channels // 2,
            **shape, dtype=dtype, device=self.device, generator=generator,
        )  # fmt: skip
        return noise, first

    def _extra(self, latents: Tensor) -> dict[str, Any]:
        """The rotary embedding and the strength of the motion, where the model has them."""
        config, size = self.pipeline.transformer.config, self.spec.resolution
        found: dict[str, Any] = {}
        if config.use_rotary_positional_embeddings:
            found["image_rotary_emb"] = self.pipeline._prepare_rotary_positional_embeddings(
                size.height, size.width, latents.size(1), torch.device(self.device)
            )
        if config.ofs_embed_dim is not None:
            found["ofs"] = latents.new_full((1,), fill_value=2.0)
        return found

    def _predict(self, latents: Tensor, timestep: Tensor, extra: dict[str, Any]) -> list[Tensor]:
        """The transformer's answers in float32: one, or (without the prompt, with it)."""
        transformer = self.pipeline.transformer
        answers: list[Tensor] = []
        for index, text in enumerate(self.passes):
            batch = text.shape[0]
            # A cache keeps the two passes of split guidance apart by name.
            name = "cond_uncond" if len(self.passes) == 1 else ("uncond", "cond")[index]
            with transformer.cache_context(name):
                answer = transformer(
                    hidden_states=latents if batch == 1 else torch.cat([latents] * batch),
                    encoder_hidden_states=text,
                    timestep=timestep.expand(batch),
                    return_dict=False,
                    **extra,
                )[0]
            answers += answer.float().chunk(batch)
        return answers

    def _guided(self, answers: list[Tensor], timestep: int) -> Tensor:
        """Classifier-free guidance; the scale may follow the pipelines' cosine schedule."""
        if len(answers) == 1:
            return answers[0]
        sampler = self.spec.sampler
        scale = sampler.guidance
        if sampler.dynamic_cfg:
            done = ((sampler.steps - timestep) / sampler.steps) ** 5.0
            scale = 1 + sampler.guidance * ((1 - math.cos(math.pi * done)) / 2)
        without, with_prompt = answers
        return without + scale * (with_prompt - without)


def passes_of(embeddings: dict[str, Tensor], spec: RunSpec, device: str) -> list[Tensor]:
    """The embeddings of a step's passes, on the device: without guidance one, else together or split."""
    positive = embeddings["prompt"].to(device)
    if spec.sampler.guidance <= 1:
        return [positive]
    negative = embeddings["negative"].to(device)
    return [negative, positive] if spec.optimization.split_cfg else [torch.cat([negative, positive])]
