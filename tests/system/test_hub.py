"""Downloads: resumed where they were cut off, checked by digest, repaired when half a file is there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from cogexp.__main__ import main
from cogexp.engine import checkpoints
from cogexp.metrics import fetch as metrics_fetch
from cogexp.metrics import networks
from cogexp.spec import ModelSpec
from cogexp.system import hub as hubs
from cogexp.system.network import NetworkError
from tests.system.hub_server import COMMIT, Hub, serving

Point = Callable[[str], None]
MODEL = ModelSpec(name="cogvideox-2b", source="owner/clips", revision=None, dtype="float32")
PARTS = {part: f"{part}/model.safetensors" for part in checkpoints.PARTS}
VAE = PARTS["vae"]


def weights(seed: int) -> bytes:
    return save({"w": torch.full((4096,), float(seed)), "text_projection.weight": torch.ones(1)})


@pytest.fixture
def hub(point_at: Point) -> Iterator[Hub]:
    files = {name: weights(seed) for seed, name in enumerate(PARTS.values())}
    files |= {"model_index.json": b"{}", "vae/config.json": json.dumps({"a": 1}).encode()}
    with serving({**files, "vae/weights.bin": b"never"}, large=tuple(PARTS.values())) as server:
        point_at(server.url)
        yield server


def names(folder: Path) -> set[str]:
    return {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}


def test_a_checkpoint_is_fetched_once_and_whole(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = checkpoints.locate(MODEL)
    assert names(folder) == set(hub.files) - {"vae/weights.bin"}
    for name in names(folder):
        assert (folder / name).read_bytes() == hub.files[name]
    asked = len(hub.asked)
    assert checkpoints.locate(MODEL) == folder
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert checkpoints.locate(MODEL) == folder
    assert len(hub.asked) == asked, "what is here is not asked for"


def test_a_download_that_was_cut_off_is_resumed(hub: Hub) -> None:
    hub.cut = 5000
    with pytest.raises(checkpoints.MissingCheckpoint, match="fetch model=cogvideox-2b"):
        checkpoints.download(MODEL)
    (part,) = Path(hub_blobs()).glob("*.unfinished")
    have = part.stat().st_size
    cut_off = next(name for name in PARTS.values() if hub.digest(name) in part.name)
    assert part.read_bytes() == hub.files[cut_off][:have]
    assert have == 5000
    before = len(hub.ranges(cut_off))
    hub.mend()
    folder = checkpoints.download(MODEL)
    assert hub.ranges(cut_off)[before:] == [f"bytes={have}-"], "only the rest is asked for"
    assert (folder / cut_off).read_bytes() == hub.files[cut_off]
    assert not list(Path(hub_blobs()).glob("*.unfinished*"))


def hub_blobs() -> str:
    from huggingface_hub import constants

    return f"{constants.HF_HUB_CACHE}/models--owner--clips/blobs"


def test_what_another_process_loaded_meanwhile_is_not_loaded_again(hub: Hub, tmp_path: Path) -> None:
    """`hub` has no such file: a request would fail."""
    (tmp_path / "a.bin").write_bytes(b"0123456789")
    hubs.fetch_file(
        f"{hub.url}/a.bin", tmp_path / "a.bin", hashlib.sha256(b"0123456789").hexdigest(), remedy="fetch"
    )
    assert names(tmp_path) == {"a.bin"}


def test_other_bytes_than_announced_are_refused_and_not_kept(hub: Hub) -> None:
    hub.spoiled = True
    with pytest.raises(checkpoints.MissingCheckpoint, match="SHA-256"):
        checkpoints.download(MODEL)
    assert {name for name in names(Path(hub_blobs())) if not name.endswith(".lock")} == set()
    hub.mend()
    assert checkpoints.incomplete(checkpoints.download(MODEL)) is None
    assert not any(name.endswith(".lock") for name in names(Path(hub_blobs())))


def test_half_a_file_in_the_cache_is_fetched_again(hub: Hub) -> None:
    folder = checkpoints.locate(MODEL)
    file = (folder / VAE).resolve()
    file.write_bytes(file.read_bytes()[:100])
    assert checkpoints.in_cache(MODEL) is None
    before = len(hub.asked)
    again = checkpoints.locate(MODEL)
    assert (again / VAE).read_bytes() == hub.files[VAE]
    fetched = [path for method, path, _ in hub.asked[before:] if method == "GET" and "/resolve/" in path]
    assert [path.endswith(VAE) for path in fetched] == [True], "the others stay"


def test_the_weights_of_a_metric_resume_too(
    tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = bytes(range(256)) * 40
    digest = hashlib.sha256(content).hexdigest()
    name = f"net-{digest[:8]}.pth"
    hub.files[name] = content
    monkeypatch.setattr(networks, "ALEXNET_FILE", name)
    monkeypatch.setitem(metrics_fetch.TORCHVISION_FILES, "lpips", name)
    monkeypatch.setitem(
        metrics_fetch.FETCHERS, "lpips", lambda _: metrics_fetch._fetch_torchvision(f"{hub.url}/x/{name}")
    )
    hub.cut = 1000
    with pytest.raises(NetworkError, match="cogexp fetch"):
        metrics_fetch.fetch(["lpips_adjacent"])
    hub.mend()
    assert [found.kind for found in metrics_fetch.fetch(["lpips_adjacent"])] == ["lpips"]
    assert networks.alexnet_path().read_bytes() == content
    assert hub.ranges(name)[-1] == "bytes=1000-"
    networks.alexnet_path().write_bytes(content[:-1])
    assert metrics_fetch.missing(["lpips_adjacent"]), "half a file is missing"


def test_a_clip_network_is_fetched_and_half_of_it_is_fetched_again(hub: Hub) -> None:
    hub.files = dict.fromkeys(networks.CLIP_FILES, b"{}") | {"model.safetensors": weights(7)}
    hub.large = ("model.safetensors",)
    assert metrics_fetch.fetch(["clip_score"], "owner/clips") != []
    assert metrics_fetch.missing(["clip_score"], "owner/clips") == []
    from huggingface_hub import try_to_load_from_cache

    file = Path(str(try_to_load_from_cache("owner/clips", "model.safetensors"))).resolve()
    file.write_bytes(file.read_bytes()[:50])
    assert metrics_fetch.missing(["clip_score"], "owner/clips") != []
    assert metrics_fetch.fetch(["clip_score"], "owner/clips") != []
    assert file.read_bytes() == hub.files["model.safetensors"]


def test_half_a_network_is_weights_that_are_missing(hub: Hub) -> None:
    file = networks.alexnet_path()
    file.parent.mkdir(parents=True)
    torch.save({"features.0.weight": torch.zeros(1000)}, file)
    file.write_bytes(file.read_bytes()[:1500])
    with pytest.raises(networks.MissingWeights, match=r"cannot be read .*cogexp fetch") as caught:
        networks.load("lpips", "alex", "cpu")
    assert "\n" not in str(caught.value)


def test_a_server_without_ranges_begins_anew(hub: Hub, tmp_path: Path) -> None:
    content = b"0123456789" * 500
    hub.files["a.bin"] = content
    target = tmp_path / "a.bin"
    target.with_name("a.bin.unfinished").write_bytes(b"x" * 100)  # of another version of the file
    digest = hashlib.sha256(content).hexdigest()
    with pytest.raises(NetworkError, match="SHA-256"):
        hubs.fetch_file(f"{hub.url}/a.bin", target, digest, remedy="fetch")
    hubs.fetch_file(f"{hub.url}/a.bin", target, digest, remedy="fetch")
    assert target.read_bytes() == content


def test_fetch_tries_everything_and_says_each_cause_in_one_line(
    point_at: Point, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving({}) as hub:
        hub.status = 503
        point_at(hub.url)
        for kind in ("lpips", "raft"):
            url = f"{hub.url}/{metrics_fetch.TORCHVISION_FILES[kind]}"
            monkeypatch.setitem(
                metrics_fetch.FETCHERS, kind, lambda _, url=url: metrics_fetch._fetch_torchvision(url)
            )
        assert main(["fetch", "model=cogvideox-2b", "metrics=all"]) == 1
    said = capsys.readouterr().err.splitlines()
    problems = [line for line in said if "could not be fetched" in line]
    assert len(problems) == 5, said
    assert all("(503)" in line and "cogexp fetch" in line for line in problems)
    assert len(said) == 5 + 5, "and a line of licence for each"


def test_the_commit_is_the_folders_name(hub: Hub) -> None:
    assert checkpoints.locate(MODEL).name == COMMIT
