"""Features that need a newer library: refused below the version that brought it, which is named."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from cogexp.__main__ import main
from cogexp.build import build
from cogexp.spec import CACHES, SpecError
from cogexp.system import requirements
from cogexp.system.requirements import NEEDS, problem

PYPROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"


def version_is(monkeypatch: pytest.MonkeyPatch, found: str) -> None:
    monkeypatch.setattr(requirements, "installed", lambda package: found)


@pytest.mark.parametrize(
    ("feature", "below", "enough"),
    [
        ("optimization.cache=taylorseer", ("0.35.0", "0.35.2"), ("0.36.0", "0.36.0.dev0", "0.42.1", "1.0")),
        ("optimization.cache=magcache", ("0.35.2", "0.36.0"), ("0.37.0", "0.37.0rc1", "0.37.0+local")),
        ("exact=true", ("2.6.0", "2.9.1+cu128"), ("2.10.0", "2.15.0+cu130", "3.0")),
    ],
)
def test_the_first_version_that_has_it(
    feature: str, below: tuple[str, ...], enough: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read from the wheels: diffusers.hooks has TaylorSeerCacheConfig from 0.36, MagCacheConfig from 0.37;
    torch's FakeTensorMode calls _ensureCUDADeviceGuardSet from 2.10."""
    monkeypatch.setattr(requirements, "torch_for_gpu", lambda: True)
    for found in below:
        version_is(monkeypatch, found)
        line = problem(feature)
        assert line is not None
        need = NEEDS[feature]
        assert line.startswith(f"{feature} needs {need.package} >= {need.at_least}, installed is {found}: ")
        assert "\n" not in line
    for found in enough:
        version_is(monkeypatch, found)
        assert problem(feature) is None


def test_what_needs_nothing_or_cannot_be_read_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(package: str) -> str:
        raise importlib.metadata.PackageNotFoundError(package)

    version_is(monkeypatch, "0.1")
    assert problem("optimization.cache=pab") is None
    version_is(monkeypatch, "a build of my own")
    assert problem("optimization.cache=magcache") is None
    monkeypatch.setattr(requirements, "installed", absent)
    assert problem("optimization.cache=magcache") is None


def test_each_need_is_above_the_lower_bound() -> None:
    """Otherwise pip has seen to it already, and the line here is dead."""
    text = PYPROJECT.read_text(encoding="utf-8").partition("\ndependencies = [")[2].partition("\n]")[0]
    bounds = {}
    for line in re.findall(r'^\s+"([^"]+)"', text, flags=re.MULTILINE):
        asked = Requirement(line)
        for spec in asked.specifier:
            if spec.operator == ">=":
                bounds[asked.name] = Version(spec.version)
    for feature, need in NEEDS.items():
        assert Version(need.at_least) > bounds[need.package], feature


@pytest.mark.parametrize("feature", [name for name in NEEDS if name.startswith("optimization.")])
def test_a_run_with_it_is_refused_and_its_nearest_is_not(
    feature: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    version_is(monkeypatch, "0.0.1")
    key, _, value = feature.removeprefix("optimization.").partition("=")

    def asked(flag: str, choice: str) -> dict[str, Any]:
        return {
            "model": {"name": "nano"},
            "device": "cpu",
            "prompt": {"text": "two wolves"},
            "optimization": {flag: choice},
        }

    with pytest.raises(SpecError, match=rf"{re.escape(feature)} needs .*, installed is 0\.0\.1"):
        build(asked(key, value))
    build(asked(key, value), needs_first_frame=False)  # to plan for another machine nothing must be here
    near, _, other = NEEDS[feature].nearest.removeprefix("optimization.").partition("=")
    build(asked(near, other))


def test_exact_is_refused_by_a_build_of_torch_for_cpus(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Its fake CUDA tensors would raise 'PyTorch is not linked with support for cuda devices'."""
    version_is(monkeypatch, "2.13.0+cpu")
    monkeypatch.setattr(requirements, "torch_for_gpu", lambda: False)
    assert main(["plan", "resolution=256x144", "exact=true"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("cogexp: exact=true needs a CUDA build of torch >= 2.10, installed is 2.13.0+cpu")
    assert err.count("\n") == 1
    assert main(["plan", "resolution=256x144", "--json"]) == 0  # the closed forms need no torch


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("cuda: Optional[str] = None\nhip: Optional[str] = None\n", False),
        ("cuda: Optional[str] = '13.0'\nhip: Optional[str] = None\n", True),
        ("cuda: Optional[str] = None\nhip: Optional[str] = '6.4'\n", True),
        (None, True),
    ],
)
def test_the_build_of_torch_is_read_without_importing_it(
    lines: str | None, expected: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch/version.py as its wheels have it."""
    folder = tmp_path / "torch"
    folder.mkdir()
    (folder / "__init__.py").write_text("raise AssertionError('imported')")
    if lines is not None:
        (folder / "version.py").write_text(f"from typing import Optional\n{lines}")
    spec = importlib.util.spec_from_file_location("torch", folder / "__init__.py")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    assert requirements.torch_for_gpu() is expected


def test_the_installed_build_is_what_torch_says() -> None:
    import torch

    assert requirements.torch_for_gpu() == bool(torch.version.cuda or torch.version.hip)


def test_every_step_cache_that_passes_has_its_configuration() -> None:
    """The table against the installed diffusers itself."""
    from diffusers import hooks

    names = {
        "pab": "PyramidAttentionBroadcastConfig",
        "fastercache": "FasterCacheConfig",
        "firstblock": "FirstBlockCacheConfig",
        "taylorseer": "TaylorSeerCacheConfig",
        "magcache": "MagCacheConfig",
    }
    assert set(names) == set(CACHES) - {"none"}
    for cache, name in names.items():
        assert hasattr(hooks, name) == (problem(f"optimization.cache={cache}") is None), cache
