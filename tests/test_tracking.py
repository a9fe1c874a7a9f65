"""Tracking: what W&B is told, that it never asks or waits, and that its faults do not hurt."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import socket
import subprocess
import sys
import threading
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from cogexp.record import Record, read, write
from cogexp.spec import ModelSpec, PromptSpec, ResolutionSpec, RunSpec, SamplerSpec, UpscalerSpec
from cogexp.tracking import NullTracker, WandbTracker, make_tracker, payload
from cogexp.tracking.online import is_reachable, prepare_environment, why_offline, why_unreachable
from tests.system.hub_server import serving
from tests.waiting import PATIENCE

ROOT = Path(__file__).parents[1]
POSIX = pytest.mark.skipif(os.name == "nt", reason="needs a pseudo-terminal")


def example_spec(seed: int = 0) -> RunSpec:
    return RunSpec(
        model=ModelSpec(name="nano"),
        resolution=ResolutionSpec(width=512, height=288, frames=9, fps=8),
        sampler=SamplerSpec(scheduler="ddim", steps=20, guidance=6.0),
        upscaler=UpscalerSpec(name="esrgan", scale=4, blend=0.5),
        prompt=PromptSpec(name="two-wolves", text="two wolves, 늑대"),
        seed=seed,
    )


def example_record(folder: Path, status: str = "ok", seed: int = 0) -> Record:
    """A realistic record with its files in `folder`."""
    spec, ok = example_spec(seed), status == "ok"
    files = {
        "native": "native.mp4",
        "upscaled": "upscaled.mp4",
        "contact_sheet": "sheet.png",
        "tear": "tear.png",
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name in files.values() if ok else ():
        _draw(folder / name)
    record = Record(
        run_id=spec.run_id,
        status=status,
        error=None if ok else {"type": "OutOfMemoryError", "message": "20 GiB wanted", "stage": "decode"},
        spec=spec.to_dict(),
        resolved={"sampler.scheduler": "ddim: the authors' choice"},
        scores={"native/clip_score": 27.125, "upscaled/clip_score": 27.5, "native/lpips_adjacent": None}
        if ok
        else {},
        skipped={"native/lpips_adjacent": "no AlexNet; run: cogexp fetch"} if ok else {},
        artifacts={"native": {"level": "suspect", "kind": "shear", "score": 0.75, "rows": [240, 287]}}
        if ok
        else {},
        stages={
            "denoise": {"seconds": 12.5, "cached": True, "peak_allocated_gib": 1.5, "rss_gib": 2.25},
            "decode": {
                "seconds": 3.25,
                "cached": False,
                "peak_allocated_gib": 3.5,
                "peak_reserved_gib": None,
            },
        },
        files=files if ok else {},
        device={"type": "cpu", "ram_gib": 23.5},
        versions={"cogexp": "0.1.0"},
        git={"commit": "0" * 40, "dirty": False},
        started="2026-11-23T00:00:00.000+00:00",
        finished="2026-11-23T00:01:00.000+00:00",
        study="upscalers",
        per_frame={"native/clip_score": [27.0, None, 27.25], "native/warp_error": [0.5, 0.25]} if ok else {},
    )
    write(record, folder)
    return record


def _draw(path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 255, (4, 64, 96, 3), np.uint8)
    if path.suffix == ".png":
        Image.fromarray(frames[0]).save(path)
        return
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=Fraction(8))
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for frame in frames:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        file.mux(stream.encode())


def start(tracker: Any, spec: RunSpec) -> None:
    tags = [spec.model.name, spec.upscaler.name]
    tracker.start(spec.run_id, spec.to_dict(), study="upscalers", name=spec.run_id, tags=tags)


def environment(home: Path, **more: str) -> dict[str, str]:
    """The environment of somebody with an empty home who never used W&B, plus `more`."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("WANDB_", "NETRC"))}
    places = {"HOME": str(home), "USERPROFILE": str(home), "XDG_CONFIG_HOME": str(home / "config")}
    return {**kept, **places, "NO_PROXY": "127.0.0.1", "PYTHONPATH": str(ROOT), **more}


# ---------------------------------------------------------------- what W&B is told, without W&B


