"""A second process denoises ahead: what it hands over, what its failures cost, and that it never stays."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest

from cogexp import record as records
from cogexp.build import Request, Settings
from cogexp.launch import basic, overlap
from cogexp.launch.ahead import firsts, frames_of, latents_of
from cogexp.launch.overlap import Options, check, check_memory, launch
from cogexp.launch.second import Paced
from cogexp.machine import Gpu
from cogexp.run import FirstHalf
from cogexp.spec import SpecError
from cogexp.store import Keys, Store
from cogexp.system import host_memory
from cogexp.terminal import Progress, Silent
from cogexp.video import read
from tests.launch.jobs import by_seed, finish, requests
from tests.system.machines import make_machine
from tests.waiting import PATIENCE, until

DEADLY, RAISING = 1, 2
QUICK = {
    "model": {"name": "nano", "weights": "random"},
    "sampler": {"steps": 2},
    "metrics": {"names": "none"},
}


class Said(Silent):
    """A progress that keeps what was said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


def mark(request: Request, progress: Progress) -> FirstHalf:
    """A first half that only leaves a file, or dies, or raises."""
    if request.spec.seed == DEADLY:
        os.kill(os.getpid(), signal.SIGKILL)
    if request.spec.seed == RAISING:
        raise ValueError("no such noise")
    return quiet(request, progress)


def quiet(request: Request, progress: Progress) -> FirstHalf:
    """A first half that goes well."""
    with progress.stage("denoise", 1) as advance:
        advance(1)
    (request.settings.outputs / f"made{request.spec.seed}").write_text(str(os.getpid()), "utf-8")
    return FirstHalf(notes={"optimization.cache": "took hold"}, stages=("denoise",))


def for_ever(request: Request, progress: Progress) -> FirstHalf:
    """A first half that is under way when the sweep ends."""
    quiet(request, progress)
    time.sleep(2 * PATIENCE)
    return FirstHalf()


def _stand_in(
    monkeypatch: pytest.MonkeyPatch, then: object = None, *, both: bool = False
) -> dict[int, dict[str, str]]:
    """Second halves that only write their record; seed -> the notes that came with it."""
    monkeypatch.setattr(overlap, "both_denoise", lambda *_: both)
    notes_of: dict[int, dict[str, str]] = {}

    def execute(request: Request, progress: Progress, *, first_half: FirstHalf | None = None) -> None:
        notes_of[request.spec.seed] = dict(first_half.notes if first_half else {})
        if then is not None:
            then(request)  # type: ignore[operator]
        finish(request)

    monkeypatch.setattr(overlap, "execute", execute)
    return notes_of


def test_frames_and_records_are_those_of_a_plain_sweep(tmp_path: Path) -> None:
    plain, pair = (
        [
            *requests(tmp_path / name, 2, **QUICK),
            *requests(tmp_path / name, 2, **QUICK, upscaler={"name": "lanczos", "scale": 2}),
        ]
        for name in ("plain", "pair")
    )
    basic.launch(plain, Silent(), [None] * 4)
    launch(pair, Silent(), [None] * 4, Options())
    paid = [0, 0]
    for one, other in zip(plain, pair, strict=True):
        assert one.spec == other.spec
        folders = [job.settings.outputs / "runs" / job.spec.run_id for job in (one, other)]
        before, after = map(records.read, folders)
        assert before.status == after.status == "ok"
        assert np.array_equal(*(read(folder / "native.mp4").frames for folder in folders))
        assert before.stages["denoise"]["cached"] == after.stages["denoise"]["cached"], "who bears the cost"
        paid[0] += not before.stages["encode"]["cached"]
        paid[1] += not after.stages["encode"]["cached"]
        assert after.stages["denoise"]["seconds"] > 0
        first_use = other in pair[:2]
        assert ("hydra.launcher" in after.resolved) == first_use or other in pair[2:]
    # Of two processes either may be the first to need the text, and both may while nobody has encoded it yet.
    assert paid[0] == 1
    assert paid[1] in (1, 2)
    kept = [Store(job.settings.outputs / "store", 1) for job in (plain[0], pair[0])]
    latents = [{f.name: f for f in (store.folder / "denoise").iterdir()} for store in kept]
    assert latents[0].keys() == latents[1].keys()
    assert len(latents[0]) == 2


