"""The embedded model's tokenizer: a Unigram model whose vocabulary and normalizer are written by hand.

A normalizer brings synonyms, plurals and Korean words to the canonical words of `words.py`; each canonical
word is one token. A word the world does not know falls back to letters, then to bytes, so nothing is lost;
`unknown_words` names it for the user. A mark closes every word, so that 'bearing' cannot begin with the
token 'bear'.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from cogexp.nano.weights import MAX_SEQUENCE_LENGTH
from cogexp.nano.words import replacement_rules, vocabulary

if TYPE_CHECKING:
    from tokenizers import Tokenizer, normalizers
    from transformers import PreTrainedTokenizerFast


# The embedding has room for words added later, so that trained weights keep their shape.
VOCAB_SIZE = 640
PAD, EOS, UNK = "<pad>", "</s>", "<unk>"
# CLIP's text tower takes its feature at the first EOS; an id of 2 would switch on a legacy rule there.
PAD_ID, EOS_ID, UNK_ID = 0, 1, 2
_START, _END = "\u2581", "\u2582"
_SYMBOLS = (",", ".")
_WORD_CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
# Everything that is neither a letter, a digit, a comma nor a full stop separates words.
_SEPARATORS = r"[^\p{L}\p{N},.]+"


def pieces() -> list[tuple[str, float]]:
    """(piece, log score) of the vocabulary, at most VOCAB_SIZE of them, in the order of their ids."""
    words = [(f"{_START}{word}{_END}", -1.0) for word in vocabulary()]
    symbols = [(f"{_START}{symbol}{_END}", -1.0) for symbol in _SYMBOLS]
    letters = [(letter, -4.0) for letter in (_START, _END, *_WORD_CHARACTERS, *_SYMBOLS)]
    bytes_ = [(f"<0x{value:02X}>", -8.0) for value in range(256)]
    return [(PAD, 0.0), (EOS, 0.0), (UNK, -20.0), *bytes_, *letters, *symbols, *words]


@lru_cache(maxsize=1)
def _text_normalizer() -> normalizers.Normalizer:
    """Lower case, one kind of separator, every synonym on its canonical word."""
    from tokenizers import Regex, normalizers

    rules = [normalizers.Replace(Regex(pattern), replacement) for pattern, replacement in replacement_rules()]
    return normalizers.Sequence(
        [
            normalizers.NFKC(),
            normalizers.Lowercase(),
            normalizers.Replace("&", " and "),
            normalizers.Replace(Regex(_SEPARATORS), " "),
            normalizers.Replace(Regex(r"\s*([,.])"), " , "),
            *rules,
            normalizers.Replace(Regex(r"\s+"), " "),
            normalizers.Strip(),
        ]
    )


def normalize(text: str) -> str:
    """The canonical words of a prompt, lower case, single spaces: 'Two grey Wolves' -> 'two gray wolf'."""
    normalized: str = _text_normalizer().normalize_str(text)
    return normalized


def unknown_words(text: str) -> list[str]:
    """Words of `text` (lower case, in order, each once) that lie outside the nano world."""
    known = {*vocabulary(), *_SYMBOLS}
    return list(dict.fromkeys(word for word in normalize(text).split() if word not in known))


def token_spans(text: str) -> list[tuple[int, int]]:
    """(first, end) of each token in characters of `text`, without the closing EOS. Costs no transformers."""
    spans: list[tuple[int, int]] = _backend().encode(text, add_special_tokens=False).offsets
    return spans


def build_tokenizer() -> PreTrainedTokenizerFast:
    """A new PreTrainedTokenizerFast: pads to and truncates at `max_length`, ends every text with EOS.

    Built from the word list alone, so it is the same in every process and needs no file.
    """
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_object=_backend(),
        pad_token=PAD,
        eos_token=EOS,
        unk_token=UNK,
        model_max_length=MAX_SEQUENCE_LENGTH,
        padding_side="right",
        truncation_side="right",
        clean_up_tokenization_spaces=False,
    )


def _backend() -> Tokenizer:
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    tokenizer = Tokenizer(models.Unigram(pieces(), unk_id=UNK_ID, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence(
        [_text_normalizer(), normalizers.Replace(Regex(r" |$"), f"{_END} ")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="always")]
    )
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.ByteFallback(),
            decoders.Replace(_END, ""),
            decoders.Replace(_START, " "),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {EOS}", special_tokens=[(EOS, EOS_ID)]
    )
    return tokenizer


def unknown_words_line(text: str) -> str | None:
    """The one line to say about a prompt, or None: 'not in the nano world: spaceship'."""
    unknown = unknown_words(text)
    return f"not in the nano world: {', '.join(unknown)}" if unknown else None
