"""The atlas as a user gets it: files, page, browser, W&B; and requests refused before anything loads."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image

from cogexp.__main__ import main
from cogexp.build import build
from cogexp.cli import inspect_layers
from cogexp.inspect import Atlas
from cogexp.inspect.draw import kit
from cogexp.nano.weights import trained
from cogexp.record import now
from cogexp.terminal import Silent
from cogexp.video import Writer
from tests.browser import page_of, wait

EVIL = "two wolves <img src=x onerror='window.HACKED=1'> & 늑대"
SIZE = ["model=nano", "resolution=128x96", "sampler.steps=3"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The atlas's folder and what --json printed, of a small clip with an attack for a prompt."""
    outputs = tmp_path_factory.mktemp("atlas") / "out puts"
    clip = tmp_path_factory.mktemp("clip") / "striped.mp4"
    with Writer(clip, 8) as file:
        file.write(np.repeat(np.tile(np.arange(0, 256, 2, np.uint8)[:, None], (9, 96, 1, 3)), 1, 0))
    words = ["inspect", "activations=true", *SIZE, f"prompt.text={EVIL}", "layers=0,3-4", "steps=1,3"]
    done = subprocess.run(
        [
            sys.executable, "-m", "cogexp", *words, "probes=100", "against=256x144", "tracking=off",
            f"video={clip}", f"outputs={outputs}", "--json",
        ],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    page = Path(found["files"]["atlas"])
    assert page == next((outputs / "inspect").glob("nano-128x96-*/index.html"))
    return page.parent, found


def test_every_picture_is_there_and_as_large_as_said(made: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = made
    text = (folder / "index.html").read_text(encoding="utf-8")
    images = re.findall(r'<img loading="lazy" src="([^"]+)" width="(\d+)" height="(\d+)" alt="[^"]+">', text)
    assert text.count("<img ") == len(images)
    for source, width, height in images:
        with Image.open(folder / unquote(source)) as picture:
            assert picture.size == pytest.approx((int(width), int(height)), abs=1)
            assert np.asarray(picture.convert("L")).std() > 3, f"{source} is blank"
    names = {Path(source).stem for source, _, _ in images}
    assert {path.stem for path in (folder / "pictures").iterdir()} == names
    assert {
        "text-00",
        "text-03",
        "encoder-11",
        "decoder-15",
        "block-03",
        "positions",
        "blocks-overview",
    } <= names
    assert {f"layers-{name}" for name in ("probes", "cka", "rank", "similarity")} <= names
    assert {"attention-shares", "attention-overview", "attention-effects", "attention-01-wolf"} <= names
    assert {"attention-influence", "attention-tokens"} <= names
    assert "block-01" not in names


def test_the_page_is_self_contained_and_user_text_is_escaped(made: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = made
    text = (folder / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"(src|href)=[\"']?(https?:|/)", text)
    assert "<img src=x" not in text
    assert "two wolves &lt;img src=x" in text
    for section in ("Text encoder", "Where words act", "Transformer blocks", "VAE encoder", "VAE decoder"):
        assert f"<h2>{section}</h2>" in text
    assert "steps 1, 3 watched" in text
    assert "the encoder was shown striped.mp4" in text
    assert "transformer: 8,054,976 parameters" in text
    assert ("These weights are random" in text) == (not trained())


def test_json_and_numbers_hold_the_figures(made: tuple[Path, dict[str, Any]]) -> None:
    folder, found = made
    numbers = json.loads((folder / "numbers.json").read_text(encoding="utf-8"))
    assert found["activations"] == numbers
    assert numbers["prompt"] == EVIL
    assert numbers["blocks"] == [0, 3, 4]
    assert numbers["steps"] == [1, 3]
    assert numbers["grid"] == [3, 6, 8]
    shares = numbers["attention"]["mean"]
    assert [(one["step"], one["block"]) for one in shares] == [(s, b) for s in (1, 3) for b in (0, 3, 4)]
    assert len(shares[0]["shares"]) == len(numbers["attention"]["columns"])
    assert 0 < sum(shares[0]["shares"]) < 1
    readings, words = numbers["readings"], numbers["attention"]["columns"][:-2]
    assert readings["words"] == words
    assert all(sum(one["shares"]) == pytest.approx(1, abs=1e-4) for one in readings["mean"])
    assert np.sum(readings["influence"], axis=0) == pytest.approx(np.ones(48), abs=1e-3)
    assert numbers["text_layers"]["prompts"] == 100
    assert (folder / "clip.mp4").is_file()


def test_wandb_has_the_same_pictures_under_inspect(tmp_path: Path) -> None:
    config = {
        "model": {"name": "nano"}, "prompt": {"text": "two wolves"}, "outputs": str(tmp_path),
        "tracking": {"mode": "offline"},
    }  # fmt: skip
    request, pictures = build(config), []
    (tmp_path / "pictures").mkdir()
    for name in ("text-00", "attention-01-wolf", "block-03"):
        Image.effect_noise((40, 30), 50).save(tmp_path / "pictures" / f"{name}.png")
        pictures.append(
            kit.Picture(file=f"{name}.png", section="x", title=name, caption="", width=40, height=30)
        )
    atlas = Atlas(folder=tmp_path, page=tmp_path / "index.html", pictures=tuple(pictures))
    inspect_layers.track(request, atlas, None, now(), Silent())
    run = next((tmp_path / "wandb").glob("offline-run-*"))
    assert run.name.endswith(f"inspect-{request.spec.run_id}")
    done = subprocess.run(
        [sys.executable, "-m", "wandb", "leet", "inspect", "--summary", "--json", str(run)],
        capture_output=True, text=True, stdin=subprocess.DEVNULL, check=True,
    )  # fmt: skip
    for picture in pictures:
        assert f"inspect/{Path(picture.file).stem}" in done.stdout
    assert len(list((run / "files" / "media" / "images" / "inspect").glob("*.png"))) == 3


@pytest.mark.parametrize(
    ("width", "scheme"), [(1440, "light"), (1440, "dark"), (390, "light"), (390, "dark")]
)
def test_in_a_browser(made: tuple[Path, dict[str, Any]], browser: Any, width: int, scheme: str) -> None:
    folder, _ = made
    with page_of(browser, (folder / "index.html").as_uri(), width=width, scheme=scheme) as (page, _):
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate("window.HACKED") is None
        loaded = "[...document.images].filter((i) => i.complete && i.naturalWidth).length"
        assert page.evaluate(loaded) < page.evaluate("document.images.length")  # lazy
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        light = sum(map(int, re.findall(r"\d+", background)[:3])) > 384
        assert light == (scheme == "light")
        page.evaluate("document.images[document.images.length - 1].scrollIntoView()")
        wait(page, "document.images[document.images.length - 1].naturalWidth > 0")


def test_the_search_finds_layers_words_and_rows(made: tuple[Path, dict[str, Any]], browser: Any) -> None:
    folder, _ = made
    titles = "[...document.querySelectorAll('figure:not([hidden]) b')]"
    shown = f"{titles}.filter((b) => b.offsetParent).map((b) => b.textContent)"
    with page_of(browser, (folder / "index.html").as_uri()) as (page, _):
        page.fill("#search", "block 3")
        found = page.evaluate(shown)
        assert "block 3" in found
        assert "block 4" not in found
        page.fill("#search", "up block 2 upsample")
        assert len(page.evaluate(shown)) == 1
        page.fill("#search", "patches tokens")
        assert page.evaluate("document.querySelectorAll('tbody tr:not([hidden])').length") >= 1
        page.fill("#search", "no such thing")
        assert page.evaluate(shown) == []
        assert page.evaluate("document.getElementById('found').textContent").startswith("0 of ")
        page.fill("#search", "")
        assert len(page.evaluate(shown)) == len(list((folder / "pictures").iterdir()))


REFUSED: list[tuple[list[str], tuple[str, ...]]] = [
    (["activations=maybe"], ("activations", "true, false", "maybe")),
    (["steps=1"], ("steps", "activations=true")),
    (["activations=false", "layers=all"], ("layers", "activations=true")),
    (["activations=true", "steps=0"], ("steps", "1..20", "nearest: 1")),
    (["activations=true", "steps=21"], ("steps", "1..20", "nearest: 20")),
    (["activations=true", "layers=8"], ("layers", "0..7", "nearest: 7")),
    (["activations=true", "layers=3-1"], ("layers", "rise", "nearest: 1-3")),
    (["activations=true", "layers=x"], ("layers", "'x'", "nearest: all")),
    (["activations=true", "video=nowhere.mp4"], ("video", "nowhere.mp4")),
    (["activations=true", "probes=3"], ("probes", "100", "nearest: 100")),
    (["activations=true", "effects=maybe"], ("effects", "maybe")),
    (["activations=true", "probes=many"], ("probes", "many")),
    (["activations=true", "optimization=pab"], ("optimization.cache", "pab", "nearest: none")),
    (["activations=true", "optimization=compile"], ("optimization.compile", "nearest: none")),
    (["activations=true", "model=cogvideox-5b-i2v", "resolution=native"], ("prompt.image",)),
]  # fmt: skip


@pytest.mark.parametrize(("words", "named"), REFUSED, ids=[" ".join(words) for words, _ in REFUSED])
def test_is_refused_with_a_helpful_line(
    words: list[str], named: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        main(["inspect", "model=nano", *words] if "model=" not in " ".join(words) else ["inspect", *words])
        == 2
    )
    out, err = capsys.readouterr()
    assert out == ""
    assert 1 <= len(err.strip().splitlines()) <= 2, err
    for text in named:
        assert text in err


def test_a_refusal_loads_nothing_heavy_and_names_a_missing_extra() -> None:
    script = (
        "import sys, cogexp.cli.inspect_layers as layers; from cogexp.__main__ import main\n"
        "layers.find_spec = lambda name: None if name == 'sklearn' else True\n"
        "code = main(['inspect', 'model=nano', 'activations=true'])\n"
        "heavy = {'torch', 'diffusers', 'numpy', 'PIL', 'matplotlib', 'sklearn'} & set(sys.modules)\n"
        "print(code, sorted(heavy))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "2 []"
    assert done.stderr.strip() == (
        "cogexp: activations=true needs scikit-learn, not installed here; pip install 'cogexp[inspect]'"
    )


def test_a_failure_is_one_line_and_exit_code_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from cogexp.engine import generate

    def fails(*_: Any) -> None:
        raise RuntimeError("CUDA out of memory.\nTried to allocate 3 GiB")

    monkeypatch.setattr(generate, "denoise", fails)
    assert main(["inspect", *SIZE, "activations=true", f"outputs={tmp_path}"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.strip().splitlines()[-1] == "inspect failed: CUDA out of memory. Tried to allocate 3 GiB"
    assert not (tmp_path / "inspect").exists()
