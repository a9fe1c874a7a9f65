"""One run from the command line to its folder: the contract, reuse, repeatability."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cogexp import RunSpec, build, run
from cogexp.video import probe, read
from tests.e2e.conftest import SMALL, Bench

RECORD_KEYS = {
    "run_id", "status", "error", "spec", "resolved", "scores", "skipped", "artifacts", "stages", "files",
    "device", "versions", "git", "started", "finished",
}  # fmt: skip
STAGE_KEYS = {"seconds", "cached", "peak_allocated_gib", "peak_reserved_gib", "rss_gib"}


def test_a_run_leaves_what_the_plan_promises(bench: Bench) -> None:
    assert bench.run("upscaler=lanczos", "upscaler.scale=2") == 0
    record = bench.one()
    folder = bench.folder(record)
    plain = json.loads((folder / "record.json").read_text("utf-8"))
    assert set(plain) >= RECORD_KEYS
    assert plain["status"] == "ok"
    assert plain["error"] is None
    assert set(plain["stages"]) == {"load", "encode", "denoise", "decode", "upscale", "measure", "write"}
    assert all(set(stage) >= STAGE_KEYS for stage in plain["stages"].values())
    # Detectors may add their own picture: an untrained denoiser's clip is noise.
    assert plain["files"].items() >= {
        "native": "native.mp4", "upscaled": "upscaled.mp4", "contact_sheet": "contact_sheet.png"
    }.items()  # fmt: skip
    native, upscaled = probe(folder / "native.mp4"), probe(folder / "upscaled.mp4")
    assert (native.width, native.height, native.frames) == (64, 64, 9)
    assert (upscaled.width, upscaled.height, upscaled.frames) == (128, 128, 9)
    assert {"native/warp_error", "upscaled/warp_error", "native/motion_px"} <= set(plain["scores"])
    assert plain["artifacts"]["native"].keys() >= {
        "level",
        "kind",
        "score",
        "rows",
        "frames",
        "cause",
        "detectors",
    }
    assert Image.open(folder / "contact_sheet.png").size[0] > 500
    assert (folder / "config.yaml").is_file()
    assert (folder / "log.txt").is_file()


def test_skipped_metrics_carry_their_reason_and_remedy(bench: Bench) -> None:
    # The embedded model's own CLIP is in the package; a public one must be fetched.
    assert bench.run("metrics=default", "metrics.clip_model=openai/clip-vit-base-patch32") == 0
    record = bench.one()
    assert record.scores["native/clip_score"] is None
    assert "cogexp fetch" in record.skipped["native/clip_score"]
    assert record.scores["native/lpips_adjacent"] is None
    assert record.scores["native/temporal_flickering"] is not None


def test_the_second_call_is_done_at_once_without_torch(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench.run() == 0
    before = (bench.folder(bench.one()) / "record.json").stat().st_mtime_ns
    script = (
        "import sys; from cogexp.__main__ import main\n"
        f"code = main({[*SMALL, f'outputs={bench.outputs}']!r})\n"
        "print(code, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == "0 False"
    assert "found finished" in done.stdout
    assert (bench.folder(bench.one()) / "record.json").stat().st_mtime_ns == before


def test_force_repeats_it_and_uses_the_store(bench: Bench) -> None:
    assert bench.run() == 0
    first = bench.one()
    assert not first.stages["denoise"]["cached"]
    assert bench.run("force=true") == 0
    second = bench.one()
    assert second.stages["denoise"]["cached"]
    assert second.stages["denoise"]["seconds"] == first.stages["denoise"]["seconds"]
    assert second.scores == first.scores


def frames_of(bench: Bench) -> np.ndarray:
    return read(bench.folder(bench.one()) / "native.mp4").frames


def test_the_same_seed_gives_the_same_frames_in_every_process(new_bench: Callable[[str], Bench]) -> None:
    here, again, elsewhere = (new_bench(name) for name in ("here", "again", "elsewhere"))
    assert here.run() == 0
    assert again.run() == 0
    words = [*SMALL, f"outputs={elsewhere.outputs}"]
    subprocess.run([sys.executable, "-m", "cogexp", *words], check=True, capture_output=True)
    np.testing.assert_array_equal(frames_of(here), frames_of(again))
    np.testing.assert_array_equal(frames_of(here), frames_of(elsewhere))
    other = new_bench("other")
    assert other.run("seed=1") == 0
    assert not np.array_equal(frames_of(here), frames_of(other))


def test_a_runs_own_config_runs_again_as_the_same_run(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "two wolves, ${a} 'quoted' 늑대"
    assert bench.run(f"prompt.text={text}", "upscaler=bicubic") == 0
    record = bench.one()
    assert record.spec["prompt"]["text"] == text
    from cogexp.__main__ import main

    again = ["--config-path", str(bench.folder(record)), f"outputs={bench.outputs}", "tracking=off"]
    assert main(again) == 0
    assert "found finished" in capsys.readouterr().out
    assert main([*again, "upscaler=none"]) == 0
    assert {r.spec["upscaler"]["name"] for r in bench.records()} == {"bicubic", "none"}


def test_the_library_face(tmp_path: Path) -> None:
    spec = build(
        {
            "model": {"name": "nano"},
            "device": "cpu",
            "resolution": {"width": 64, "height": 64},
            "sampler": {"steps": 1},
            "prompt": {"text": "two wolves"},
            "metrics": {"names": "none"},
        }
    ).spec
    assert isinstance(spec, RunSpec)
    record = run(spec, tmp_path, device="cpu")
    assert record.status == "ok"
    assert record.scores == {}
    assert run(spec, tmp_path, device="cpu").finished == record.finished


def test_keys_and_tokens_reach_no_file(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "c0ffee" * 6 + "abcd")
    monkeypatch.setenv("HF_TOKEN", "hf_" + "secretsecret" * 3)
    assert bench.run("tracking=offline") == 0
    for file in bench.outputs.rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            assert b"c0ffeec0ffee" not in content, file
            assert b"secretsecret" not in content, file


@pytest.mark.slow
def test_the_users_command(bench: Bench) -> None:
    """`resolution=512x288 upscaler=esrgan`, as the README has it."""
    assert bench.run("resolution=512x288", "upscaler=esrgan", "tracking=offline", small=False) == 0
    folder = bench.folder(bench.one())
    assert (probe(folder / "upscaled.mp4").width, probe(folder / "upscaled.mp4").frames) == (2048, 9)


def test_a_torn_clip_gets_its_picture(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A drifting texture whose rows from 150 on are shifted: found, with the row, and drawn."""
    import cv2

    from cogexp.engine import generate

    noise = np.random.default_rng(0).integers(0, 255, (240, 400, 3), np.uint8)
    texture = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 3), None, 0, 255, cv2.NORM_MINMAX)
    clip = np.stack([texture[:, 2 * i : 2 * i + 320] for i in range(9)])
    clip[:, 150:] = np.roll(clip[:, 150:], 11, axis=2)
    monkeypatch.setattr(generate, "decode", lambda *arguments: iter([clip]))
    assert bench.run("resolution=320x240") == 0
    record = bench.one()
    found = record.artifacts["native"]
    assert found["level"] == "certain"
    assert found["kind"] == "shear"
    assert abs(found["rows"][0] - 150) <= 2
    assert record.files["tear"] == "tear.png"
    assert Image.open(bench.folder(record) / "tear.png").size[0] > 600
