"""Do generated clips show what was asked? Held-out prompts through the pipeline, read by the judge."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cogexp.nano import arch
from cogexp.nano.clip import image_features, text_features
from cogexp.nano.judge import Judge, adherence
from cogexp.nano.weights import MAX_SEQUENCE_LENGTH
from cogexp.nano.world import Scene, caption, sample_scene


def held_out_scenes(number: int, seed: int = 41) -> list[Scene]:
    """Scenes of combinations that are never trained."""
    rng = np.random.default_rng(seed)
    return [sample_scene(rng, "heldout") for _ in range(number)]


def generate(
    modules: dict[str, Any],
    texts: list[str],
    *,
    width: int,
    height: int,
    steps: int,
    guidance: float,
    device: torch.device,
    batch: int = 8,
) -> list[NDArray[np.uint8]]:
    """uint8 clips (9, h, w, 3), one a text, by CogVideoXPipeline; clip i has the noise of seed i."""
    from diffusers import CogVideoXPipeline

    plain = {name: arch.PLAIN[name]() for name in arch.PLAIN}
    pipe = CogVideoXPipeline(**plain, **modules)
    pipe.set_progress_bar_config(disable=True)
    clips: list[NDArray[np.uint8]] = []
    for start in range(0, len(texts), batch):
        part = texts[start : start + batch]
        noises = [torch.Generator().manual_seed(start + i) for i in range(len(part))]
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            shown = pipe(
                part,
                width=width,
                height=height,
                num_frames=9,
                num_inference_steps=steps,
                guidance_scale=guidance,
                max_sequence_length=MAX_SEQUENCE_LENGTH,
                generator=noises,
                output_type="np",
            ).frames
        clips += [np.round(clip * 255).astype(np.uint8) for clip in shown]
    return clips


def clip_auc(model: Any, clips: list[NDArray[np.uint8]], texts: list[str]) -> float:
    """How often a matching clip and prompt score above a mismatching pair (area under the ROC curve)."""
    images = torch.stack([image_features(model, clip).mean(0) for clip in clips])
    similarity = images @ text_features(model, texts).T
    same = torch.eye(len(clips), dtype=torch.bool, device=similarity.device)
    right, wrong = similarity[same], similarity[~same]
    above = (right[:, None] > wrong[None]).float() + 0.5 * (right[:, None] == wrong[None]).float()
    return above.mean().item()


def measure(
    modules: dict[str, Any],
    judge: Judge,
    clip_model: Any | None,
    *,
    number: int,
    size: tuple[int, int],
    steps: int,
    guidance: float,
    device: torch.device,
    sheet: Path | None = None,
) -> dict[str, float]:
    """Adherence of `number` generated held-out prompts, the CLIP's AUC on them; a contact sheet if asked."""
    scenes = held_out_scenes(number)
    texts = [caption(scene) for scene in scenes]
    clips = generate(
        modules, texts, width=size[0], height=size[1], steps=steps, guidance=guidance, device=device
    )
    figures = {f"adherence_{k}": v for k, v in adherence(judge, clips, scenes).items()}
    # What they were measured on: the model card says it.
    figures |= {"generated_clips": number, "generated_width": size[0], "generated_height": size[1]}
    figures |= {"generated_steps": steps, "generated_guidance": guidance}
    if clip_model is not None:
        figures["clip_auc"] = clip_auc(clip_model, clips, texts)
    if sheet is not None:
        write_sheet(clips, texts, sheet)
    return figures


def write_sheet(clips: list[NDArray[np.uint8]], texts: list[str], path: Path, columns: int = 4) -> None:
    """First and last frame of every clip, its caption above, as one PNG."""
    import cv2

    tiles = []
    for clip, text in zip(clips, texts, strict=True):
        small = [cv2.resize(frame, (256, 144), interpolation=cv2.INTER_AREA) for frame in (clip[0], clip[-1])]
        label = np.full((16, 512, 3), 255, np.uint8)
        cv2.putText(label, text[:88], (3, 12), cv2.FONT_HERSHEY_SIMPLEX, 0.32, (0, 0, 0), 1, cv2.LINE_AA)
        tiles.append(np.concatenate([label, np.concatenate(small, axis=1)]))
    while len(tiles) % columns:
        tiles.append(np.full_like(tiles[0], 255))
    rows = [np.concatenate(tiles[i : i + columns], axis=1) for i in range(0, len(tiles), columns)]
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.concatenate(rows)[:, :, ::-1])
