"""`python -m cogexp inspect`: tables, Markdown, JSON, the comparison's picture, and refusals."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cogexp.__main__ import main
from cogexp.inspect.compare import compare, look
from cogexp.inspect.picture import MIXED, USED, draw
from cogexp.inspect.tables import differences, shape_text
from cogexp.spec import SpecError
from tests.inspect.test_shapes import spec_of

NANO = ["inspect", "model=nano", "resolution=256x144"]


def test_json_is_all_of_stdout_and_keeps_the_contract(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*NANO, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["tokens"] == {"text": 48, "video": 432}
    assert list(dict.fromkeys(row["part"] for row in found["rows"])) == [
        "text_encoder",
        "vae_encoder",
        "transformer",
        "vae_decoder",
    ]
    for row in found["rows"]:
        assert {"part", "stage", "module", "input", "output", "parameters"} <= set(row)
        assert all(isinstance(side, int) for side in (*row["input"], *row["output"]))
    assert not list(tmp_path.iterdir())


def test_tables_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(NANO) == 0
    out = capsys.readouterr().out
    assert "transformer: 8,054,976 parameters" in out
    assert "[B, 480, 256]" in out  # 48 text tokens and 432 of video
    assert max(map(len, out.splitlines())) <= 110


def test_markdown_has_whole_tables(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*NANO, "format=md"]) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = [line for line in lines if line.startswith("|")]
    assert {line.count("|") for line in rows} == {7}
    assert sum(line.startswith("| ---") for line in rows) == 4
    assert any(line.startswith("| text + video") and "[B, 480, 256]" in line for line in rows)


def test_against_writes_the_picture_and_says_what_differs(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["inspect", "model=nano", "against=256x144", "--json", f"outputs={tmp_path}"]) == 0
    found = json.loads(capsys.readouterr().out)
    file = Path(found["files"]["positions"])
    assert file == tmp_path / "inspect" / "nano-512x288-against-256x144" / "positions.png"
    with Image.open(file) as picture:
        assert picture.width == 1600
    assert found["against"]["positions"]["rows"]["step"] == 2.0
    assert found["this"]["tiles"]["rows"] == [[0, 240, 0, 0, 200], [200, 288, 200, 240, 288]]
    assert found["against"]["tiles"]["rows"] == [[0, 144, 0, 0, 144]]
    differing = {tuple(pair) for pair in found["differing"]}
    assert ("transformer", "text + video") in differing
    assert ("transformer", "text projection") not in differing
    assert ("text_encoder", "final norm") not in differing


def test_the_picture_shows_every_position_and_the_seams(tmp_path: Path) -> None:
    comparison = compare(spec_of("nano", 512, 288), (256, 144))
    draw(comparison, tmp_path / "positions.png")
    with Image.open(tmp_path / "positions.png") as picture:
        pixels = np.asarray(picture)
    left, right = pixels[:, :800], pixels[:, 800:]
    blue = [(half == USED).all(-1).sum() for half in (left, right)]
    # 18 x 32 dots against 9 x 16, all of one size; the legend's dot is on the left.
    assert blue[0] / blue[1] == pytest.approx(4, rel=0.15)
    seams = [(half == MIXED).all(-1) for half in (left, right)]
    assert seams[0].any()
    assert not seams[1].any()  # one tile at 256x144


def test_the_same_size_differs_in_nothing() -> None:
    view = look(spec_of("nano", 256, 144))
    table = differences(type(compare(view.spec, (256, 144)))(this=view, other=view))
    assert table.rows == []
    assert "0 rows differ" in table.title


def test_shape_text() -> None:
    assert shape_text((1, 226, 4096)) == "[B, 226, 4096]"
    assert shape_text((1,)) == "[B]"
    assert shape_text((13, 30, 45)) == "[13, 30, 45]"


REFUSED: list[tuple[list[str], tuple[str, ...]]] = [
    (["against=big"], ("against", "WxH", "'big'", "nearest: 512x288")),
    (["against=500x288"], ("against=500x288", "divisible by 16", "496 or 512")),
    (["model=cogvideox-1.5-5b", "against=1376x768"], ("against", "1360x768", "1376x768")),
    (
        ["model=cogvideox-5b-i2v", "resolution=720x480", "against=512x288"],
        ("against", "must be 720x480", "512x288"),
    ),
    (["model=cogvideox-5b-i2v", "resolution=512x288"], ("resolution", "must be 720x480")),
    (["resolution=500x288"], ("resolution.width", "496 or 512")),
    (["format=html"], ("format", "table, md", "html")),
    (["format=md", "--json"], ("format", "--json")),
    (["-m", "resolution=512x288,256x144"], ("inspect", "-m")),
    (["resolution=512x288,256x144"], ("resolution", "several values")),
    (["agains=720x480"], ("agains",)),
]


@pytest.mark.parametrize(("words", "named"), REFUSED, ids=[" ".join(words) for words, _ in REFUSED])
def test_is_refused_with_a_helpful_line(
    words: list[str], named: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", *words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert 1 <= len(err.strip().splitlines()) <= 2, err
    for text in named:
        assert text in err


def test_a_refusal_loads_nothing_heavy() -> None:
    script = (
        "import sys; from cogexp.__main__ import main\n"
        "code = main(['inspect', 'model=cogvideox-5b', 'against=500x288'])\n"
        "heavy = {'torch', 'diffusers', 'transformers', 'numpy', 'PIL'} & set(sys.modules)\n"
        "print(code, sorted(heavy))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "2 []"


def test_image_to_video_needs_no_first_frame_here_but_a_run_does(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "model=cogvideox-5b-i2v", "resolution=native", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert any(row["output"] == [1, 13, 32, 60, 90] for row in rows)
    assert main(["model=cogvideox-5b-i2v", "resolution=native"]) == 2
    assert "prompt.image" in capsys.readouterr().err


def test_another_size_is_checked_for_the_model() -> None:
    with pytest.raises(SpecError, match="against must be at most 1360x768"):
        compare(spec_of("cogvideox-1.5-5b", 1360, 768), (1376, 768))
