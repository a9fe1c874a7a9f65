"""What is needed, what is missing, and that only verified files count."""

import huggingface_hub
import pytest
import torch
from safetensors.torch import save_file

from cogexp.metrics import fetch as fetch_module
from cogexp.metrics import networks
from cogexp.metrics.fetch import fetch, missing, needed


@pytest.fixture
def empty_machine(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "torch"))
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_: None)


def test_only_the_networks_of_the_asked_metrics_are_needed():
    assert needed("fast") == []
    assert [w.kind for w in needed(["clip_consistency"])] == ["clip"]
    assert [w.kind for w in needed("default")] == ["clip", "lpips"]
    assert [w.kind for w in needed("all")] == ["clip", "lpips", "dino", "raft"]
    assert all(w.license for w in needed("default", "some/clip"))
    assert needed("default", "some/clip")[0].name == "some/clip"


def test_all_is_missing_on_an_empty_machine(empty_machine):
    assert missing("default") == needed("default")
    assert missing("none") == []


def test_a_folder_counts_when_it_is_complete(empty_machine, tmp_path):
    folder = tmp_path / "clip"
    folder.mkdir()
    assert missing(["clip_score"], str(folder)) != []
    for name in networks.CLIP_FILES:
        (folder / name).write_text("{}")
    save_file({"weight": torch.zeros(1)}, str(folder / "model.safetensors"))
    assert missing(["clip_score"], str(folder)) == []


def test_an_incomplete_download_is_an_error(empty_machine, monkeypatch):
    monkeypatch.setitem(fetch_module.FETCHERS, "lpips", lambda name: None)
    with pytest.raises(OSError, match="not complete"):
        fetch(["lpips_adjacent"])


def test_a_checkpoint_that_is_no_clip_is_refused(empty_machine, tmp_path, monkeypatch):
    from cogexp.system import hub

    save_file({"weight": torch.zeros(1)}, str(tmp_path / "model.safetensors"))
    patterns = []

    def snapshot(name, revision, wanted, *, remedy):
        patterns.extend(wanted)
        return tmp_path

    monkeypatch.setattr(hub, "snapshot", snapshot)
    with pytest.raises(OSError, match="not a CLIP checkpoint"):
        fetch(["clip_score"])
    assert not any(pattern.endswith((".bin", ".pt", ".pth")) for pattern in patterns)
