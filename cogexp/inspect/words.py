"""Which tokens of a text encoder stand for which word of the prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

START = "▁"  # SentencePiece's mark of a word's first piece; the embedded tokenizer has the same


@dataclass(frozen=True, kw_only=True)
class Word:
    """A word and the indices of its tokens in the padded row of tokens."""

    text: str
    tokens: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """A prompt as the text encoder sees it: one name a token without the padding, words, padded length."""

    text: str
    tokens: tuple[str, ...]
    words: tuple[Word, ...]
    length: int


def read_prompt(tokenizer: Any, text: str, length: int) -> Prompt:
    """The tokens and words of `text`, cut at `length` tokens as the pipeline cuts it.

    Marks of punctuation and the end of the text are tokens, but no words.
    """
    ids = tokenizer(text, max_length=length, truncation=True, add_special_tokens=True).input_ids
    pieces = tokenizer.convert_ids_to_tokens(ids)
    special = set(tokenizer.all_special_ids)
    names = tuple(_name(piece) for piece in pieces)
    words = []
    for group in _groups(pieces, [token in special for token in ids]):
        word = tokenizer.decode([ids[index] for index in group]).strip()
        if any(letter.isalnum() for letter in word):
            words.append(Word(text=word.strip(",.;:!?\"'()"), tokens=tuple(group)))
    return Prompt(text=text, tokens=names, words=tuple(words), length=length)


def _name(piece: str) -> str:
    """What is written at an axis: the piece without the marks of word boundaries."""
    return piece.strip("▁▂") or piece


def _groups(pieces: Sequence[str], special: Sequence[bool]) -> list[list[int]]:
    """Indices of the pieces of each word; a mark of punctuation after a word stands alone."""
    groups: list[list[int]] = []
    for index, piece in enumerate(pieces):
        if special[index]:
            continue
        bare = piece.strip("▁▂")
        mark = bool(bare) and not any(letter.isalnum() for letter in bare)
        ended = bool(groups) and groups[-1][-1] != index - 1
        if piece.startswith(START) or mark or not groups or ended or _is_mark(pieces[groups[-1][-1]]):
            groups.append([index])
        else:
            groups[-1].append(index)
    return groups


def _is_mark(piece: str) -> bool:
    bare = piece.strip("▁▂")
    return bool(bare) and not any(letter.isalnum() for letter in bare)
