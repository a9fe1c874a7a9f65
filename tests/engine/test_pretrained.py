"""Checkpoints on disk: the pretrained path against diffusers' own loader, and damage found before loading."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import CogVideoXPipeline, CogVideoXTransformer3DModel

from cogexp.__main__ import main
from cogexp.build import build
from cogexp.engine import checkpoints, generate
from cogexp.engine.models import MODELS, DeviceError, check_device
from cogexp.nano import arch, weights


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint in the layout of the public ones: thin modules, 226 text tokens as at full size."""
    folder = tmp_path_factory.mktemp("checkpoint")
    parts = weights.components()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        thin = arch.NANO_CONFIG["transformer"] | {"num_layers": 1, "max_text_seq_length": 226}
        parts["transformer"] = CogVideoXTransformer3DModel(**thin).eval()
    CogVideoXPipeline(**parts).save_pretrained(folder)
    return folder


@pytest.fixture(autouse=True)
def _nothing_held() -> Iterator[None]:
    yield
    MODELS.free()


def test_a_folder_gives_the_frames_of_diffusers_own_loader(checkpoint: Path) -> None:
    spec = build(
        {
            "model": {"name": "cogvideox-2b", "path": str(checkpoint)},
            "device": "cpu",
            "resolution": {"width": 64, "height": 64, "frames": 9},
            "sampler": {"steps": 2},
            "prompt": {"text": "two wolves"},
        }
    ).spec
    latents = generate.denoise(spec, generate.encode(spec, "cpu"), "cpu", lambda done, total: None)
    frames = np.concatenate(list(generate.decode(spec, latents, "cpu")))

    pipeline = CogVideoXPipeline.from_pretrained(checkpoint)
    pipeline.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(0)
    images = pipeline(
        "two wolves",
        height=64,
        width=64,
        num_frames=9,
        num_inference_steps=2,
        guidance_scale=6,
        generator=generator,
    ).frames[0]
    np.testing.assert_array_equal(frames, np.stack([np.asarray(image) for image in images]))


def test_a_complete_checkpoint_is_complete(checkpoint: Path) -> None:
    assert checkpoints.incomplete(checkpoint) is None


@pytest.mark.parametrize("damage", ["cut off", "no .safetensors", "is missing", "not a safetensors"])
def test_damage_is_found_without_loading(checkpoint: Path, tmp_path: Path, damage: str) -> None:
    import shutil

    folder = tmp_path / "copy"
    shutil.copytree(checkpoint, folder)
    vae = next((folder / "vae").glob("*.safetensors"))
    if damage == "cut off":
        vae.write_bytes(vae.read_bytes()[:-100])
    elif damage == "no .safetensors":
        vae.unlink()
    elif damage == "is missing":
        index = {"weight_map": {"a": vae.name, "b": "part-2.safetensors"}}
        (folder / "vae" / "model.safetensors.index.json").write_text(json.dumps(index))
    else:
        vae.write_bytes(b"\xff" * 64)
    assert damage in (checkpoints.incomplete(folder) or "")
    spec = build({"model": {"name": "cogvideox-2b", "path": str(folder)}, "prompt": {"text": "a"}}).spec
    with pytest.raises(checkpoints.MissingCheckpoint, match="incomplete"):
        checkpoints.locate(spec.model)


def test_fetch_says_licences_and_what_cannot_be_had(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fetch", "model=nano", "metrics=none"]) == 0
    assert "Apache-2.0" in capsys.readouterr().err
    assert main(["fetch", "model=cogvideox-5b-i2v", "metrics=default"]) == 1
    said = capsys.readouterr().err
    assert "CogVideoX License" in said
    assert "HF_HUB_OFFLINE" in said
    assert "fetch model=cogvideox-5b-i2v" in said
    assert "Traceback" not in said


def test_a_gpu_that_torch_cannot_use_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceError, match="device=cpu"):
        check_device("cuda")
    check_device("cpu")


def test_the_spec_of_a_checkpoint_names_its_folder(checkpoint: Path) -> None:
    config = {"model": {"name": "cogvideox-2b", "path": str(checkpoint)}, "prompt": {"text": "a"}}
    spec = build(config).spec
    assert dataclasses.asdict(spec.model)["source"] == str(checkpoint)