def test_the_config_is_flat_scalars_and_the_nested_spec() -> None:
    config = payload.config(example_spec().to_dict())
    expected = {
        "model": "nano", "resolution": "512x288", "width": 512, "height": 288, "frames": 9, "fps": 8,
        "scheduler": "ddim", "steps": 20, "guidance": 6.0, "upscaler": "esrgan", "scale": 4, "blend": 0.5,
        "prompt": "two-wolves", "prompt_text": "two wolves, 늑대", "seed": 0,
        "offload": "none", "vae_tiling": False,
    }  # fmt: skip
    assert {key: config[key] for key in expected} == expected
    assert config["spec"] == example_spec().to_dict()
    scalars = {key: value for key, value in config.items() if key != "spec"}
    assert all(value is None or isinstance(value, (str, int, float, bool)) for value in scalars.values())


def test_no_secret_reaches_the_config(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "quite-secret-value")
    spec = {"model": {"name": "nano", "source": "https://me:quite-secret-value@hub/x"}, "seed": 0}
    assert "quite-secret-value" not in json.dumps(payload.config(spec))


def test_what_has_no_value_is_not_a_zero(tmp_path: Path) -> None:
    numbers = payload.numbers(example_record(tmp_path))
    assert "native/lpips_adjacent" not in numbers
    assert "stage/decode_peak_reserved_gib" not in numbers
    assert "cost/peak_reserved_gib" not in numbers
    assert numbers == {
        "native/clip_score": 27.125,
        "upscaled/clip_score": 27.5,
        "delivered/clip_score": 27.5,
        "native/artifact_score": 0.75,
        "stage/denoise_seconds": 12.5,
        "stage/denoise_cached": 1,
        "stage/denoise_peak_allocated_gib": 1.5,
        "stage/denoise_rss_gib": 2.25,
        "stage/decode_seconds": 3.25,
        "stage/decode_cached": 0,
        "stage/decode_peak_allocated_gib": 3.5,
        "cost/seconds": 15.75,
        "cost/peak_allocated_gib": 3.5,
        "cost/rss_gib": 2.25,
    }


def test_a_curve_has_a_row_a_frame_and_gaps_stay_gaps(tmp_path: Path) -> None:
    assert payload.curves(example_record(tmp_path)) == [
        {"frame": 0, "per_frame/native/clip_score": 27.0, "per_frame/native/warp_error": 0.5},
        {"frame": 1, "per_frame/native/warp_error": 0.25},
        {"frame": 2, "per_frame/native/clip_score": 27.25},
    ]


# ---------------------------------------------------------------- the choice of a tracker


def test_a_wrong_mode_is_refused_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"tracking must be one of .*, got 'ofline'; nearest: offline"):
        make_tracker("ofline", project="p", entity=None, folder=tmp_path, say=print)


@pytest.mark.parametrize(
    ("wish", "kind"), [("disabled", NullTracker), ("offline", WandbTracker), ("dryrun", WandbTracker)]
)
def test_auto_does_what_the_variable_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wish: str, kind: type
) -> None:
    monkeypatch.setenv("WANDB_MODE", wish)
    assert type(make_tracker("auto", project="p", entity=None, folder=tmp_path, say=print)) is kind


def test_an_unknown_variable_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "onlin")
    said: list[str] = []
    tracker = make_tracker("auto", project="p", entity=None, folder=tmp_path, say=said.append)
    assert isinstance(tracker, WandbTracker)
    assert len(said) == 1
    assert "WANDB_MODE=onlin" in said[0]


def test_off_imports_no_wandb_and_writes_nothing(tmp_path: Path) -> None:
    example_record(tmp_path / "run")
    before = sorted(tmp_path.rglob("*"))
    code = (
        "import sys; from pathlib import Path\n"
        "from cogexp.record import read; from cogexp.tracking import make_tracker\n"
        "folder = Path(sys.argv[1]); record = read(folder / 'run')\n"
        "tracker = make_tracker('off', project='p', entity=None, folder=folder, say=print)\n"
        "tracker.start('a', {}, study=None, name='a', tags=[]); tracker.progress('load', 1.0)\n"
        "print(tracker.finish(record, folder / 'run').mode)\n"
        "print([m for m in ('wandb', 'torch', 'numpy') if m in sys.modules])"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        env=environment(tmp_path / "home"),
        capture_output=True,
        text=True,
    )
    assert run.stdout.split("\n")[:2] == ["off", "[]"], run.stderr
    assert sorted(tmp_path.rglob("*")) == before


