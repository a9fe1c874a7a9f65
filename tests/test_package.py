"""What `pip install .` carries: the configuration, the weights' notice, a working console script."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, so that the checkout keeps no build folder."""
    import shutil

    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("cogexp", "conf", "sweeps"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    # The backend's own hook, as every installer calls it: not every environment has pip.
    hook = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
    done = subprocess.run([sys.executable, "-c", hook, str(out)], cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return next(out.glob("*.whl"))


def test_configuration_weights_and_notices_are_inside(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for file in (ROOT / "conf").rglob("*.yaml"):
        assert f"cogexp/conf/{file.relative_to(ROOT / 'conf').as_posix()}" in names
    for file in (ROOT / "sweeps").rglob("*.yaml"):
        assert f"cogexp/sweeps/{file.relative_to(ROOT / 'sweeps').as_posix()}" in names
    for file in (ROOT / "cogexp" / "nano" / "weights").glob("*.safetensors"):
        assert f"cogexp/nano/weights/{file.name}" in names
    assert "cogexp/upscale/NOTICE.realesrgan" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_installed_script_composes_from_its_own_conf(wheel: Path, tmp_path: Path) -> None:
    target = tmp_path / "installed"
    zipfile.ZipFile(wheel).extractall(target)
    for words, expected in (
        (["--cfg", "job", "resolution=640x352"], "width: 640"),
        (["sweep=quick", "--plan", "tracking=off"], "study quick: 24 runs to do"),
    ):
        script = f"import sys; from cogexp.__main__ import main; sys.exit(main({words}))"
        done = subprocess.run(
            [sys.executable, "-c", script],
            cwd=tmp_path,
            env={"PYTHONPATH": str(target)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert expected in done.stdout
    entry = (
        zipfile.ZipFile(wheel).read(f"{wheel.name.split('-')[0]}-0.1.0.dist-info/entry_points.txt").decode()
    )
    assert "cogexp = cogexp.__main__:main" in entry
