"""Every flag on the embedded model: that it took hold, that an exact one changes no pixel, and by how much an
approximate one does. The bounds are about twice what was measured with seeded random weights."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from cogexp.engine import caches, generate, offload, optimize
from cogexp.engine.models import MODELS
from cogexp.engine.probe import OptimizationError, hooked, stored_bytes, took_hold
from cogexp.spec import FLAG_CHOICES
from tests.engine.flags import STEPS, Made, spec_with
from tests.needs import step_cache

QUANTIZATIONS = [how for how in FLAG_CHOICES["quantize"] if how not in ("none", "fp8")]
LIBRARY = {"quanto-int8": "optimum.quanto", "bnb-int8": "bitsandbytes", "bnb-nf4": "bitsandbytes"}


@pytest.fixture(scope="module")
def exact() -> Iterator[Made]:
    """The clip without any flag."""
    yield Made(spec_with())
    MODELS.free()


@pytest.fixture(autouse=True)
def _transformer_free() -> Iterator[None]:
    yield
    MODELS.free()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"fuse_qkv": True}, {"fuse_qkv": "attention layers fused"}),
        ({"attention": "flash"}, {"attention": "torch's flash kernel"}),
        (
            {"attention": "flash", "fuse_qkv": True},
            {"attention": "torch's flash kernel", "fuse_qkv": "fused"},
        ),
    ],
    ids=lambda value: "+".join(value),
)
def test_exact_flags_take_hold_and_change_no_bit(
    flags: dict[str, Any], said: dict[str, str], exact: Made
) -> None:
    made = Made(spec_with(flags))
    for flag, text in said.items():
        assert text in made.notes[f"optimization.{flag}"]
    assert torch.equal(made.latents, exact.latents)
    np.testing.assert_array_equal(made.frames, exact.frames)


@pytest.mark.parametrize(
    "flags",
    [{"split_cfg": True}, {"attention": "math"}, {"channels_last": True}],
    ids=lambda flags: str(flags),
)
def test_flags_that_only_add_in_another_order(flags: dict[str, Any], exact: Made) -> None:
    """The same numbers up to the rounding of float32: a pixel between two values may fall either way."""
    made = Made(spec_with(flags))
    assert f"optimization.{next(iter(flags))}" in made.notes
    assert made.off_by(exact)[0] < 1e-5
    differences = np.abs(made.frames - exact.frames)
    assert differences.max() <= 1
    assert (differences > 0).mean() < 1e-3


def test_split_guidance_asks_twice_with_half_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    for split, batches in ((False, [2] * STEPS), (True, [1] * 2 * STEPS)):
        seen: list[int] = []
        spec = spec_with({"split_cfg": split})
        transformer = MODELS.part("transformer", spec, "cpu")
        handle = transformer.register_forward_pre_hook(
            lambda _, args, kwargs, seen=seen: seen.append(len(kwargs["hidden_states"])), with_kwargs=True
        )
        generate.denoise(spec, generate.encode(spec, "cpu"), "cpu", lambda done, total: None)
        handle.remove()
        assert seen == batches


def test_split_guidance_without_guidance_says_so() -> None:
    spec = spec_with({"split_cfg": True}, sampler={"steps": 2, "guidance": 1.0})
    assert (
        "without guidance there is one pass"
        in optimize.optimization_notes(spec, "cpu")["optimization.split_cfg"]
    )
    assert "optimization.split_cfg" not in Made(spec).notes


@pytest.mark.parametrize("how", QUANTIZATIONS)
@pytest.mark.parametrize("part", ["transformer", "text_encoder"])
def test_quantization_takes_less_room_and_changes_little(part: str, how: str, exact: Made) -> None:
    pytest.importorskip(LIBRARY.get(how, "gguf" if how.startswith("gguf") else "torchao"))
    flag = {"transformer": "quantize", "text_encoder": "quantize_text"}[part]
    plain = stored_bytes(MODELS.part(part, spec_with(), "cpu"))
    spec = spec_with({flag: how})
    made = Made(spec)
    share = stored_bytes(MODELS.part(part, spec, "cpu")) / plain
    four_bits = how in ("bnb-nf4", "gguf-q4")
    # float32 weights in 8 bits take a quarter, in 4 bits with their scales about a seventh; the text
    # encoder's embeddings stay.
    assert (
        share < {"transformer": 0.16 if four_bits else 0.28, "text_encoder": 0.28 if four_bits else 0.4}[part]
    )
    assert f"{how}: " in made.notes[f"optimization.{flag}"]
    latents, pixels = made.off_by(exact)
    assert 0 < latents < (0.2 if four_bits else 0.07)
    assert pixels < (5 if four_bits else 2)
    if part == "text_encoder":
        moved = (made.embeddings["prompt"] - exact.embeddings["prompt"]).norm()
        assert 0 < moved / exact.embeddings["prompt"].norm() < (0.3 if four_bits else 0.1)
    else:
        assert all(torch.equal(made.embeddings[k], exact.embeddings[k]) for k in exact.embeddings)


def test_int8_weights_are_the_nearest_of_256_values() -> None:
    """torchao's int8wo against its definition: per row, round(w / (max|w| / 127.5)) times that step."""
    pytest.importorskip("torchao")
    from cogexp.engine import quantize

    layer = torch.nn.Linear(64, 8, bias=False)
    wanted = layer.weight.detach().clone()
    module = torch.nn.Sequential(layer)
    quantize.METHODS["int8wo"](module, "int8wo", "cpu")
    got = module[0](torch.eye(64)).T
    step = wanted.abs().amax(dim=1, keepdim=True) / 127.5
    assert ((got - wanted).abs() <= 0.51 * step).all()
    assert (got - wanted).abs().max() > 0


