"""Composition: every YAML builds, any size works, free text stays text, help is quick."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from cogexp.__main__ import main
from cogexp.build import build
from cogexp.cli.compose import compose_jobs
from cogexp.cli.paths import conf_dir
from cogexp.cli.words import parse_words, quote_text
from cogexp.spec import RunSpec

CONF = conf_dir()
FILES = sorted(path.relative_to(CONF) for path in CONF.glob("*/*.yaml"))
# What a choice needs beside it to make a complete request.
COMPANIONS = {
    "model/cogvideox-5b-i2v": ["resolution=native", "prompt.image={image}"],
    "model/cogvideox-1.5-5b-i2v": ["prompt.image={image}"],
    "upscaler/spandrel": ["upscaler.weights={weights}"],
    "optimization/cudnn": ["device=cuda", "model.dtype=bfloat16"],
    "optimization/tuned": ["device=cuda", "model.dtype=bfloat16"],
    "optimization/tuned-fp8": ["device=cuda", "model.dtype=bfloat16"],
}


def spec_of(*words: str) -> RunSpec:
    where = [] if any(word.startswith("device=") for word in words) else ["device=cpu"]
    (job,) = compose_jobs(parse_words([*where, *words]))
    return build(job).spec


@pytest.mark.parametrize("file", FILES, ids=str)
def test_every_yaml_composes_builds_and_explains_itself(file: Path, tmp_path: Path) -> None:
    files = {"image": tmp_path / "first.png", "weights": tmp_path / "net.safetensors"}
    files["weights"].write_bytes(b"x")
    Image.new("RGB", (6, 4)).save(files["image"])
    choice = str(file.with_suffix(""))
    words = [word.format(**files) for word in COMPANIONS.get(choice, [])]
    spec = spec_of(choice.replace("/", "="), *words)
    assert spec.run_id
    text = (CONF / file).read_text(encoding="utf-8")
    assert text.startswith("# "), "the first line says what it is for"
    assert len(text.splitlines()) <= 20


def test_the_groups_named_in_the_plan_are_there() -> None:
    names = {group: {path.stem for path in (CONF / group).glob("*.yaml")} for group in ("model", "upscaler")}
    assert names["upscaler"] == {
        "none", "bicubic", "lanczos", "esrgan", "esrgan-photo", "esrgan-anime", "spandrel"
    }  # fmt: skip
    assert {"auto", "nano", "cogvideox-2b", "cogvideox-5b", "cogvideox-1.5-5b"} <= names["model"]
    assert len(list((CONF / "prompt").glob("*.yaml"))) == 9


@pytest.mark.parametrize("size", ["640x384", "640x352", "1024x576", "64x64"])
def test_any_size_needs_no_file(size: str) -> None:
    assert spec_of("model=nano", f"resolution={size}").resolution.name == size


def test_the_name_follows_the_numbers() -> None:
    assert spec_of("resolution=512x288", "resolution.width=640").resolution.name == "640x288"


@pytest.mark.parametrize(
    "text",
    [
        "two wolves, a Disney-like sense of space",
        "it's \"quoted\", isn't it",
        "두 마리 늑대, 디즈니 같은 공간감",
        "${oc.env:HOME} and $HOME",
        "ends with a backslash\\",
        "a\\'b",
        "[not, a list] {not: a dict}",
        "2024",
        "null and void",
        "<script>alert(1)</script>",
    ],
)
def test_free_text_stays_text(text: str) -> None:
    assert spec_of(f"prompt.text={text}").prompt.text == text


def test_text_that_the_user_quoted_is_left_alone() -> None:
    assert quote_text("prompt.text='a, b'") == "prompt.text='a, b'"
    assert quote_text("sampler.steps=3") == "sampler.steps=3"
    assert spec_of("prompt.text='a, b'").prompt.text == "a, b"


def test_a_sweep_is_the_product_of_its_axes() -> None:
    words = ["-m", "resolution=512x288,640x352", "upscaler=none,lanczos,esrgan", "seed=range(0,2)"]
    jobs = [build(job).spec for job in compose_jobs(parse_words(["device=cpu", *words]))]
    assert len({job.run_id for job in jobs}) == 12
    assert {job.resolution.name for job in jobs} == {"512x288", "640x352"}


def test_a_prompt_with_commas_is_one_prompt_in_a_sweep_too() -> None:
    jobs = compose_jobs(parse_words(["-m", "prompt.text=snow, wolves", "seed=0,1"]))
    assert [job["prompt"]["text"] for job in jobs] == ["snow, wolves"] * 2


def run_python(script: str) -> str:
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return done.stdout.strip().splitlines()[-1]


@pytest.mark.parametrize("words", [["--help"], ["measure", "--help"], ["--version"], ["--cfg", "job"]])
def test_describing_commands_import_nothing_heavy(words: list[str]) -> None:
    """What makes them quick: --help and --version need not even Hydra."""
    script = (
        "import sys; from cogexp.__main__ import main\n"
        f"code = main({words})\n"
        "known = {'torch', 'diffusers', 'transformers', 'wandb', 'numpy', 'cv2', 'av', 'PIL'}\n"
        "heavy = known & set(sys.modules)\n"
        "hydra = 'hydra' in sys.modules\n"
        "print(code, sorted(heavy), hydra)"
    )
    assert run_python(script) == f"0 [] {words == ['--cfg', 'job']}"


def test_an_encoding_without_the_prompts_letters_is_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
    monkeypatch.setattr(sys, "stdout", shown)
    assert main(["--cfg", "job", "prompt.text=Wölfe 늑대"]) == 0
    shown.flush()
    assert "Wölfe \\ub291\\ub300" in shown.buffer.getvalue().decode("cp1252")  # type: ignore[attr-defined]


def test_cfg_job_prints_what_would_run(capfd: pytest.CaptureFixture[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cogexp", "--cfg", "job", "resolution=640x384"], capture_output=True, text=True
    )
    assert done.returncode == 0
    assert "width: 640" in done.stdout
    assert "Traceback" not in done.stderr
