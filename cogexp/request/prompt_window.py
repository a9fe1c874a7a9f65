"""How much of a prompt the model's text encoder reads, asked of its own tokenizer where that is here.

diffusers cuts what is longer without a word when the libraries are quiet. Costs no torch and no transformers.
"""

from __future__ import annotations

import re
from pathlib import Path

from cogexp import machine
from cogexp.catalog import VARIANTS
from cogexp.spec import ModelSpec, RunSpec
from cogexp.text_window import cut_line, cut_line_by_words

WORD_MARK = "\u2581"  # SentencePiece's, in front of a word
T5_TOKENS = 226  # the authors' max_sequence_length, of all public variants


def notes(spec: RunSpec) -> dict[str, str]:
    """What is to be said of the prompt, by key: words that the embedded model's world lacks, and `cuts`."""
    found = {}
    if VARIANTS[spec.model.name].embedded:
        from cogexp.nano.tokenizer import unknown_words_line

        if unknown := unknown_words_line(spec.prompt.text):
            found["prompt"] = unknown
    return found | cuts(spec)


def cuts(spec: RunSpec) -> dict[str, str]:
    """'prompt.text' and 'prompt.negative', where one is not read to its end: where it is cut, in one line.

    Without the checkpoint's tokenizer only what is certain is said: a word is at least one token.
    """
    texts = {"prompt.text": spec.prompt.text}
    if spec.sampler.guidance > 1:
        texts["prompt.negative"] = spec.prompt.negative
    found = {key: _cut(text, spec.model) for key, text in texts.items()}
    return {key: line for key, line in found.items() if line}


def _cut(text: str, model: ModelSpec) -> str:
    if VARIANTS[model.name].embedded:
        from cogexp.nano.tokenizer import token_spans
        from cogexp.nano.weights import MAX_SEQUENCE_LENGTH

        spans = token_spans(text)
        return cut_line(text, spans, encoder="the embedded model", window=MAX_SEQUENCE_LENGTH)
    # A token is a byte at least, and a space may be one: a short text is read to its end.
    if len(text.encode()) + len(text.split()) < T5_TOKENS:
        return ""
    if (file := _tokenizer_file(model)) is None:
        return cut_line_by_words(text, encoder="T5", window=T5_TOKENS)
    return cut_line(text, _t5_spans(file, text), encoder="T5", window=T5_TOKENS)


def _tokenizer_file(model: ModelSpec) -> Path | None:
    """The checkpoint's own tokenizer, where it is on this machine; random weights have none."""
    if model.source is None:
        return None
    if Path(model.source).is_absolute():
        folders = [Path(model.source)]
    else:
        snapshots = machine.hub_cache() / f"models--{model.source.replace('/', '--')}" / "snapshots"
        folders = sorted(snapshots.glob("*"))
    files = [folder / "tokenizer" / name for folder in folders for name in ("spiece.model", "tokenizer.json")]
    return next((file for file in files if file.is_file()), None)


def _t5_spans(file: Path, text: str) -> list[tuple[int, int]]:
    """(first, end) of each token in characters of `text`."""
    if file.suffix == ".json":
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(file))
        tokenizer.no_truncation()
        spans: list[tuple[int, int]] = tokenizer.encode(text, add_special_tokens=False).offsets
        return spans
    from sentencepiece import SentencePieceProcessor

    words = [word.span() for word in re.finditer(r"\S+", text)]
    found, index, at = [], -1, 0
    for piece in SentencePieceProcessor(model_file=str(file)).encode(text, out_type=str):
        # T5's pieces never reach over a space: one that begins with the mark begins a word.
        if piece.startswith(WORD_MARK):
            index, at = min(index + 1, len(words) - 1), 0
        start, end = words[max(index, 0)]
        first = min(start + at, end - 1)
        at += len(piece.removeprefix(WORD_MARK))
        found.append((first, min(start + at, end)))
    return found
