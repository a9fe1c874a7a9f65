"""A prompt that is longer than its encoder reads is cut where the encoder's own tokenizer cuts it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cogexp.build import build
from cogexp.nano.tokenizer import build_tokenizer, normalize, token_spans
from cogexp.nano.weights import MAX_SEQUENCE_LENGTH
from cogexp.request.prompt_window import cuts
from cogexp.text_window import cut_line, cut_line_by_words
from tests.plan.test_published import spec_of

LONG = "two gray wolves running through a snowy forest at night, " * 8 + "a white rabbit, a castle"
WORDS = [f"word{chr(97 + i // 26)}{chr(97 + i % 26)}" for i in range(300)]


def nano(**prompt: str) -> Any:
    return build({"model": {"name": "nano"}, "device": "cpu", "prompt": {"text": "two wolves", **prompt}})


def quoted(line: str) -> list[str]:
    """The words that a line names: the last that is read, the first that is not."""
    return line.split("'")[1::2]


def test_the_embedded_models_own_tokenizer_ends_where_it_is_said() -> None:
    """transformers' truncation keeps the tokens of all words before the one that is named."""
    line = nano(text=LONG).resolved["prompt.text"]
    read, left = quoted(line)
    tokenizer = build_tokenizer()
    whole = tokenizer(LONG, truncation=False, verbose=False)["input_ids"]
    assert f"reads {MAX_SEQUENCE_LENGTH} of {len(whole)} tokens" in line
    kept = tokenizer.decode(whole[: MAX_SEQUENCE_LENGTH - 1], skip_special_tokens=True)
    cut_text = tokenizer.decode(whole[MAX_SEQUENCE_LENGTH - 1 :], skip_special_tokens=True)
    assert kept.split()[-1] == normalize(read.rstrip(","))
    assert cut_text.split()[0] == normalize(left.rstrip(","))


def test_spans_are_those_of_transformers() -> None:
    tokenizer = build_tokenizer()
    for text in (LONG, "Two grey Wolves & a spaceship", "두 마리 늑대"):
        asked = tokenizer(text, truncation=False, verbose=False, return_offsets_mapping=True)
        assert [tuple(span) for span in asked["offset_mapping"][:-1]] == token_spans(text)


def test_a_prompt_that_is_read_to_its_end_says_nothing() -> None:
    resolved = nano(text=LONG[:200], negative="blurry").resolved
    assert "prompt.text" not in resolved
    assert "prompt.negative" not in resolved


def test_the_negative_prompt_is_cut_alike_and_only_counts_with_guidance() -> None:
    assert quoted(nano(negative=LONG).resolved["prompt.negative"]) == quoted(
        nano(text=LONG).resolved["prompt.text"]
    )
    config = {
        "model": {"name": "nano"},
        "device": "cpu",
        "prompt": {"text": "two wolves", "negative": LONG},
        "sampler": {"guidance": 1.0},
    }
    assert "prompt.negative" not in build(config).resolved


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a T5-like tokenizer of its own: SentencePiece, trained here on a few hundred words."""
    import sentencepiece

    folder = tmp_path_factory.mktemp("checkpoint")
    (folder / "tokenizer").mkdir()
    (folder / "model_index.json").write_text("{}")
    with (folder / "tokenizer" / "spiece.model").open("wb") as file:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter([" ".join(WORDS[i : i + 10]) for i in range(0, 300, 5)]),
            model_writer=file, vocab_size=80, minloglevel=2, pad_id=0, eos_id=1, unk_id=2, bos_id=-1,
        )  # fmt: skip
    return folder


def test_t5_is_cut_where_its_own_sentencepiece_model_ends(checkpoint: Path) -> None:
    import sentencepiece

    text = " ".join(WORDS)
    config = {
        "model": {"name": "cogvideox-5b", "path": str(checkpoint)},
        "device": "cuda",
        "prompt": {"text": text},
    }
    line = build(config).resolved["prompt.text"]
    read, left = quoted(line)
    processor = sentencepiece.SentencePieceProcessor(
        model_file=str(checkpoint / "tokenizer" / "spiece.model")
    )
    ids = processor.encode(text)
    assert f"T5 reads 226 of {len(ids) + 1} tokens" in line
    kept = processor.decode(ids[:225]).split()
    # The last word that is whole among what is kept, and the one after it.
    whole = kept if kept[-1] == WORDS[len(kept) - 1] else kept[:-1]
    assert (read, left) == (WORDS[len(whole) - 1], WORDS[len(whole)])


def test_without_the_checkpoints_tokenizer_only_what_is_certain_is_said() -> None:
    def of(count: int, weights: str) -> str:
        spec = spec_of("cogvideox-5b", weights=weights)
        text = " ".join(WORDS[:count])
        return cuts(type(spec).from_dict(spec.to_dict() | {"prompt": {"name": "p", "text": text}})).get(
            "prompt.text", ""
        )

    for weights in ("random", "pretrained"):
        assert of(225, weights) == ""  # more than 226 tokens, perhaps
        line = of(226, weights)
        assert "T5 reads 226 tokens, and these are 226 words" in line
        assert quoted(line) == [WORDS[225]]


def test_the_words_on_both_sides_of_a_cut() -> None:
    def words(text: str, window: int) -> list[str]:
        """Each character is a token."""
        return quoted(cut_line(text, [(i, i + 1) for i in range(len(text))], encoder="e", window=window))

    assert words("ab cd ef", 9) == []
    line = cut_line("ab cd ef", [(i, i + 1) for i in range(8)], encoder="e", window=7)
    assert line == (
        "cut: e reads 7 of 9 tokens; the last word read is 'cd' (word 2 of 3), the first that is not is 'ef'"
    )
    assert words("ab cd ef", 5) == ["ab", "cd"]  # 'c' alone is read
    assert words("ab cd ef", 7) == ["cd", "ef"]
    assert words("abc", 2) == ["abc"]
    assert cut_line("abc", [(0, 1), (1, 3)], encoder="e", window=2).endswith(
        "no word is read whole, the first that is not is 'abc'"
    )
    chinese = "两只狼在雪地里奔跑" * 5
    assert words(chinese, 31) == [chinese[6:30], chinese[30:45]]
    assert cut_line_by_words("a b c", encoder="e", window=4) == ""
    assert "from word 3 on, 'c'" in cut_line_by_words("a b c", encoder="e", window=3)


def test_a_run_says_and_records_what_its_late_tokenizer_and_its_metrics_cut() -> None:
    """A checkpoint that came with the run brings its tokenizer; CLIP has a window of its own."""
    from types import SimpleNamespace

    from cogexp import scores, stages
    from tests.launch.jobs import Said

    spec = build({"model": {"name": "nano"}, "device": "cpu", "prompt": {"text": LONG}}).spec
    attempt, said = SimpleNamespace(spec=spec, resolved={}), Said()
    for _ in range(2):
        stages._say_what_is_cut(attempt, said)  # type: ignore[arg-type]
    assert attempt.resolved == cuts(spec)
    assert said.lines == [f"prompt.text: {attempt.resolved['prompt.text']}"]
    notes = {
        "metrics.clip_score": "openai/clip; prompt cut: CLIP reads 77 of 80 tokens",
        "metrics.tear": "shear",
    }
    for _ in range(2):
        scores._say_what_was_cut(notes, said)
    assert said.lines[1:] == ["metrics.clip_score: openai/clip; prompt cut: CLIP reads 77 of 80 tokens"]
