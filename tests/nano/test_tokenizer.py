"""The tokenizer: English and Korean land on the same tokens, unknown words are named, nothing is lost."""

from __future__ import annotations

import pytest

from cogexp.nano.tokenizer import (
    EOS_ID,
    PAD_ID,
    VOCAB_SIZE,
    build_tokenizer,
    normalize,
    pieces,
    unknown_words,
    unknown_words_line,
)
from cogexp.nano.weights import MAX_SEQUENCE_LENGTH
from cogexp.nano.words import vocabulary


@pytest.fixture(scope="module")
def tokenizer():
    return build_tokenizer()


@pytest.mark.parametrize(
    ("english", "other"),
    [
        ("two wolf, disney like sense of space", "두 마리 늑대, 디즈니 같은 공간감"),
        ("Two Wolves", "2 wolf"),
        ("a grey wolf", "a gray wolf"),
        ("snowy forest running white fox three", "눈 덮인 숲에서 달리는 하얀 여우 세 마리"),
        ("night beach bird", "밤에 해변의 새"),
        ("running to the left", "running left"),
        ("three bunnies in a meadow", "3 rabbits in a flower meadow"),
        ("a deer by the lake at dusk", "a deer by the mountain lake at sunset"),
        ("the camera pans right", "camera panning to the right"),
    ],
)
def test_synonyms_have_the_same_tokens(tokenizer, english, other):
    assert tokenizer(english).input_ids == tokenizer(other).input_ids


def test_the_default_prompt_is_whole_words(tokenizer):
    tokens = tokenizer.tokenize("two wolves, a Disney-like sense of space")
    words = [token.strip("\u2581\u2582") for token in tokens]
    assert words == ["two", "wolf", ",", "a", "disney", "like", "sense", "of", "space"]


def test_every_word_is_one_token_with_its_own_id(tokenizer):
    # 'lake' and 'meadow' alone stand for their whole place.
    words = [word for word in vocabulary() if word not in ("lake", "meadow")]
    ids = [tokenizer(word).input_ids for word in words]
    assert all(len(row) == 2 and row[1] == EOS_ID for row in ids)
    assert len({row[0] for row in ids}) == len(ids)


def test_a_known_word_inside_an_unknown_one_is_not_found(tokenizer):
    bear = tokenizer("bear").input_ids[0]
    assert bear not in tokenizer("bearing forbears").input_ids


@pytest.mark.parametrize("text", ["spaceship", "café", "우주선", "새로운 여우"])
def test_unknown_text_survives_the_round_trip(tokenizer, text):
    ids = tokenizer(text).input_ids
    assert tokenizer.decode(ids, skip_special_tokens=True) == normalize(text)
    assert tokenizer.unk_token_id not in ids


def test_unknown_words_are_named_once_and_in_order():
    assert unknown_words("a Spaceship and two wolves chase a spaceship in 우주") == ["spaceship", "우주"]
    assert unknown_words("two wolves, a Disney-like sense of space") == []
    assert unknown_words("두 마리 늑대, 디즈니 같은 공간감") == []
    assert unknown_words_line("four wolves") == "not in the nano world: four"
    assert unknown_words_line("wolves!") is None


def test_padding_and_truncation(tokenizer):
    batch = tokenizer(
        ["two wolves", "fox " * 100], padding="max_length", max_length=MAX_SEQUENCE_LENGTH, truncation=True
    ).input_ids
    assert [len(row) for row in batch] == [MAX_SEQUENCE_LENGTH] * 2
    assert batch[0][3:] == [PAD_ID] * (MAX_SEQUENCE_LENGTH - 3)
    assert batch[1][-1] == EOS_ID


def test_the_vocabulary_fits_and_is_saved_whole(tokenizer, tmp_path):
    assert len(pieces()) == len(tokenizer) <= VOCAB_SIZE
    assert len(dict(pieces())) == len(pieces())
    tokenizer.save_pretrained(tmp_path)
    from transformers import PreTrainedTokenizerFast

    again = PreTrainedTokenizerFast.from_pretrained(tmp_path)
    text = "두 마리 늑대 at dusk"
    assert again(text).input_ids == tokenizer(text).input_ids
