"""The attention processor against diffusers' own, and the kernel that really runs."""

from __future__ import annotations

import pytest
import torch
from diffusers import CogVideoXTransformer3DModel

from cogexp.engine import attention, generate
from cogexp.engine.models import MODELS
from cogexp.engine.probe import Operations, OptimizationError
from cogexp.system import requirements
from tests.engine.flags import STEPS, spec_with


def transformer(rotary: bool) -> CogVideoXTransformer3DModel:
    """Two small blocks, with rotary embeddings as in 5b or without as in 2b."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return CogVideoXTransformer3DModel(
            num_attention_heads=2,
            num_layers=2,
            text_embed_dim=16,
            time_embed_dim=8,
            max_text_seq_length=6,
            sample_width=8,
            sample_height=8,
            sample_frames=9,
            use_rotary_positional_embeddings=rotary,
        ).eval()


@torch.no_grad()
def answer(module: CogVideoXTransformer3DModel, rotary: bool) -> torch.Tensor:
    draw = torch.Generator().manual_seed(1)
    tables = tuple(torch.rand(3 * 16, 64, generator=draw) for _ in range(2))
    return module(
        torch.randn(2, 3, 16, 8, 8, generator=draw),
        torch.randn(2, 6, 16, generator=draw),
        torch.tensor([400, 400]),
        image_rotary_emb=tables if rotary else None,
        return_dict=False,
    )[0]


@pytest.mark.parametrize("fused", [False, True], ids=["separate", "fused"])
@pytest.mark.parametrize("rotary", [False, True], ids=["plain", "rotary"])
def test_the_processor_is_bit_equal_to_the_stock_one(rotary: bool, fused: bool) -> None:
    module = transformer(rotary)
    if fused:
        module.fuse_qkv_projections()
    expected = answer(module, rotary)
    for kernel in ("sdpa", "flash"):
        attention.use(module, kernel, "cpu")
        assert torch.equal(answer(module, rotary), expected)
    attention.use(module, "math", "cpu")
    torch.testing.assert_close(answer(module, rotary), expected)


def test_attention_is_softmax_of_scaled_products() -> None:
    draw = torch.Generator().manual_seed(0)
    query, key, value = torch.randn(3, 1, 2, 40, 64, generator=draw, dtype=torch.float64)
    expected = torch.softmax(query @ key.transpose(-1, -2) / 8, dim=-1) @ value
    for kernel in ("sdpa", "math", "flash"):
        torch.testing.assert_close(attention.attend(query, key, value, kernel), expected)


@pytest.mark.parametrize("kernel", ["flash", "math"])
def test_the_kernel_asked_for_is_the_one_that_runs_in_every_step(kernel: str) -> None:
    spec = spec_with({"attention": kernel}, sampler={"steps": 2})
    embeddings = generate.encode(spec, "cpu")
    MODELS.part("transformer", spec, "cpu")
    with Operations() as seen:
        generate.denoise(spec, embeddings, "cpu", lambda done, total: None)
    layers = len(MODELS.part("transformer", spec, "cpu").transformer_blocks)
    MODELS.free()
    assert attention.kernel_in(seen.counts) == kernel
    flash = "aten::_scaled_dot_product_flash_attention_for_cpu"
    assert seen.counts.get(flash, 0) == (2 * layers if kernel == "flash" else 0)


@pytest.mark.parametrize("kernel", ["efficient", "cudnn", "flash-attn", "sage"])
def test_a_kernel_that_cannot_run_here_is_an_error_with_its_name(kernel: str) -> None:
    with pytest.raises(OptimizationError, match=f"attention={kernel} cannot run on cpu.*use sdpa"):
        attention.use(transformer(rotary=False), kernel, "cpu")


def test_a_mask_is_refused() -> None:
    module = transformer(rotary=False)
    with pytest.raises(ValueError, match="without a mask"):
        attention.Processor("sdpa")(
            module.transformer_blocks[0].attn1,
            torch.zeros(1, 4, 128),
            torch.zeros(1, 2, 128),
            torch.ones(1, 6),
        )


def test_nothing_in_the_loop_asks_the_device_for_a_number() -> None:
    """`.item()`, `bool(tensor)` and `.cpu()` all end in this operation; diffusers' own loop runs it in every
    step (to compare timesteps, and for the dynamic guidance)."""
    asks = "aten::_local_scalar_dense"
    here = requirements.problem("optimization.cache=taylorseer") is None
    taylorseer = [{"cache": "taylorseer"}] if here else []
    for sampler in (
        {"steps": STEPS, "scheduler": "ddim"},
        {"steps": STEPS, "scheduler": "dpm", "dynamic_cfg": True},
    ):
        for flags in ({}, {"cache": "pab"}, *taylorseer, {"split_cfg": True}):
            spec = spec_with(flags, sampler=sampler)
            embeddings = generate.encode(spec, "cpu")
            with Operations() as ours:
                generate.denoise(spec, embeddings, "cpu", lambda done, total: None)
            # One at the end: are all latents finite?
            assert ours.counts.get(asks, 0) == 1, (sampler, flags)
        stock = generate._pipeline(
            transformer=MODELS.part("transformer", spec_with(), "cpu"),
            vae=MODELS.part("vae", spec_with(), "cpu"),
            scheduler=generate.SCHEDULERS[sampler["scheduler"]].from_config(
                MODELS.part("scheduler", spec_with(), "cpu").config
            ),
        )
        with Operations() as theirs:
            stock(
                prompt_embeds=embeddings["prompt"],
                negative_prompt_embeds=embeddings["negative"],
                height=64,
                width=64,
                num_frames=9,
                num_inference_steps=STEPS,
                use_dynamic_cfg=sampler.get("dynamic_cfg", False),
                generator=torch.Generator().manual_seed(0),
                output_type="latent",
            )
        assert theirs.counts[asks] >= STEPS
    MODELS.free()