@pytest.mark.parametrize(
    ("flag", "part"),
    [("layerwise_cast", "transformer"), ("text_cast", "text_encoder"), ("vae_cast", "vae")],
)
def test_fp8_storage_is_there_before_and_after(flag: str, part: str, exact: Made) -> None:
    spec = spec_with({flag: "fp8"})
    module = MODELS.part(part, spec, "cpu")
    stored = {name for name, p in module.named_parameters() if p.dtype == torch.float8_e4m3fn}
    made = Made(spec)
    assert stored == {name for name, p in module.named_parameters() if p.dtype == torch.float8_e4m3fn}
    assert hooked(module, "layerwise_casting") >= len({name.rpartition(".")[0] for name in stored}) > 5
    assert made.notes[f"optimization.{flag}"].startswith("fp8 storage of")
    latents, pixels = made.off_by(exact)
    assert (latents > 0) == (flag != "vae_cast")
    assert latents < 0.02
    assert 0 < pixels < (9 if flag == "vae_cast" else 0.5)


def test_the_text_encoder_computes_in_its_own_dtype_although_its_weights_are_8_bit(exact: Made) -> None:
    """T5 casts activations to the dtype of its output layer's weight: with 8-bit weights that would be wrong.
    Three bits of mantissa are 6 % at most; 8-bit activations on top would give several times as much."""
    made = Made(spec_with({"text_cast": "fp8"}))
    assert made.embeddings["prompt"].dtype == torch.float32
    error = (made.embeddings["prompt"] - exact.embeddings["prompt"]).norm()
    assert error / exact.embeddings["prompt"].norm() < 0.06


