"""Where a text is cut that is longer than its encoder reads. Pure functions of a text and its tokens."""

from __future__ import annotations

import re
from collections.abc import Sequence

SHOWN = 24  # characters of a word, or of text without spaces, that are shown


def cut_line(
    text: str, spans: Sequence[tuple[int, int]], *, encoder: str, window: int, special: int = 1
) -> str:
    """'' when all is read, else where it is cut: the last word that is read and the first that is not.

    Args:
        spans: (first, end) of each token in characters of `text`, without special tokens.
        encoder: who reads it.
        window: tokens that it reads, `special` of them its own (the end of the text, for instance).
    """
    room = window - special
    if len(spans) <= room:
        return ""
    read, left, number = _around(text, spans[room][0])
    total, words = len(spans) + special, len(text.split())
    last = f"the last word read is {read!r} (word {number} of {words})" if read else "no word is read whole"
    return f"cut: {encoder} reads {window} of {total} tokens; {last}, the first that is not is {left!r}"


def cut_line_by_words(text: str, *, encoder: str, window: int, special: int = 1) -> str:
    """The same without a tokenizer: a word is at least one token. '' unless the words alone are too many."""
    words, room = text.split(), window - special
    if len(words) <= room:
        return ""
    return (
        f"cut: {encoder} reads {window} tokens, and these are {len(words)} words; from word {room + 1} on, "
        f"{_short(words[room])!r}, and maybe before, nothing is read"
    )


def _around(text: str, at: int) -> tuple[str, str, int]:
    """The last word of `text` that ends before character `at`, the first that does not, and the number of the
    last one, from 1."""
    words = list(re.finditer(r"\S+", text))
    left = next((index for index, word in enumerate(words) if word.end() > at), len(words) - 1)
    if len(words[left][0]) > SHOWN:  # a language without spaces: what stands on both sides of the cut
        start = max(at, words[left].start())
        return text[max(start - SHOWN, 0) : start].strip(), text[start : start + SHOWN].strip(), left + 1
    return _short(words[left - 1][0]) if left else "", words[left][0], left


def _short(word: str) -> str:
    return word if len(word) <= SHOWN else word[:SHOWN]