# ---------------------------------------------------------------- offline, read back


@functools.cache
def inspect(folder: Path, *options: str) -> list[dict[str, Any]]:
    """W&B's own reader on a run's folder."""
    run = subprocess.run(
        [sys.executable, "-m", "wandb", "leet", "inspect", *options, "--json", str(folder)],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [json.loads(run.stdout)] if options else [json.loads(line) for line in run.stdout.splitlines()]


def history(folder: Path) -> list[dict[str, Any]]:
    """What was logged, row by row, without W&B's own keys."""
    items = [entry["history"]["item"] for entry in inspect(folder) if entry["type"] == "history"]
    return [{key: value for key, value in item.items() if key[0] != "_"} for item in items]


def log_runs(folder: Path) -> dict[str, Any]:
    """Three runs in this process, two of them open at once; {name: Tracked} and what was said."""
    said: list[str] = []
    tracker = make_tracker("offline", project="cogexp", entity=None, folder=folder / "out", say=said.append)
    records = {
        "ok": example_record(folder / "ok"),
        "oom": example_record(folder / "oom", "oom", seed=1),
        "interrupted": example_record(folder / "interrupted", "interrupted", seed=2),
    }
    start(tracker, example_spec())
    tracker.progress("denoise", 12.5)
    start(tracker, example_spec(1))
    found: dict[str, Any] = {name: tracker.finish(records[name], folder / name) for name in ("ok", "oom")}
    start(tracker, example_spec(2))
    found["interrupted"] = tracker.finish(records["interrupted"], folder / "interrupted")
    return {**found, "said": said, "again": tracker.finish(records["ok"], folder / "ok")}


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder, patch = tmp_path_factory.mktemp("tracked"), pytest.MonkeyPatch()
    for name in ("DATA", "CACHE"):
        patch.delenv(f"WANDB_{name}_DIR", raising=False)
    patch.setenv("WANDB_ERROR_REPORTING", "false")
    patch.setenv("HOME", str(folder / "home"))
    yield {**log_runs(folder), "home": folder / "home", "out": folder / "out"}
    import wandb

    wandb.teardown()
    for name in ("DATA", "CACHE"):
        os.environ.pop(f"WANDB_{name}_DIR", None)
    patch.undo()


def test_offline_runs_end_without_a_problem_and_say_so_once(logged: dict[str, Any]) -> None:
    for name in ("ok", "oom", "interrupted"):
        assert (logged[name].mode, logged[name].problem, logged[name].url) == ("offline", None, None)
    assert len(logged["said"]) == 1, logged["said"]
    assert logged["said"][0].startswith("W&B: offline; `wandb sync ")
    assert "not opened" in logged["again"].problem, "a run that is closed cannot be closed again"


def test_everything_of_wandb_lies_in_the_output_tree(logged: dict[str, Any]) -> None:
    assert logged["out"] / "wandb" in logged["ok"].folder.parents
    assert not logged["home"].exists()


def test_a_run_is_read_back_whole(logged: dict[str, Any]) -> None:
    (run,) = inspect(logged["ok"].folder, "--summary")
    record = example_record(logged["out"] / "again")
    assert (run["run_id"], run["name"], run["project"]) == (record.run_id, record.run_id, "cogexp")
    assert (run["state"], run["exit_code"]) == ("finished", 0)
    assert run["tags"] == ["nano", "esrgan"]
    assert run["config"]["resolution"] == "512x288"
    assert (run["config"]["width"], run["config"]["steps"], run["config"]["model"]) == (512, 20, "nano")
    assert run["config"]["spec"] == record.spec
    assert run["config"]["resolved"] == record.resolved
    assert run["config"]["git"] == record.git
    summary = run["summary"]
    assert {key: summary[key] for key in payload.numbers(record)} == payload.numbers(record)
    assert summary["status"] == "ok"
    assert summary["skipped/native/lpips_adjacent"] == "no AlexNet; run: cogexp fetch"
    assert summary["native/artifact_level"] == "suspect"
    assert "native/lpips_adjacent" not in summary
    worst = {key: value for key, value in summary.items() if key.startswith("per_frame/")}
    assert worst == {
        "per_frame/native/clip_score": {"min": 27.0},
        "per_frame/native/warp_error": {"max": 0.5},
    }


def test_its_group_and_curves_are_there(logged: dict[str, Any]) -> None:
    entries = inspect(logged["ok"].folder)
    opened = next(entry["run"] for entry in entries if entry["type"] == "run")
    assert (opened["run_group"], opened["job_type"]) == ("upscalers", "run")
    metrics = [entry["metric"] for entry in entries if entry["type"] == "metric"]
    assert {"per_frame/*": "frame"}.items() <= {
        m.get("glob_name"): m.get("step_metric") for m in metrics
    }.items()
    first, *rows = history(logged["ok"].folder)
    assert rows == payload.curves(example_record(logged["out"] / "again"))
    assert first["native/clip_score"] == 27.125


def test_its_media_and_record_are_copied(logged: dict[str, Any]) -> None:
    (run,) = inspect(logged["ok"].folder, "--summary")
    shown = {k: v for k, v in run["summary"].items() if isinstance(v, dict) and "_type" in v}
    assert {key: (value["_type"], Path(value["path"]).suffix) for key, value in shown.items()} == {
        "video/native": ("video-file", ".mp4"),
        "video/upscaled": ("video-file", ".mp4"),
        "image/contact_sheet": ("image-file", ".png"),
        "image/tear": ("image-file", ".png"),
    }
    ours, theirs = logged["out"].parent / "ok", logged["ok"].folder / "files"
    record = read(ours)
    for key, value in shown.items():
        original = ours / record.files[key.partition("/")[2]]
        assert (theirs / value["path"]).read_bytes() == original.read_bytes()
    assert (theirs / "record.json").read_bytes() == (ours / "record.json").read_bytes()
    assert not (theirs / "record.json").is_symlink()


@pytest.mark.parametrize(("name", "exit_code"), [("oom", 1), ("interrupted", 255)])
def test_a_failed_run_is_marked(logged: dict[str, Any], name: str, exit_code: int) -> None:
    (run,) = inspect(logged[name].folder, "--summary")
    assert run["exit_code"] == exit_code
    assert run["state"] not in ("finished", "running")
    assert run["tags"] == ["nano", "esrgan", name]
    assert run["summary"]["status"] == name
    assert run["summary"]["error/message"] == "20 GiB wanted"
    assert run["summary"]["error/stage"] == "decode"


def test_a_lost_file_is_a_problem_and_the_rest_is_logged(logged: dict[str, Any], tmp_path: Path) -> None:
    said: list[str] = []
    tracker = make_tracker("offline", project="p", entity=None, folder=tmp_path / "out", say=said.append)
    record = example_record(tmp_path / "run")
    (tmp_path / "run" / "native.mp4").unlink()
    (tmp_path / "run" / "tear.png").write_bytes(b"\x89PNG half")
    start(tracker, example_spec())
    tracked = tracker.finish(record, tmp_path / "run")
    assert tracked.problem is not None
    assert "native.mp4 is not shown" in tracked.problem
    assert "tear.png is not shown" in tracked.problem
    assert len(said) == 2
    (run,) = inspect(tracked.folder, "--summary")
    assert (run["state"], run["summary"]["native/clip_score"]) == ("finished", 27.125)
    assert "video/upscaled" in run["summary"]


def test_a_folder_that_takes_no_files_stops_nothing(logged: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file where the folder should be")
    said: list[str] = []
    tracker = make_tracker("offline", project="p", entity=None, folder=tmp_path / "out", say=said.append)
    start(tracker, example_spec())
    assert [line[:16] for line in said] == ["W&B: not tracked"]
    assert tracker.finish(example_record(tmp_path / "run"), tmp_path / "run").problem


def test_a_hanging_service_is_left_behind(
    logged: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    tracker = make_tracker("offline", project="p", entity=None, folder=tmp_path / "out", say=said.append)
    start(tracker, example_spec())
    record, hangs = example_record(tmp_path / "run"), threading.Event()
    monkeypatch.setattr("cogexp.tracking.wandb_tracker.FINISH_SECONDS", 0.2)
    monkeypatch.setattr("cogexp.tracking.wandb_tracker.log_all", lambda *_: hangs.wait(PATIENCE) and [])
    tracked = tracker.finish(record, tmp_path / "run")
    hangs.set()  # not before: it was left while it hung
    assert tracked.problem == "no answer within 0.2 s"
    assert "`wandb sync " in said[-1]


def test_without_wandb_the_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    said: list[str] = []
    tracker = make_tracker("auto", project="p", entity=None, folder=tmp_path / "out", say=said.append)
    start(tracker, example_spec())
    tracker.progress("load", 1.0)
    assert tracker.finish(example_record(tmp_path / "run"), tmp_path / "run").mode == "off"
    assert len(said) == 1
    assert said[0].startswith("W&B: not tracked: ")
    assert "wandb" in said[0]


# ---------------------------------------------------------------- never asks, never waits long

SCRIPT = """
import sys, time
from pathlib import Path
from tests.test_tracking import example_record, example_spec, start
from cogexp.tracking import make_tracker, wandb_tracker
folder = Path(sys.argv[2])
record = example_record(folder / "run")
# A server gets 3 s (10 in earnest), W&B's service on this machine as long as it takes.
wandb_tracker.OPEN_SECONDS = wandb_tracker.FINISH_SECONDS = wandb_tracker.UPLOAD_SECONDS = 600.0
opens = wandb_tracker.WandbTracker._init
def init(self, wandb, mode, plan):
    wandb_tracker.INIT_SECONDS = 3.0 if mode == "online" else 600.0
    return opens(self, wandb, mode, plan)
wandb_tracker.WandbTracker._init = init
say = lambda line: print("SAID", line)
tracker = make_tracker(sys.argv[1], project="p", entity=None, folder=folder / "out", say=say)
began = time.monotonic()
start(tracker, example_spec())
tracked = tracker.finish(record, folder / "run")
print(f"TOOK {time.monotonic() - began:.1f}")
print("MODE", tracked.mode, tracked.problem)
"""


KILLED = """
import sys, psutil
from pathlib import Path
from tests.test_tracking import example_record, example_spec, start
from cogexp.tracking import make_tracker
def kill_service():
    (service,) = [child for child in psutil.Process().children() if child.name().startswith("wandb-core")]
    service.kill()
    service.wait()
folder = Path(sys.argv[2])
record = example_record(folder / "run")
say = lambda line: print("SAID", line)
tracker = make_tracker(sys.argv[1], project="p", entity=None, folder=folder / "out", say=say)
for when in ("during the first run", "after the second", "never"):
    start(tracker, example_spec())
    if when == "during the first run": kill_service()
    print("MODE", when, tracker.finish(record, folder / "run").problem)
    if when == "after the second": kill_service()
kill_service()  # while nobody asks it anything: the end of the process must not meet it
"""


def test_a_service_that_died_is_replaced(tmp_path: Path) -> None:
    """Only the run that was open when it died is not whole in W&B; the process ends without a traceback."""
    command = [sys.executable, "-c", KILLED, "offline", str(tmp_path)]
    run = subprocess.run(
        command, env=environment(tmp_path / "home"), cwd=tmp_path, capture_output=True, text=True
    )
    assert (run.returncode, run.stderr) == (0, "")
    offline, lost, first, second, third = run.stdout.splitlines()
    assert offline.startswith("SAID W&B: offline")
    assert "the record on disk has everything" in lost
    assert not first.endswith("None")
    assert (second, third) == ("MODE after the second None", "MODE never None")


def words(output: str) -> dict[str, str]:
    """{'SAID': ..., 'TOOK': ..., 'MODE': ...} of the script's output."""
    lines = [line.strip().partition(" ") for line in output.splitlines()]
    return {name: rest for name, _, rest in lines if name in ("SAID", "TOOK", "MODE")}


def run_script(mode: str, folder: Path, **more: str) -> dict[str, str]:
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT, mode, str(folder)],
        env=environment(folder / "home", **more), cwd=folder, timeout=PATIENCE,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout
    assert more.get("WANDB_API_KEY", "no key") not in run.stdout
    found = words(run.stdout)
    assert len(run.stdout.splitlines()) == 3, run.stdout
    return found


@POSIX
@pytest.mark.parametrize("mode", ["auto", "online"])
def test_without_a_key_a_terminal_is_not_asked(tmp_path: Path, mode: str) -> None:
    """In a pseudo-terminal, where W&B by itself shows three choices and waits for ever."""
    import pty

    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", SCRIPT, mode, str(tmp_path)]
    with subprocess.Popen(
        command, env=environment(tmp_path / "home"), cwd=tmp_path, stdin=theirs, stdout=theirs, stderr=theirs
    ) as child:
        os.close(theirs)
        stop = threading.Timer(PATIENCE, child.kill)
        stop.start()
        output = b""
        with contextlib.suppress(OSError):  # how Linux reports the end of a pseudo-terminal
            for piece in iter(functools.partial(os.read, ours, 4096), b""):
                output += piece
        code = child.wait()
        stop.cancel()
        os.close(ours)
    text = output.decode()
    assert code == 0, text
    found = words(text)
    assert "no key found" in found["SAID"], text
    assert found["MODE"] == "offline None"
    assert "1)" not in text, "no choices were offered"
    assert "(1)" not in text


def test_a_dead_server_is_noticed_before_a_run_is_opened_there(tmp_path: Path) -> None:
    with socket.socket() as closed:  # bound but not listening: connections are refused
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        found = run_script("auto", tmp_path, WANDB_BASE_URL=url, WANDB_API_KEY="a" * 40)
    assert found["MODE"] == "offline None"
    assert f"{url} does not answer" in found["SAID"], "W&B itself would try again until its time is up"


def test_a_silent_server_is_given_up(tmp_path: Path) -> None:
    """It accepts connections and never answers; the same run goes on offline under the same id."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(64)
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        found = run_script("online", tmp_path, WANDB_BASE_URL=url, WANDB_API_KEY="a" * 40)
    assert found["MODE"] == "offline None"
    assert "the server did not open the run" in found["SAID"]
    assert float(found["TOOK"]) >= 3, "the server had its time"
    run_id = example_spec().run_id
    (folder,) = (tmp_path / "out" / "wandb").glob(f"offline-run-*-{run_id}")
    (run,) = inspect(folder, "--summary")
    assert (run["run_id"], run["state"]) == (run_id, "finished")


def test_no_error_reports_are_sent_unless_they_are_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the end of a process W&B would wait to deliver them to a server that hangs."""
    for wish, expected in (("", "false"), ("true", "true")):
        with monkeypatch.context() as patch:
            for name in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_ERROR_REPORTING"):
                patch.setenv(name, wish)
                patch.delenv(name) if not wish else None
            prepare_environment(tmp_path)
            assert os.environ["WANDB_ERROR_REPORTING"] == expected


def test_an_unusable_key_is_said_without_showing_it(tmp_path: Path) -> None:
    found = run_script("auto", tmp_path, WANDB_API_KEY="too-short-key")
    assert found["MODE"] == "offline None"
    assert "key cannot be used" in found["SAID"]


def test_a_wandb_that_would_ask_is_not_used_online() -> None:
    """Older versions know no prompt=False: then there is no login, rather than a question."""

    class Old:
        Error = RuntimeError

        @staticmethod
        def login(*, verify: bool, timeout: int) -> bool:
            raise AssertionError("asked")

    reason = why_offline(Old)
    assert reason is not None
    assert "pip install -U wandb" in reason


PROXIES = ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY", "all_proxy")


@pytest.fixture
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("no_proxy")
def test_reachability_is_about_the_port_or_asked_of_the_proxy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.socket() as server, serving({"index.html": b"x"}) as proxy:
        server.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        assert not is_reachable(url)
        monkeypatch.setenv("http_proxy", proxy.url)
        assert is_reachable(url), "the proxy answers for it"
        monkeypatch.setenv("http_proxy", "socks5://127.0.0.1:1")
        assert is_reachable(url), "only the proxy knows"
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        assert not is_reachable(url)
        server.listen()
        assert is_reachable(url, seconds=PATIENCE)


@pytest.mark.usefixtures("no_proxy")
@pytest.mark.parametrize("url", ["http://wandb.invalid", "https://wandb.invalid"])
def test_a_proxy_that_wants_a_login_is_named(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    with serving({}) as proxy:
        proxy.status = 407
        monkeypatch.setenv(f"{url.partition(':')[0]}_proxy", proxy.url)
        assert "(407)" in (why_unreachable(url) or "")
        proxy.mend()
        proxy.hangs = True
        assert why_unreachable(url, seconds=0.3) is not None


def test_a_name_server_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    answer, answered = threading.Event(), []

    def hang(*_: object, **__: object) -> None:
        answer.wait(PATIENCE)
        answered.append(1)
        raise OSError("no such name")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    for name in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert not is_reachable("https://api.example.invalid", seconds=0.2)
    assert not answered
    answer.set()