@pytest.mark.parametrize("kind", ["sequential", "group", "group-block", "group-disk"])
def test_offload_hooks_bring_every_weight_and_change_no_bit(
    kind: str, exact: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a CPU offload has no effect and is not installed; here its hooks are, with the CPU as the device
    that weights come to. From meta tensors and from disk they must really come."""
    placed: dict[str, str] = {}

    def place(name: str, module: Any, flags: Any, device: str) -> str:
        placed[name] = offload.install(name, module, flags.offload, torch.device(device))
        return placed[name]

    monkeypatch.setattr(offload, "place", place)
    spec = spec_with({"offload": kind})
    made = Made(spec)
    assert set(placed) == {"text_encoder", "transformer", "vae"}
    assert made.notes["optimization.offload.transformer"].startswith(f"{kind}: ")
    assert torch.equal(made.latents, exact.latents)
    np.testing.assert_array_equal(made.frames, exact.frames)
    transformer = MODELS.part("transformer", spec, "cpu")
    if kind == "sequential":
        assert {p.device.type for p in transformer.parameters()} == {"meta"}
    else:
        blocks = len(transformer.transformer_blocks)
        hooks = hooked(transformer, offload.HOOK)
        assert hooks == blocks + 1 if kind == "group-block" else hooks > 10 * blocks
    if kind == "group-disk":
        from pathlib import Path

        files = list(Path(placed["transformer"].rpartition("from ")[2]).glob("*.safetensors"))
        assert sum(file.stat().st_size for file in files) > 0.9 * stored_bytes(exact_transformer())


def exact_transformer() -> torch.nn.Module:
    MODELS.free()
    return MODELS.part("transformer", spec_with(), "cpu")


@pytest.mark.parametrize(
    ("kind", "leaving"),
    [("none", ()), ("text", ("text_encoder",)), ("model", ("text_encoder", "transformer", "vae"))],
)
def test_parts_leave_the_device_after_they_computed(kind: str, leaving: tuple[str, ...]) -> None:
    """With a GPU's name and modules that write down where they are sent."""
    flags = spec_with({"offload": kind}).optimization

    class Traveller(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.sent: list[str] = []

        def to(self, where: str) -> Traveller:  # type: ignore[override]
            self.sent.append(str(where))
            return self

    for name in ("text_encoder", "transformer", "vae"):
        module = Traveller()
        note = offload.place(name, module, flags, "cuda")
        assert module.sent == (["cpu"] if name in leaving else ["cuda"])
        assert (note is not None) == (name in leaving)
        assert offload.leaves(name, flags, "cuda") == (name in leaving)
        assert not offload.leaves(name, flags, "cpu")


@pytest.mark.parametrize(
    ("flags", "on_the_device"),
    [
        ({}, ("text_encoder", "transformer", "vae")),
        ({"offload": "text"}, ("transformer", "vae")),
        ({"offload": "model"}, ()),
        ({"offload": "group-block"}, ()),
        ({"quantize": "gguf-q8"}, ("text_encoder", "vae")),
        ({"text_cast": "fp8", "vae_cast": "fp8"}, ("transformer",)),
    ],
    ids=str,
)
def test_weights_that_will_not_stay_are_not_made_on_the_device(
    flags: dict[str, Any], on_the_device: tuple[str, ...]
) -> None:
    """Else 5b with random weights would need a card that holds it whole before it is made small."""
    spec = spec_with(flags).optimization
    made = {p: optimize.made_on(p, spec, "cuda") for p in ("text_encoder", "transformer", "vae")}
    assert made == {part: "cuda" if part in on_the_device else "cpu" for part in made}


def test_the_text_encoder_is_gone_before_denoising(monkeypatch: pytest.MonkeyPatch) -> None:
    """`on_device` with offload=text: there while the prompt is encoded, away afterwards."""
    spec = spec_with({"offload": "text"})
    encoder = MODELS.part("text_encoder", spec, "cpu")
    sent: list[str] = []
    monkeypatch.setattr(encoder, "to", lambda where: sent.append(str(where)))
    monkeypatch.setattr(offload, "leaves", lambda name, flags, device: name == "text_encoder")
    with MODELS.on_device(("tokenizer", "text_encoder"), spec, "cpu"):
        assert sent == ["cpu"]  # the device, here
    assert sent == ["cpu", "cpu"]
    sent.clear()
    with MODELS.on_device(("transformer", "scheduler"), spec, "cpu"):
        assert sent == []


def test_weights_that_come_and_leave_are_not_copied_back() -> None:
    """A device is played by copies: afterwards the tensors that waited are there again, the very ones."""

    class Traveller(torch.nn.Linear):
        def to(self, where: str) -> Traveller:  # type: ignore[override]
            if where == "cuda":
                for parameter in self.parameters():
                    parameter.data = parameter.data.clone()
            return self

    module = Traveller(3, 3)
    home = [parameter.data_ptr() for parameter in module.parameters()]
    with offload.visiting(module, "cuda"):
        assert all(p.data_ptr() not in home for p in module.parameters())
    assert [parameter.data_ptr() for parameter in module.parameters()] == home


@pytest.mark.parametrize("split", [False, True], ids=["together", "split"])
@pytest.mark.parametrize(
    ("cache", "skipped"),
    [
        step_cache("pab", 24),
        step_cache("fastercache", 16),
        step_cache("firstblock", None),
        step_cache("taylorseer", 32),
        step_cache("magcache", 24),
    ],
)
def test_step_caches_skip_and_say_how_much(
    cache: str, skipped: int | None, split: bool, exact: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    if split and cache in ("pab", "fastercache"):
        pytest.skip("refused together")
    # Eight steps are far apart: at the library's threshold First Block Cache would rightly skip none.
    monkeypatch.setattr(caches, "FIRST_BLOCK_THRESHOLD", 0.5)
    plain = spec_with()
    ratios = generate.calibrate(plain, exact.embeddings, "cpu", lambda done, total: None)
    spec = spec_with({"cache": cache, "split_cfg": split})
    made = Made(spec, ratios)
    layers = len(MODELS.part("transformer", spec, "cpu").transformer_blocks)
    total = layers * STEPS * (2 if split else 1)
    said = made.notes["optimization.cache"]
    count = int(said.split()[1])
    assert said == f"{cache}: {count} of {total} attention layers skipped"
    if skipped is None:
        assert 0 < count < total
    else:
        assert count == skipped * layers // 8 * (2 if split else 1)
    latents, pixels = made.off_by(exact)
    assert 0 < latents < 0.3
    assert 0 < pixels < 5
    assert not MODELS.part("transformer", spec, "cpu").is_cache_enabled


def test_a_cache_that_skips_nothing_says_so(exact: Made) -> None:
    made = Made(spec_with({"cache": "firstblock"}))
    assert made.notes["optimization.cache"].startswith("firstblock: nothing was skipped, all")
    assert torch.equal(made.latents, exact.latents)


def test_a_flag_that_changes_nothing_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OptimizationError, match=r"optimization\.cache=pab was accepted and changed nothing"):
        took_hold("cache=pab", False)
    transformer = MODELS.part("transformer", spec_with(), "cpu")
    monkeypatch.setattr(type(transformer), "fuse_qkv_projections", lambda self: None)
    with pytest.raises(OptimizationError, match="fuse_qkv"):
        optimize.prepare("transformer", transformer, spec_with({"fuse_qkv": True}).optimization, "cpu")


@pytest.mark.slow
@pytest.mark.parametrize(
    "flags",
    [
        {"compile": "blocks"},
        {"compile": "full"},
        {"compile": "blocks", "layerwise_cast": "fp8"},
        {"compile": "blocks", "quantize": "int8wo"},
        {"compile": "blocks", "attention": "flash"},
        {"compile": "blocks", "split_cfg": True},
        {"compile": "blocks", "cache": "pab"},
    ],
    ids=lambda flags: "+".join(f"{k}={v}" for k, v in flags.items()),
)
def test_compiled_it_gives_what_it_gives_uncompiled(flags: dict[str, Any]) -> None:
    compiled = Made(spec_with(flags))
    assert "compiled at first use" in compiled.notes["optimization.compile"]
    MODELS.free()
    plain = Made(spec_with({k: v for k, v in flags.items() if k != "compile"}))
    assert compiled.off_by(plain)[0] < 1e-4


def test_every_suggestion_of_the_plan_takes_hold_when_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Denoised and decoded with the hooks of offload as above. What is said to be exact is: but for split
    guidance, whose sums are in another order, not a bit is changed."""
    from cogexp.plan import plan

    def place(name: str, module: Any, flags: Any, device: str) -> str | None:
        if flags.offload in offload.WHOLE:
            return None
        return offload.install(name, module, flags.offload, torch.device(device))

    size = {"width": 128, "height": 64}
    reference = Made(spec_with(resolution=size, sampler={"steps": 2}))
    monkeypatch.setattr(offload, "place", place)
    found = plan(spec_with(resolution={"width": 512, "height": 288})).suggestions
    assert len(found) > 2
    for one in found:
        words = dict(word.removeprefix("optimization.").split("=") for word in one.overrides)
        flags = {k: v == "true" if v in ("true", "false") else v for k, v in words.items()}
        spec = spec_with(flags, resolution=size, sampler={"steps": 2})
        made = Made(spec)
        if flags.get("offload", "none") not in offload.WHOLE:
            assert made.notes["optimization.offload.transformer"].startswith(str(flags["offload"]))
        for flag in {"layerwise_cast", "split_cfg"} & set(flags):
            assert f"optimization.{flag}" in made.notes
        if not one.changes_pixels:
            np.testing.assert_allclose(made.frames, reference.frames, atol=int("split_cfg" in flags))
