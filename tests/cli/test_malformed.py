"""Malformed requests: exit code 2, one or two helpful lines, no traceback, and nothing heavy was loaded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cogexp.__main__ import main

# (words, what the message must name)
REQUESTS: list[tuple[list[str], tuple[str, ...]]] = [
    # typos in groups, choices and keys
    (["upscalr=esrgan"], ("upscalr", "upscaler")),
    (["upscaler=esrgn"], ("esrgn", "nearest: esrgan")),
    (["model=cogvideox5b"], ("cogvideox5b", "cogvideox-5b")),
    (["sampler=ddmi"], ("ddmi", "nearest: ddim")),
    (["prompt=wolfs"], ("wolfs", "nearest: wolves")),
    (["optimization=lowvram"], ("lowvram", "nearest: low-vram")),
    (["metrics=defaults"], ("defaults", "nearest: default")),
    (["tracking=on"], ("tracking", "on")),
    (["resolution.widht=640"], ("resolution.widht", "nearest: resolution.width")),
    (["sampler.step=10"], ("sampler.step", "nearest: sampler.steps")),
    (["sede=3"], ("sede", "nearest: seed")),
    (["+foo=1"], ("foo", "not a key")),
    (["+sampler.foo=1"], ("sampler.foo", "not a key")),
    (["metrics.names=[clip_scor]"], ("clip_scor", "nearest: clip_score")),
    (["mesure", "a.mp4"], ("mesure", "nearest: measure")),
    (["--multi"], ("--multi", "--help")),
    # sizes
    (["resolution=720"], ("resolution", "720", "nearest: 720x480")),
    (["resolution=500x288"], ("resolution.width", "divisible by 16", "500", "496 or 512")),
    (["resolution=512x290"], ("resolution.height", "290", "288 or 304")),
    (["resolution=16x16"], ("resolution.width", "64")),
    (["resolution=99999x288"], ("resolution.width", "4096")),
    (["resolution=512x"], ("resolution", "512x")),
    (["model=cogvideox-5b", "resolution.frames=12"], ("resolution.frames", "8k+1", "12", "9 or 17")),
    (["model=cogvideox-1.5-5b", "resolution.frames=25"], ("16k+1", "25", "17 or 33")),
    (["model=cogvideox-1.5-5b", "resolution=1360x784"], ("1360x768", "1360x784")),
    (["model=cogvideox-1.5-5b", "resolution=1376x768"], ("1360x768", "1376x768")),
    # types, nulls, numbers
    (["upscaler=null"], ("upscaler", "null")),
    (["sampler.steps=ten"], ("sampler.steps", "'ten'")),
    (["sampler.steps=2.5"], ("sampler.steps", "2.5", "nearest: 2")),
    (["sampler.steps=0"], ("sampler.steps", "from 1", "nearest: 1")),
    (["sampler.guidance=nan"], ("sampler.guidance", "nan")),
    (["sampler.guidance=0.5"], ("sampler.guidance", "nearest: 1")),
    (["seed=-1"], ("seed", "-1", "nearest: 0")),
    (["seed=null"], ("seed", "null")),
    (["seed=true"], ("seed", "true")),
    (["optimization.vae_tiling=yes"], ("optimization.vae_tiling", "'yes'", "nearest: true")),
    (["resolution=[512x288,384x224"], ("resolution", "key=value")),
    (["prompt.text="], ("prompt.text", "not be empty")),
    (["resolution=512x288,384x224"], ("resolution", "-m")),
    (["device=gpu"], ("device", "gpu", "cuda")),
    # files and impossible combinations
    (["upscaler=spandrel"], ("upscaler.weights", ".pth")),
    (["upscaler=spandrel", "upscaler.weights=none.pth"], ("upscaler.weights", "none.pth")),
    (["upscaler=spandrel", "upscaler.weights=net.ckpt"], ("upscaler.weights", "net.ckpt")),
    (["upscaler=esrgan", "upscaler.scale=3"], ("upscaler.scale", "2 or 4", "3")),
    (["upscaler=esrgan", "upscaler.blend=2"], ("upscaler.blend", "nearest: 1")),
    (["upscaler=lanczos", "upscaler.weights=net.pth"], ("upscaler.weights", "spandrel")),
    (["model=cogvideox-5b-i2v", "resolution=720x480"], ("prompt.image", "cogvideox-5b-i2v")),
    (["model=nano", "prompt.image=wolf.png"], ("prompt.image", "image-to-video")),
    (["model=cogvideox-5b", "model.path=/nowhere"], ("model.path", "/nowhere")),
    (["model=nano", "model.path=/tmp"], ("model.path", "embedded")),
    (["--config-path", "/nowhere"], ("--config-path", "/nowhere")),
    (["measure"], ("measure", "file")),
    (["measure", "no-such.mp4"], ("no-such.mp4",)),
]


@pytest.mark.parametrize(("words", "named"), REQUESTS, ids=[" ".join(words) for words, _ in REQUESTS])
def test_is_refused_with_a_helpful_line(
    words: list[str], named: tuple[str, ...], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    outputs = tmp_path / "outputs"
    asked = words if words[0] in ("measure", "mesure") else [*words, f"outputs={outputs}", "tracking=off"]
    if words[0].startswith("tracking"):
        asked = [*words, f"outputs={outputs}"]
    code = main(asked)
    out, err = capsys.readouterr()
    assert code == 2
    assert out == ""
    assert 1 <= len(err.strip().splitlines()) <= 2, err
    assert "Traceback" not in err
    for text in named:
        assert text in err
    assert not outputs.exists()


def test_one_wrong_job_of_a_sweep_stops_it_before_anything_runs(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = ["-m", "resolution=512x288,500x288", f"outputs={tmp_path / 'outputs'}", "tracking=off"]
    assert main(words) == 2
    assert "500" in capsys.readouterr().err
    assert not (tmp_path / "outputs").exists()


def test_a_refusal_loads_nothing_heavy() -> None:
    script = (
        "import sys; from cogexp.__main__ import main\n"
        "code = main(['model=cogvideox-5b', 'resolution=500x288'])\n"
        "heavy = {'torch', 'diffusers', 'transformers', 'wandb', 'numpy', 'cv2'} & set(sys.modules)\n"
        "print(code, sorted(heavy))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "2 []"
