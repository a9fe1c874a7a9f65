"""Attention to words against the full softmax, and on a transformer made to attend to a known place."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from diffusers import CogVideoXTransformer3DModel
from diffusers.models.embeddings import apply_rotary_emb
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from cogexp.engine.attention import Processor
from cogexp.inspect.attention import indicators, word_mass
from cogexp.inspect.watch import Passes, transformer_blocks


def inputs(
    heads: int = 3, text: int = 7, video: int = 24, width: int = 16, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor]]:
    drawn = torch.Generator().manual_seed(0)
    query, key = (torch.randn(heads, text + video, width, generator=drawn) * 2 for _ in range(2))
    angles = torch.rand(video, width // 2, generator=drawn).repeat_interleave(2, 1) * 6
    return query.to(dtype), key.to(dtype), (angles.cos(), angles.sin())


def by_hand(query: Tensor, key: Tensor, text: int, rotary: tuple[Tensor, Tensor] | None) -> np.ndarray:
    """(video, N) mean over the heads of the full softmax, in float64."""
    query, key = query.double(), key.double()
    if rotary is not None:
        query, key = (
            torch.cat([x[:, :text], apply_rotary_emb(x[None, :, text:], rotary)[0]], 1) for x in (query, key)
        )
    scores = query[:, text:] @ key.transpose(1, 2) / key.shape[-1] ** 0.5
    return scores.softmax(-1).mean(0).numpy()


COLUMNS: list[list[int]] = [[0], [1, 2], [], [3, 5], [4, 6]]
WEIGHTS = indicators(COLUMNS, 7)


@pytest.mark.parametrize("turned", [True, False])
@pytest.mark.parametrize("budget", [1, 20_000, 2**26])
def test_equals_the_full_softmax_whatever_the_pieces(turned: bool, budget: int) -> None:
    query, key, rotary = inputs()
    used = rotary if turned else None
    kept = query.clone(), key.clone()
    found = word_mass(query, key, WEIGHTS, text=7, rotary=used, budget=budget).numpy()
    full = by_hand(query, key, 7, used)
    expected = np.stack([full[:, group].sum(1) for group in COLUMNS], 1)
    assert found == pytest.approx(expected, abs=2e-6)
    assert torch.equal(query, kept[0])
    assert torch.equal(key, kept[1])


def test_all_tokens_together_have_mass_one_in_more_columns_than_a_head_is_wide() -> None:
    query, key, rotary = inputs(text=40, video=30)
    found = word_mass(query, key, torch.eye(70), text=40, rotary=rotary)
    assert found.shape == (30, 70)
    assert found.sum(1).numpy() == pytest.approx(np.ones(30), abs=1e-5)
    assert found.numpy() == pytest.approx(by_hand(query, key, 40, rotary), abs=2e-6)


def test_a_token_counts_for_several_columns_in_part() -> None:
    query, key, rotary = inputs()
    weights = torch.rand(7, 4, generator=torch.Generator().manual_seed(1))
    found = word_mass(query, key, weights, text=7, rotary=rotary).numpy()
    assert found == pytest.approx(by_hand(query, key, 7, rotary)[:, :7] @ weights.numpy(), abs=2e-6)


def test_bfloat16_keeps_two_digits() -> None:
    query, key, rotary = inputs(dtype=torch.bfloat16, video=200)
    found = word_mass(query, key, WEIGHTS, text=7, rotary=rotary).numpy()
    full = by_hand(query, key, 7, rotary)
    expected = np.stack([full[:, group].sum(1) for group in COLUMNS], 1)
    assert np.abs(found - expected).max() < 0.01
    assert found.sum() == pytest.approx(expected.sum(), rel=0.01)


def test_rows_in_pieces_where_no_fused_kernel_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device without such a kernel keeps the scores of a few rows at a time."""
    from cogexp.inspect import attention

    query, key, rotary = inputs()
    shapes: list[int] = []
    plain = F.scaled_dot_product_attention

    def counted(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        shapes.append(q.shape[2])
        if q.shape[2] > 5:
            raise RuntimeError("No available kernel. Aborting execution.")
        return plain(q, k, v)

    monkeypatch.setattr(attention.F, "scaled_dot_product_attention", counted)
    found = word_mass(query, key, WEIGHTS, text=7, rotary=rotary, budget=12 * 31 * 5)
    monkeypatch.undo()
    assert found.numpy() == pytest.approx(
        word_mass(query, key, WEIGHTS, text=7, rotary=rotary).numpy(), abs=1e-6
    )
    assert shapes[0] == 24
    assert set(shapes[1:]) <= {24, 5, 4}


class Live(TorchDispatchMode):
    """The largest sum of storages that were alive at once, bytes: what the operators allocate."""

    def __init__(self, *there: Tensor) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._there = there  # views of these are not new
        self._known = {tensor.untyped_storage()._cdata for tensor in there}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(out):
            if isinstance(leaf, Tensor):
                storage = leaf.untyped_storage()
                size, key = storage.nbytes(), storage._cdata
                if key in self._known:
                    continue
                self._known.add(key)
                self.now += size
                self.peak = max(self.peak, self.now)
                weakref.finalize(storage, self._gone, key, size)
        return out

    def _gone(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size


def test_the_counter_counts_what_is_alive_at_once() -> None:
    there = torch.empty(1000, device="meta")
    with Live(there) as live:
        first = torch.empty(1000, device="meta")
        view = first[10:]
        del first
        second = view + 1  # 3,960 bytes beside the 4,000 that the view keeps
        assert live.now == live.peak == 7_960
        del view
        assert live.now == 3_960
        second.mul_(2)
        there[5:].view(-1)
        third = torch.empty(500, device="meta")
    assert live.peak == 7_960
    assert live.now == third.nbytes + second.nbytes


@pytest.mark.parametrize(
    ("video", "heads"), [(17_550, 48), (44_880, 48), (17_550, 30)], ids=["5b 720x480", "1.5 1360x768", "2b"]
)
def test_extra_memory_stays_below_200_mb_at_full_size(
    video: int, heads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the meta device, with the fused kernel's own shapes: outputs and log-sum-exp, no N x N scores."""
    from cogexp.inspect import attention

    def fused(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        torch.empty(q.shape[:3], device="meta")  # the log-sum-exp of every row
        return torch.empty_like(q)

    monkeypatch.setattr(attention.F, "scaled_dot_product_attention", fused)
    query, key = (torch.empty(heads, 226 + video, 64, device="meta", dtype=torch.bfloat16) for _ in range(2))
    rotary = (torch.empty(video, 64, device="meta"), torch.empty(video, 64, device="meta"))
    with Live(query, key, *rotary) as live:
        word_mass(query, key, torch.empty(226, 80, device="meta"), text=226, rotary=rotary)
    assert 10e6 < live.peak < 200e6


# ---------------------------------------------------------------- a transformer that attends to a known place

PLACE = (slice(2, 5), slice(5, 9))  # rows and columns of patches
WORD = 3  # the token that they attend to


def pointed_transformer() -> CogVideoXTransformer3DModel:
    """One block, one head of 64: a patch or word marked 'a' asks for tokens marked 'a', others for 'b'.

    Mark a is (1, -1, 0 ...), that of patches whose latent is positive; other patches have the opposite, b.
    """
    made = CogVideoXTransformer3DModel(
        num_attention_heads=1,
        attention_head_dim=64,
        in_channels=1,
        out_channels=1,
        time_embed_dim=8,
        text_embed_dim=64,
        num_layers=1,
        sample_width=24,
        sample_height=16,
        sample_frames=1,
        patch_size=2,
        max_text_seq_length=6,
        use_rotary_positional_embeddings=True,
    ).eval()
    marks = 100 * torch.eye(64)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.zero_()
        proj = made.patch_embed.proj  # (64, 1, 2, 2): the sum of a patch, from -4 to 4
        proj.weight[0], proj.weight[1] = 25.0, -25.0
        made.patch_embed.text_proj.weight.copy_(marks)
        block = made.transformer_blocks[0]
        for norm in (block.norm1.norm, block.norm2.norm, block.attn1.norm_q, block.attn1.norm_k):
            norm.weight.fill_(1)
        for layer in (block.attn1.to_q, block.attn1.to_k):
            layer.weight.copy_(torch.eye(64))
    return made


def text_marks() -> Tensor:
    """(1, 6, 64): token WORD is marked like the place, the others each on their own."""
    text = torch.eye(64)[10:16].clone()
    text[WORD] = torch.eye(64)[0] - torch.eye(64)[1]
    return text[None]


def watched(transformer: Any, text: Tensor, columns: Sequence[Sequence[int]], *, batch: int = 1) -> Passes:
    latents = torch.full((1, 1, 1, 16, 24), -1.0)
    rows, cols = PLACE
    latents[..., 2 * rows.start : 2 * rows.stop, 2 * cols.start : 2 * cols.stop] = 1.0
    seen = torch.cat([torch.zeros_like(text)] * (batch - 1) + [text])
    angles = torch.zeros(96, 64)
    with (
        torch.no_grad(),
        transformer_blocks(
            transformer, prompt=text, weights=indicators(columns, 6), blocks=(0,), steps=(0,)
        ) as found,
    ):
        transformer(
            latents.repeat(batch, 1, 1, 1, 1),
            seen,
            torch.ones(batch),
            image_rotary_emb=(angles.cos(), angles.sin()),
        )
    return found


def test_the_map_of_a_word_lies_where_the_weights_point() -> None:
    found = watched(pointed_transformer(), text_marks(), [[WORD], [0, 1, 2, 4, 5]])
    assert found.grid == (1, 8, 12)
    heat = found.attention[0, 0][:, 0].reshape(8, 12)
    inside = np.zeros((8, 12), bool)
    inside[PLACE] = True
    # Every patch of the place shares its attention evenly among the 12 patches there and the word.
    assert heat[inside] == pytest.approx(np.full(12, 1 / 13), rel=0.02)
    assert heat[~inside].max() < 1e-4
    assert found.attention[0, 0][:, 1].max() < 1e-3


@pytest.mark.parametrize("kind", ["fused", "math", "sdpa", "batch of two"])
def test_it_does_not_matter_which_processor_runs(kind: str) -> None:
    transformer, batch = pointed_transformer(), 1
    if kind == "fused":
        transformer.fuse_qkv_projections()
    elif kind == "batch of two":
        batch = 2
    else:
        for block in transformer.transformer_blocks:
            block.attn1.set_processor(Processor(kind))
    before = dict(transformer.attn_processors)
    found = watched(transformer, text_marks(), [[WORD]], batch=batch)
    plain = watched(pointed_transformer(), text_marks(), [[WORD]])
    assert found.attention[0, 0] == pytest.approx(plain.attention[0, 0], abs=1e-6)
    assert transformer.attn_processors == before
