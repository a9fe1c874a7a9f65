"""Where the embedded model's weights lie and how they are loaded."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file

from cogexp.nano import arch, weights


def _ship(folder, seed: int = 3) -> dict[str, torch.nn.Module]:
    built = arch.build(seed, weights.PARTS)
    for part in weights.PARTS:
        state = {
            k: v.half().contiguous() for k, v in built[part].state_dict().items() if "embed_tokens" not in k
        }
        notes = {"scaling_factor": "0.5"} if part == "vae" else {}
        save_file(state, weights.weight_file(part, folder), metadata=notes)
    return built


def test_import_needs_no_torch():
    code = "import sys, cogexp.nano.weights as w; w.fingerprint(); w.trained(); print('torch' in sys.modules)"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "False"


def test_without_files_the_weights_are_random_and_say_so(tmp_path):
    assert not weights.trained(tmp_path)
    assert weights.fingerprint(tmp_path) == "random-0-v3"
    vae = weights.components(["vae"], tmp_path)["vae"]
    twin = arch.build(weights.RANDOM_SEED, ["vae"])["vae"]
    assert all(torch.equal(a, b) for a, b in zip(vae.parameters(), twin.parameters(), strict=True))


def test_shipped_files_are_loaded(tmp_path):
    built = _ship(tmp_path)
    assert weights.trained(tmp_path)
    loaded = weights.components(folder=tmp_path)
    assert tuple(loaded) == weights.COMPONENTS
    for part in weights.PARTS:
        pairs = zip(loaded[part].parameters(), built[part].parameters(), strict=True)
        assert all(torch.equal(a, b.half().float()) for a, b in pairs)
        assert not any(p.is_meta or p.requires_grad for p in loaded[part].parameters())
    assert loaded["vae"].config.scaling_factor == 0.5
    assert weights.metadata("vae", tmp_path) == {"scaling_factor": "0.5"}


def test_text_embedding_is_one_tensor_and_works_after_loading(tmp_path):
    built = _ship(tmp_path)
    loaded = weights.components(["text_encoder", "tokenizer"], tmp_path)
    ids = loaded["tokenizer"]("two wolves", return_tensors="pt").input_ids
    half = built["text_encoder"].half().float()
    assert torch.allclose(loaded["text_encoder"](ids)[0], half(ids)[0], atol=1e-6)


def test_fingerprint_follows_the_content(tmp_path):
    _ship(tmp_path)
    before = weights.fingerprint(tmp_path)
    assert before == weights.fingerprint(tmp_path)
    _ship(tmp_path, seed=4)
    assert weights.fingerprint(tmp_path) != before


def test_two_of_three_files_are_not_a_trained_model(tmp_path):
    _ship(tmp_path)
    weights.weight_file("vae", tmp_path).unlink()
    assert not weights.trained(tmp_path)
    assert weights.trained_parts(tmp_path) == (), "a denoiser means nothing without the VAE of its latents"
    assert weights.fingerprint(tmp_path) == "random-0-v3"


def test_a_trained_vae_is_used_while_the_denoiser_is_still_random(tmp_path):
    built = _ship(tmp_path)
    assert weights.notice(tmp_path) is None
    weights.weight_file("transformer", tmp_path).unlink()
    assert weights.trained_parts(tmp_path) == ("vae",)
    loaded, random = weights.components(folder=tmp_path), arch.build(weights.RANDOM_SEED, weights.PARTS)
    for part, source in (("vae", built), ("transformer", random), ("text_encoder", random)):
        pairs = zip(loaded[part].parameters(), source[part].parameters(), strict=True)
        assert all(torch.equal(a, b.half().float() if part == "vae" else b) for a, b in pairs), part
    assert weights.notice(tmp_path) == (
        "the embedded model's vae is trained, its transformer and text encoder not yet: seeded random weights"
    )
    code = weights.fingerprint(tmp_path)
    assert code.startswith("nano-vae-")
    assert code.endswith("-random-0-v3")
    assert weights.fingerprint(tmp_path, "random") == code, "what is loaded is the same"
    weights.weight_file("text_encoder", tmp_path).unlink()
    assert weights.fingerprint(tmp_path) == code, "an unused file is no part of the model"


def test_random_weights_are_random_although_there_are_trained_ones(tmp_path):
    _ship(tmp_path)
    loaded, random = (
        weights.components(weights.PARTS, tmp_path, kind="random"),
        arch.build(weights.RANDOM_SEED, weights.PARTS),
    )
    for part in weights.PARTS:
        pairs = zip(loaded[part].parameters(), random[part].parameters(), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs), part
    assert weights.fingerprint(tmp_path, "random") == "random-0-v3" != weights.fingerprint(tmp_path)
    with pytest.raises(ValueError, match="pretrained, random, undertrained"):
        weights.components(kind="best")


def test_a_file_that_does_not_fit_is_refused(tmp_path):
    _ship(tmp_path)
    save_file({"nothing": torch.zeros(1)}, weights.weight_file("vae", tmp_path))
    with pytest.raises(RuntimeError, match=r"vae\.safetensors lacks"):
        weights.load_part("vae", tmp_path)