def test_the_next_clip_is_made_while_one_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def wait_for_the_next(request: Request) -> None:
        seed, made = request.spec.seed, lambda s: (tmp_path / f"made{s}").is_file()
        if seed < 4:
            until(lambda: made(seed + 1))
        if seed == 0:
            until(lambda: made(2))
            time.sleep(0.5)
            assert not made(3), "no further ahead than it may"

    notes = _stand_in(monkeypatch, wait_for_the_next)
    launch(requests(tmp_path, 5), Silent(), [None] * 5, Options(ahead=2), make=quiet)
    assert {record.status for record in by_seed(tmp_path).values()} == {"ok"}
    assert len(notes) == 5
    assert all(note["optimization.cache"] == "took hold" for note in notes.values())
    assert "overlap" in notes[0]["hydra.launcher"]
    pids = {(tmp_path / f"made{seed}").read_text("utf-8") for seed in range(5)}
    assert len(pids) == 1
    assert str(os.getpid()) not in pids
    assert not any(psutil.pid_exists(int(pid)) for pid in pids)


def slow_in_the_second(request: Request, progress: Progress) -> FirstHalf:
    """A first half that takes the second process long, until the first one has made three.

    The first one begins when the second has a clip: on a busy machine it would else make all of them.
    """
    made, outputs = quiet(request, progress), request.settings.outputs
    at_work = outputs / "second is at work"
    if multiprocessing.parent_process() is None:
        until(at_work.exists)
    else:
        at_work.touch()
        until(lambda: len([f for f in outputs.glob("made*") if _maker(f) != os.getpid()]) >= 3)
    return made


def _maker(file: Path) -> int:
    return int(file.read_text("utf-8") or os.getpid())


def test_who_would_wait_makes_another_clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notes = _stand_in(monkeypatch, both=True)
    launch(requests(tmp_path, 5), Silent(), [None] * 5, Options(ahead=3), make=slow_in_the_second)
    makers = [_maker(tmp_path / f"made{seed}") for seed in range(5)]
    assert 3 <= makers.count(os.getpid()) < 5
    assert len(set(makers)) == 2
    assert all(note["optimization.cache"] == "took hold" for note in notes.values())


def test_no_further_ahead_than_it_may_be_in_either_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look(request: Request) -> None:
        made = {int(file.name.removeprefix("made")) for file in tmp_path.glob("made*")}
        assert max(made) <= request.spec.seed + 1

    _stand_in(monkeypatch, look, both=True)
    launch(requests(tmp_path, 6), Silent(), [None] * 6, Options(ahead=1), make=quiet)
    assert {record.status for record in by_seed(tmp_path).values()} == {"ok"}


def test_what_fails_in_the_first_process_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes, said = _stand_in(monkeypatch, both=True), Said()
    launch(requests(tmp_path, 3), said, [None] * 3, Options(), make=raising)
    assert set(by_seed(tmp_path)) == set(range(3))
    assert set(notes) == set(range(3))
    assert sum("is tried again: no such noise" in line for line in said.lines) == 3


def raising(request: Request, progress: Progress) -> FirstHalf:
    raise ValueError("no such noise")


