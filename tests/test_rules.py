"""What cannot be together, and what this machine must have: each rule by itself, refused before loading."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest

from cogexp import machine, rules
from cogexp.build import build
from cogexp.spec import FLAG_CHOICES, OptimizationSpec, SpecError


def config(device: str = "cpu", dtype: str = "auto", guidance: float = 6.0, **flags: Any) -> dict[str, Any]:
    return {
        "model": {"name": "nano", "dtype": dtype},
        "device": device,
        "sampler": {"guidance": guidance},
        "prompt": {"text": "two wolves"},
        "optimization": flags,
    }


@pytest.mark.parametrize(
    ("size", "flags", "nearest"),
    [
        ((1920, 1088), {"lean_vae": False}, "optimization.lean_vae=true or optimization.vae_tiling=edge"),
        ((1920, 1088), {}, None),
        ((1920, 1088), {"lean_vae": True}, None),
        ((1920, 1088), {"vae_tiling": "edge"}, None),
        ((1920, 1088), {"lean_vae": True, "offload": "sequential"}, "nearest: optimization.vae_tiling=edge"),
        ((1520, 1088), {"lean_vae": False}, None),
        ((720, 480), {"lean_vae": False}, None),
    ],
)
def test_a_frame_that_diffusers_cannot_decode_whole(
    size: tuple[int, int], flags: dict[str, Any], nearest: str | None
) -> None:
    """1920x1088 raises in diffusers 0.42 (a piece of 2 frames under a kernel of 3); 1520x1088 does not."""
    asked = config(device="cuda", **flags) | {
        "model": {"name": "cogvideox-5b"},
        "resolution": {"width": size[0], "height": size[1]},
    }
    if nearest is None:
        assert rules.decode_problem(build(asked).spec) is None
        return
    with pytest.raises(SpecError, match=nearest):
        build(asked)
    assert rules.decode_problem(build(asked, needs_first_frame=False).spec)


BROKEN: tuple[dict[str, Any], ...] = (
    {"quantize": "int8wo", "layerwise_cast": "fp8"},
    {"quantize_text": "gguf-q8", "text_cast": "fp8"},
    {"offload": "group-block", "quantize": "int8wo"},
    {"offload": "sequential", "quantize_text": "int8wo"},
    {"offload": "sequential", "layerwise_cast": "fp8"},
    {"offload": "sequential", "text_cast": "fp8"},
    {"offload": "sequential", "vae_cast": "fp8"},
    {"offload": "sequential", "compile": "blocks"},
    {"cache": "pab", "split_cfg": True},
)


def test_every_rule_is_broken_by_one_of_these() -> None:
    """One setting a rule: each breaks exactly that rule, and one flag less breaks none."""
    assert len(BROKEN) == len(rules.TOGETHER)
    for flags, rule in zip(BROKEN, rules.TOGETHER, strict=True):
        spec = OptimizationSpec(**flags)
        assert [one for one in rules.TOGETHER if one.applies(spec)] == [rule]
        for flag in flags:
            default = getattr(OptimizationSpec(), flag)
            rules.check_together(replace(spec, **{flag: default}))


@pytest.mark.parametrize("flags", BROKEN, ids=lambda flags: "+".join(flags))
def test_what_cannot_be_together_is_refused_with_the_reason(flags: dict[str, Any]) -> None:
    with pytest.raises(
        SpecError, match=r"must not be combined so, got .* with .*: .*; nearest: optimization"
    ):
        build(config(**flags))


def test_the_nearest_setting_of_a_rule_breaks_none() -> None:
    for flags, rule in zip(BROKEN, rules.TOGETHER, strict=True):
        key, _, value = rule.nearest.split(",")[0].removeprefix("optimization.").partition("=")
        plain = value == "true" if value in ("true", "false") else value
        rules.check_together(replace(OptimizationSpec(**flags), **{key: plain}))


def test_nearly_everything_can_be_together() -> None:
    """Of all pairs of two flags' values, only those with a rule are refused."""
    refused = 0
    for one, other in itertools.combinations(FLAG_CHOICES, 2):
        for first, second in itertools.product(FLAG_CHOICES[one], FLAG_CHOICES[other]):
            flags = replace(OptimizationSpec(), **{one: first, other: second})
            refused += any(rule.applies(flags) for rule in rules.TOGETHER)
    quantizations = len(FLAG_CHOICES["quantize"]) - 1
    expected = 2 * quantizations + 2 * len(rules.PIECEWISE) * quantizations + 3 + 2 + 2
    assert refused == expected


@pytest.mark.parametrize("how", [how for how in FLAG_CHOICES["quantize"] if how != "none"])
def test_a_missing_library_is_named_with_its_extra(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "_installed", lambda module: False)
    extra = rules.LIBRARIES[how][1]
    with pytest.raises(SpecError, match=rf"pip install 'cogexp\[{extra}\]'; nearest: .*layerwise_cast=fp8"):
        build(config(quantize=how))
    with pytest.raises(SpecError, match=r"quantize_text.*text_cast=fp8"):
        build(config(quantize_text=how))
    build(config(quantize=how), needs_first_frame=False)  # to plan for another machine nothing must be here


@pytest.mark.parametrize("kernel", ["flash-attn", "sage"])
def test_a_missing_attention_package_is_named(kernel: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "_installed", lambda module: False)
    with pytest.raises(SpecError, match="pip install"):
        build(config(device="cuda", attention=kernel))
    monkeypatch.setattr(rules, "_installed", lambda module: True)
    with pytest.raises(SpecError, match="kernel for GPUs, got device=cpu"):
        build(config(attention=kernel))


def test_the_hardware_that_a_flag_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    def card(capability: tuple[int, int] | None) -> None:
        monkeypatch.setattr(
            machine, "gpu", lambda: machine.Gpu(name="Test card", total_gib=80, capability=capability)
        )

    monkeypatch.setattr(rules, "_installed", lambda module: True)
    with pytest.raises(SpecError, match=r"8\.9 or more, got cpu; nearest: optimization\.quantize=fp8wo"):
        build(config(quantize="fp8"))
    card((8, 0))
    with pytest.raises(SpecError, match="got Test card"):
        build(config(device="cuda", quantize="fp8"))
    for capability in ((8, 9), (9, 0), (12, 0), None):
        card(capability)
        build(config(device="cuda", quantize="fp8"))
    for kernel in ("flash", "cudnn", "sage", "flash-attn"):
        with pytest.raises(SpecError, match=r"16 bits on a GPU, got model\.dtype=float32"):
            build(config(device="cuda", dtype="float32", attention=kernel))
        build(config(device="cuda", dtype="bfloat16", attention=kernel))


def test_faster_cache_needs_guidance() -> None:
    with pytest.raises(SpecError, match=r"sampler\.guidance=1"):
        build(config(cache="fastercache", guidance=1.0))
    build(config(cache="fastercache"))


def test_installed_is_what_can_be_imported() -> None:
    assert rules._installed("json")
    assert rules._installed("os.path")
    assert not rules._installed("no_such_package")
    assert not rules._installed("no_such_package.part")
