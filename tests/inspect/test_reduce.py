"""Components against scikit-learn, feature maps against numpy, words against tokenizers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cogexp.inspect import reduce
from cogexp.inspect.watched import attention_columns
from cogexp.inspect.words import read_prompt
from cogexp.nano import weights


@pytest.mark.parametrize(("count", "width"), [(500, 20), (300, 1000), (3, 8), (700, 2)])
def test_components_are_those_of_scikit_learn(count: int, width: int) -> None:
    from sklearn.decomposition import PCA

    drawn = np.random.default_rng(0)
    scales = np.r_[[9.0, 5.0, 3.0], np.full(max(width - 3, 0), 0.3)][:width]
    tokens = (drawn.normal(size=(count, width)) * scales + 4).astype(np.float32)
    found = reduce.components(torch.from_numpy(tokens))
    kept = min(3, width, count)
    theirs = PCA(n_components=kept, svd_solver="full").fit(tokens)
    ours, expected = found.scores[:, :kept], theirs.transform(tokens)
    signs = np.sign((ours * expected).sum(0))
    assert ours * signs == pytest.approx(expected, abs=2e-3 * float(np.abs(expected).max()))
    assert found.shares[:kept] == pytest.approx(theirs.explained_variance_ratio_, abs=1e-4)
    assert found.scores.shape == (count, 3)


def test_more_tokens_than_the_sample_are_all_projected() -> None:
    drawn = torch.Generator().manual_seed(0)
    tokens = torch.randn(9000, 6, generator=drawn) * torch.tensor([9.0, 5, 3, 0.1, 0.1, 0.1])
    found = reduce.components(tokens)
    assert found.scores.shape == (9000, 3)
    # Nearly axis-aligned: each component is a column.
    for index in range(3):
        assert abs(np.corrcoef(found.scores[:, index], tokens[:, index].numpy())[0, 1]) > 0.99


def test_equal_tokens_have_no_component() -> None:
    found = reduce.components(torch.ones(10, 4))
    assert found.scores == pytest.approx(np.zeros((10, 3)))
    assert found.shares == (0.0, 0.0, 0.0)


def test_colours_agree_after_a_rotation() -> None:
    drawn = np.random.default_rng(0)
    before = drawn.normal(size=(50, 3)) * [3, 2, 1]
    turn, _ = np.linalg.qr(drawn.normal(size=(3, 3)))
    assert reduce.agree(before @ turn, before) == pytest.approx(before)


def test_feature_maps_take_the_last_frame_and_the_channels_that_vary() -> None:
    output = torch.zeros(1, 6, 4, 8, 16)
    output[0, 2, -1, :4] = 10.0
    output[0, 5, -1, :, :8] = -3.0
    output[0, 1] = 99.0  # large, and the same everywhere: shows nothing
    output[0, 3, 0, ::2] = 50.0  # another frame
    found = reduce.feature_maps(output, widest=8, count=2)
    assert found.channels == (2, 5)
    assert found.shape == (6, 4, 8, 16)
    assert found.maps.shape == (2, 4, 8)
    assert found.maps[0].tolist() == [[10.0] * 8] * 2 + [[0.0] * 8] * 2
    assert found.maps[1].tolist() == [[-3.0] * 4 + [0.0] * 4] * 4
    assert found.rgb.shape == (4, 8, 3)
    assert found.share == pytest.approx(1, abs=1e-5)


class Pieces:
    """A tokenizer as T5's behaves: SentencePiece's pieces, an end, and words cut in parts."""

    all_special_ids = (1,)
    table = ("<pad>", "</s>", "▁two", "▁wol", "ves", ",", "▁snow", "y", "▁", "🐺", "▁don", "'", "t")

    def __call__(self, text: str, **options: object) -> Pieces:
        self.input_ids = [2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 1]
        return self

    def convert_ids_to_tokens(self, ids: list[int]) -> list[str]:
        return [self.table[i] for i in ids]

    def decode(self, ids: list[int]) -> str:
        return "".join(self.table[i] for i in ids).replace("▁", " ")


def test_words_are_made_of_pieces_and_marks_are_not_words() -> None:
    prompt = read_prompt(Pieces(), "two wolves, snowy ...", 20)
    assert [(word.text, word.tokens) for word in prompt.words] == [
        ("two", (0,)), ("wolves", (1, 2)), ("snowy", (4, 5)), ("don", (8,)), ("t", (10,)),
    ]  # fmt: skip
    assert prompt.tokens[-1] == "</s>"
    columns = attention_columns(prompt)
    assert columns[-2:] == [[3, 6, 7, 9, 11], list(range(12, 20))]
    assert sorted(index for group in columns for index in group) == list(range(20))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Two grey wolves, running", ["two", "gray", "wolf", "running"]),
        ("두 마리 늑대", ["two", "wolf"]),
        ("a spaceship", ["a", "spaceship"]),
        ("고래", ["고래"]),
        ("<b>fox</b>", ["b", "fox", "b"]),
        ("", []),
    ],
)
def test_words_of_the_embedded_tokenizer(text: str, words: list[str]) -> None:
    tokenizer = weights.components(("tokenizer",))["tokenizer"]
    prompt = read_prompt(tokenizer, text, 48)
    assert [word.text for word in prompt.words] == words
    assert sorted(i for group in attention_columns(prompt) for i in group) == list(range(48))


def test_a_long_prompt_is_cut_as_the_pipeline_cuts_it() -> None:
    tokenizer = weights.components(("tokenizer",))["tokenizer"]
    prompt = read_prompt(tokenizer, "wolf " * 100, 48)
    assert len(prompt.tokens) == 48
    assert attention_columns(prompt)[-1] == []