def test_long_clips_come_first_and_one_model_stays_together(tmp_path: Path) -> None:
    spec = requests(tmp_path, 1)[0].spec
    small, large = (
        replace(spec, resolution=replace(spec.resolution, width=width, height=width // 2))
        for width in (128, 256)
    )
    others = [replace(each, model=replace(each.model, dtype="bfloat16")) for each in (small, large)]
    specs = [small, others[0], large, others[1], small]
    assert overlap.longest_first(specs) == [2, 0, 4, 3, 1]
    asked = [replace(each, prompt=replace(each.prompt, text="a fox")) for each in (small, large)]
    assert overlap.longest_first([small, large, *asked]) == [1, 0, 3, 2], "a prompt's runs stand together"
    more_steps = replace(small, sampler=replace(small.sampler, steps=50 * small.sampler.steps))
    assert overlap.longest_first([large, more_steps]) == [1, 0]


def test_the_second_process_decodes_where_both_denoise(tmp_path: Path) -> None:
    job = requests(tmp_path, 1, **QUICK)[0]
    half = frames_of(job, Silent())
    assert half.stages[-1] == "decode"
    assert Store(tmp_path / "store", 1).has("decode", Keys.of(job.spec).decode)
    assert "decode" not in latents_of(requests(tmp_path / "other", 1, **QUICK)[0], Silent()).stages


def test_both_denoise_only_on_a_cpu_with_cores_and_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    specs = [job.spec for job in requests(tmp_path, 1)]
    monkeypatch.setattr(overlap, "usable_cores", lambda: 2)
    much = make_machine(tmp_path / "much", total_gib=64, available_gib=64)
    monkeypatch.setattr(host_memory, "ROOT", much)
    assert overlap.both_denoise(specs, "cpu")
    assert not overlap.both_denoise(specs, "cuda")
    little = make_machine(tmp_path / "root", total_gib=1, available_gib=0.001)
    with monkeypatch.context() as short:
        short.setattr(host_memory, "ROOT", little)
        assert not overlap.both_denoise(specs, "cpu")
    monkeypatch.setattr(overlap, "usable_cores", lambda: 1)
    assert not overlap.both_denoise(specs, "cpu")


def test_each_denoises_with_its_half_of_the_cores_or_with_all(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    before, cores = torch.get_num_threads(), iter((1, 1, 3))
    seen = []
    with Paced(Silent(), lambda: next(cores)).stage("denoise", 2) as advance:
        for done in (1, 2):
            seen.append(torch.get_num_threads())
            advance(done)
        seen.append(torch.get_num_threads())
    assert seen == [1, 1, 3]
    assert torch.get_num_threads() == before


def test_a_clip_that_fails_ahead_is_tried_by_the_first_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    freed: list[int] = []
    monkeypatch.setattr(overlap, "forget_denoiser", lambda: freed.append(1))
    notes, said = _stand_in(monkeypatch), Said()
    launch(requests(tmp_path, 5), said, [None] * 5, Options(), make=mark)
    assert set(by_seed(tmp_path)) == set(range(5))
    assert notes[DEADLY] == notes[RAISING] == {}
    assert len(freed) == 2
    text = "\n".join(said.lines)
    assert "died: killed by SIGKILL" in text
    assert "no such noise" in text
    pids = {seed: (tmp_path / f"made{seed}").read_text("utf-8") for seed in (0, 3, 4)}
    assert pids[3] == pids[4] != pids[0], "another process after each failure"


def test_what_is_stored_is_not_made_again(tmp_path: Path) -> None:
    jobs = [*requests(tmp_path, 2, **QUICK), *requests(tmp_path, 2, **QUICK, upscaler={"name": "bicubic"})]
    assert [job.spec.seed for job in firsts(jobs).values()] == [0, 1]
    basic.launch(jobs[:1], Silent(), [None])
    assert [job.spec.seed for job in firsts(jobs).values()] == [1]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_the_second_process_does_not_outlive_its_sweep(tmp_path: Path, how: signal.Signals) -> None:
    script = f"""
import signal
from pathlib import Path
from cogexp.launch.overlap import Options, launch
from cogexp.terminal import Silent
from tests.launch.jobs import requests
from cogexp.launch import overlap
from tests.launch.test_overlap import for_ever
overlap.both_denoise = lambda *_: True
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    jobs = requests(Path({str(tmp_path)!r}), 3)
    launch(jobs, Silent(), [None] * 3, Options(), make=for_ever)
"""
    (tmp_path / "sweep.py").write_text(script, "utf-8")
    sweep = subprocess.Popen(
        [sys.executable, tmp_path / "sweep.py"],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        stderr=subprocess.DEVNULL,
    )
    files = [tmp_path / "made0", tmp_path / "made1"]  # one by each process
    until(lambda: all(file.is_file() and file.read_text("utf-8") for file in files))
    pids = {int(file.read_text("utf-8")) for file in files}
    assert len(pids) == 2
    sweep.send_signal(how)
    sweep.wait(timeout=PATIENCE)
    for pid in pids:
        until(lambda: not (psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE))  # noqa: B023
    statuses = {seed: record.status for seed, record in by_seed(tmp_path).items()}
    assert statuses == ({0: "interrupted"} if how == signal.SIGINT else {})


def test_wrong_options_are_refused() -> None:
    with pytest.raises(SpecError, match=r"hydra\.launcher\.ahead must be at least 1, got 0; nearest: 1"):
        check(Settings(), Options(ahead=0))
    with pytest.raises(SpecError, match="store_gb must be above 0"):
        check(Settings(store_gb=0), Options())


def test_a_gpu_too_small_for_both_processes_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [job] = requests(
        tmp_path,
        1,
        model={"name": "cogvideox-5b", "weights": "random", "dtype": "bfloat16"},
        resolution={"width": 512, "height": 288, "frames": 49},
    )
    for gib, enough in ((40.0, True), (24.0, False)):
        card = Gpu(name="a card", total_gib=gib, capability=(8, 0))
        monkeypatch.setattr(overlap.machine, "gpu", lambda card=card: card)
        if enough:
            check_memory([job.spec], "cuda")
        else:
            with pytest.raises(SpecError, match=r"got a card with .* nearest: hydra/launcher=basic"):
                check_memory([job.spec], "cuda")
    check_memory([job.spec], "cpu")
