"""`python -m cogexp bench`: it says what was measured, finds it again, and failures are data."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from cogexp import bench as benches
from cogexp.__main__ import main
from cogexp.bench import Bench, bench
from cogexp.cli import bench as command
from cogexp.engine import generate
from cogexp.engine.models import MODELS
from cogexp.spec import SpecError
from cogexp.system import host_memory
from tests.engine.flags import spec_with
from tests.system.machines import make_machine

WORDS = ["bench", "model=nano", "device=cpu", "resolution=64x64", "sampler.steps=6", "timed=1"]


@pytest.fixture(autouse=True)
def _nothing_held() -> Iterator[None]:
    yield
    MODELS.free()


def test_settings_become_rows_with_what_took_hold(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [*WORDS, f"outputs={tmp_path}", "optimization=none,pab,split-cfg"]
    assert main([*words, "--json"]) == 0
    plain, cached, split = json.loads(capsys.readouterr().out)
    # One cold step and one timed; a step cache takes the whole schedule.
    assert [len(one["step_seconds"]) for one in (plain, cached, split)] == [2, 6, 2]
    for one in (plain, cached, split):
        assert one["status"] == "ok"
        assert 0 < one["step"] < one["clip_seconds"]
        assert one["encode_seconds"] > 0
        assert one["decode_seconds"] > 0
        assert set(one["memory"]) == {"encode", "denoise", "decode"}
        assert one["peak_gib"] == max(one["memory"].values()) > 0
        assert one["planned"].keys() == {"host"}
        assert one["plan_error"] == pytest.approx(one["planned"]["host"] / one["peak_gib"] - 1)
        folder = tmp_path / "bench" / one["bench_id"]
        assert json.loads((folder / "bench.json").read_text("utf-8")) == one
    assert plain["step"] == pytest.approx(plain["step_seconds"][1])
    assert cached["step"] == pytest.approx(sum(cached["step_seconds"][1:]) / 5)
    assert "attention layers" in cached["resolved"]["optimization.cache"]
    assert "two passes" in split["resolved"]["optimization.split_cfg"]
    assert MODELS.held() == ()

    assert main(words) == 0  # found, not measured again
    said = capsys.readouterr().out
    assert "cache=pab" in said
    assert f"{cached['step']:.3f}" in said
    assert "x86" in said or "(CPU)" in said


def test_a_finished_measurement_is_found_and_force_repeats_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[str] = []
    monkeypatch.setattr(benches._Run, "measure", lambda self: counted.append(self.device))
    spec = spec_with()
    first = bench(spec, tmp_path, device="cpu")
    assert bench(spec, tmp_path, device="cpu") == first
    assert counted == ["cpu"]
    bench(spec, tmp_path, device="cpu", force=True)
    bench(spec, tmp_path, device="cpu", timed=5)
    bench(spec_with({"split_cfg": True}), tmp_path, device="cpu")
    assert len(counted) == 4
    # Prompt and seed cost nothing: the same measurement.
    assert (
        bench(spec_with(seed=7, prompt={"text": "a fox"}), tmp_path, device="cpu").bench_id == first.bench_id
    )


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"), "oom", 0),
        (RuntimeError("something broke"), "failed", 1),
    ],
)
def test_what_ends_badly_is_recorded_and_the_others_go_on(
    error: Exception,
    status: str,
    code: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    original: Callable[..., Any] = generate.denoise

    def denoise(spec: Any, *arguments: Any) -> Any:
        if spec.optimization.split_cfg:
            raise error
        return original(spec, *arguments)

    monkeypatch.setattr(generate, "denoise", denoise)
    words = [*WORDS, f"outputs={tmp_path}", "optimization=split-cfg,none"]
    assert main([*words, "--json"]) == code
    broken, fine = json.loads(capsys.readouterr().out)
    assert (broken["status"], fine["status"]) == (status, "ok")
    assert broken["error"]["stage"] == "denoise"
    assert broken["encode_seconds"] > 0
    assert broken["decode_seconds"] is broken["step"] is broken["clip_seconds"] is None
    assert main(words) == code
    shown = capsys.readouterr().out
    assert f"{status} at denoise: {error}" in shown
    # Too little memory is an answer; another failure is tried again.
    kept = benches.read(tmp_path / "bench" / broken["bench_id"])
    assert (kept is None) == (status == "failed")


def test_step_is_the_median_of_warm_steps_and_a_clip_is_all_of_them() -> None:
    spec = spec_with(sampler={"steps": 50}).to_dict()
    made = Bench(
        bench_id="b", status="ok", spec=spec, steps=4, step_seconds=[9.0, 1.0, 2.0, 1.1],
        encode_seconds=0.5, decode_seconds=4.0, memory={"encode": 1.0, "decode": 3.0},
    )  # fmt: skip
    assert made.step == 1.1
    assert made.clip_seconds == pytest.approx(0.5 + 50 * 1.1 + 4)
    assert made.peak == 3.0


def test_a_full_size_model_is_refused_where_main_memory_cannot_hold_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_machine(tmp_path / "root", total_gib=16, available_gib=14)
    monkeypatch.setattr(host_memory, "ROOT", root)
    words = ["model=cogvideox-5b", "device=cpu", f"outputs={tmp_path}"]
    with pytest.raises(
        SpecError, match=r"cogvideox-5b at \S+ needs \S+ GiB of main memory on a CPU, got 14.0 GiB available"
    ):
        command.command(words)


def test_public_models_get_random_weights_unless_they_are_asked_for() -> None:
    assert "model.weights=random" in command.parse(["model=cogvideox-5b"]).overrides
    assert "model.weights=random" in command.parse(["-m", "model=nano,cogvideox-2b"]).overrides
    for words in (["model=nano"], [], ["model=cogvideox-5b", "model.weights=pretrained"], ["model=auto"]):
        assert "model.weights=random" not in command.parse(words).overrides


@pytest.mark.parametrize("value", ["0", "-1", "many", "1001", ""])
def test_timed_is_a_number_of_steps(value: str) -> None:
    with pytest.raises(SpecError, match="timed must be a number of steps from 1 to 1000"):
        command.split_own([f"timed={value}"])


def test_own_words() -> None:
    own, rest = command.split_own(["model=nano", "--markdown", "timed=2", "limit=60", "seed=1"])
    assert (own.format, own.timed, own.limit_seconds, own.kept) == ("--markdown", 2, 60, None)
    assert rest == ["model=nano", "seed=1"]
    with pytest.raises(SpecError, match="limit must be seconds from 1 to"):
        command.split_own(["limit=soon"])
    with pytest.raises(SpecError, match="one format"):
        command.split_own(["--json", "--markdown"])
    with pytest.raises(SpecError, match="from must be a folder"):
        command.split_own(["from="])


def test_what_was_measured_elsewhere_becomes_markdown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = spec_with({"lean_vae": False})
    made = {
        "status": "ok", "steps": 2, "encode_seconds": 0.5, "memory": {"decode": 20.0}, "plan_error": 0.031,
        "reserved": {"decode": 24.0}, "planned": {"decode": 20.6}, "device": {"gpu": "H100"},
        "versions": {"torch": "2.11.0"},
    }  # fmt: skip
    plain = Bench(
        bench_id="a", spec=spec.to_dict(), step_seconds=[9.0, 1.0], decode_seconds=1.5, started="1", **made
    )
    split = spec_with({"split_cfg": True, "lean_vae": False}).to_dict()
    other = Bench(bench_id="b", spec=split, step_seconds=[9.0, 0.5], decode_seconds=2.0, started="2", **made)
    for one in (other, plain):
        benches.write(one, tmp_path / "bench" / one.bench_id)
    assert main(["bench", f"from={tmp_path}", "--markdown"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "H100, torch 2.11.0" in lines[0]
    assert lines[4].startswith("| `split_cfg=true` | 0.500 | 0.50 | 0.50 | 2.00 |")
    assert lines[4].endswith("| 20.00 | 24.00 | 20.60 | +3% |")
    assert lines[5].startswith("| `none` | 1.000 | 1.00 |")
    assert main(["bench", f"from={tmp_path}", "model=nano"]) == 2
    assert main(["bench", f"from={tmp_path / 'empty'}"]) == 2


def test_after_the_limit_no_setting_is_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = iter([0.0, 0.0, 700.0, 700.0])
    monkeypatch.setattr(command, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    words = [*WORDS, f"outputs={tmp_path}", "optimization=none,split-cfg", "limit=600", "--json"]
    assert main(words) == 0
    captured = capsys.readouterr()
    assert len(json.loads(captured.out)) == 1
    assert "1 settings are not measured" in captured.err
    assert "split_cfg=true" in captured.err


def test_on_a_gpu_kernels_are_warm_before_a_stage_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("synchronize", "empty_cache"):
        monkeypatch.setattr(torch.cuda, name, lambda *_: None)
    decoded: list[int] = []
    original = generate.decode

    def decode(spec: Any, latents: Any, device: str) -> Iterator[Any]:
        decoded.append(spec.resolution.frames)
        return original(spec, latents, device)

    monkeypatch.setattr(generate, "decode", decode)
    spec = spec_with()
    run = benches._Run(spec, device="cpu", steps=2, progress=benches.Silent())
    run.on_gpu = True
    assert run.measure() is None
    frames = spec.resolution.frames
    assert decoded == [min(17, frames), frames]
    assert set(run.spent) == {"load", "encode", "denoise", "decode"}
    assert len(run.step_seconds) == 2


@pytest.mark.gpu
@pytest.mark.parametrize("optimization", [
    "none", "text-offload", "model-offload", "group-block", "group-offload", "fp8-cast", "lean-vae",
    "split-cfg",
])  # fmt: skip
def test_the_plan_is_within_5_percent_on_a_gpu(
    optimization: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """5b at 512x288 with random weights: what max_memory_allocated says against the plan."""
    words = ["bench", "model=cogvideox-5b", "resolution=512x288", f"optimization={optimization}", "--json"]
    assert main([*words, "timed=1", f"outputs={tmp_path}"]) == 0
    (one,) = json.loads(capsys.readouterr().out)
    if one["status"] == "oom":
        pytest.skip("the card is too small")
    assert abs(one["plan_error"]) < 0.05
