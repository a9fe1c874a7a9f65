"""The parser of where=, and the words of a query."""

from __future__ import annotations

import pytest

from cogexp.spec import SpecError
from cogexp.study.query import Query, read_query
from cogexp.study.where import Condition, parse


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tear.level!=certain", [("tear.level", "!=", "certain")]),
        ("motion_px>0.5", [("motion_px", ">", 0.5)]),
        (
            "tear.level != certain and motion_px>=.5",
            [("tear.level", "!=", "certain"), ("motion_px", ">=", 0.5)],
        ),
        ("upscaled/clip_score>2e1", [("upscaled/clip_score", ">", 20.0)]),
        ("resolution==512x288", [("resolution", "==", "512x288")]),
        ("vae_tiling==true", [("vae_tiling", "==", True)]),
        ("prompt=='two and three'and seed<3", [("prompt", "==", "two and three"), ("seed", "<", 3.0)]),
        (
            'clip_network=="openai/clip-vit-large-patch14"',
            [("clip_network", "==", "openai/clip-vit-large-patch14")],
        ),
        ("seconds<-1", [("seconds", "<", -1.0)]),
        ("", []),
        ("  ", []),
    ],
)
def test_reads(text: str, expected: list[tuple[str, str, object]]) -> None:
    assert [(c.name, c.op, c.value) for c in parse(text)] == expected


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("motion_px", ("NAME OP VALUE", "motion_px")),
        ("motion_px>", ("NAME OP VALUE",)),
        ("motion_px=1", ("nearest: ==",)),
        ("a>1 or b>2", ("'and'", "or b>2")),
        ("a>1 and", ("must not end", "and")),
        ("a>1 b>2", ("'and'",)),
        ("a>1, b>2", ("'and'", ", b>2")),
        ("tear.level!=sure", ("tear.level", "none, suspect, certain", "'sure'")),
        ("tear.level!=certan", ("nearest: certain",)),
        ("tear.level<1", ("none, suspect, certain",)),
        ("upscaler<esrgan", ("number", "esrgan")),
        ("__import__('os').system('x')", ("NAME OP VALUE",)),
        ("a>1 and and b>2", ("NAME OP VALUE",)),
        ("(a>1)", ("NAME OP VALUE",)),
        ("x" * 3000, ("2000",)),
    ],
)
def test_refuses(text: str, named: tuple[str, ...]) -> None:
    with pytest.raises(SpecError) as caught:
        parse(text)
    for part in named:
        assert part in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_levels_are_ordered() -> None:
    (below,) = parse("tear.level<certain")
    assert below.holds("none")
    assert below.holds("suspect")
    assert not below.holds("certain")


def test_words_compare_without_regard_to_type() -> None:
    assert Condition(name="steps", op="==", value=20.0).holds(20)
    assert not Condition(name="vae_tiling", op="==", value=True).holds(False)
    assert Condition(name="source", op="==", value="none").holds(None)
    assert Condition(name="upscaler", op="!=", value="none").holds("esrgan")


def test_query_words() -> None:
    query = read_query(["maximize=clip_score", "where=a>1", "max_vram=24GB", "max_seconds=5min"])
    assert query.objective == "clip_score"
    assert query.maximize
    assert query.max_vram_gib == 24.0
    assert query.max_seconds == 300.0
    assert read_query(["max_vram=512MB"]).max_vram_gib == 0.5
    assert read_query(["minimize=seconds"]) == Query(objective="seconds", maximize=False)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["maximise=clip_score"], ("maximise", "nearest: maximize")),
        (["max_vram=lots"], ("max_vram", "'lots'", "nearest: 24GB")),
        (["max_vram=0GB"], ("max_vram", "nearest")),
        (["max_seconds=soon"], ("max_seconds", "'soon'")),
        (["maximize=a", "minimize=b"], ("both", "where")),
        (["maximize=a", "maximize=b"], ("once",)),
        (["where="], ("where", "value")),
    ],
)
def test_query_refuses(words: list[str], named: tuple[str, ...]) -> None:
    with pytest.raises(SpecError) as caught:
        read_query(words)
    for part in named:
        assert part in str(caught.value)
