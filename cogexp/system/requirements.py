"""Which features need a newer library than pyproject.toml asks for: refused before anything loads.

The bounds of pyproject.toml are what everything else works with (docs/versions.md). One line a feature in
`NEEDS`; versions are read from the installed metadata, and no library is imported.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import runpy
from dataclasses import dataclass
from pathlib import Path

from packaging.version import InvalidVersion, Version


@dataclass(frozen=True, kw_only=True)
class Need:
    """The first version of a package that has what a feature uses, and what serves instead of the feature.

    `for_gpu`: a build of torch for GPUs, though none need be there.
    """

    package: str
    at_least: str
    nearest: str
    for_gpu: bool = False


# Feature, as a person asks for it -> what it needs.
NEEDS: dict[str, Need] = {
    # TaylorSeerCacheConfig and MagCacheConfig of diffusers.hooks
    "optimization.cache=taylorseer": Need(
        package="diffusers", at_least="0.36", nearest="optimization.cache=firstblock"
    ),
    "optimization.cache=magcache": Need(
        package="diffusers", at_least="0.37", nearest="optimization.cache=firstblock"
    ),
    # FakeTensorMode there replaces CUDA's device guard where no GPU is; a CPU build has no guard to replace.
    "exact=true": Need(
        package="torch",
        at_least="2.10",
        for_gpu=True,
        nearest="exact=false, whose closed forms are within 3 %",
    ),
}


def installed(package: str) -> str:
    """The version of an installed distribution; PackageNotFoundError when there is none."""
    return importlib.metadata.version(package)


def torch_for_gpu() -> bool:
    """Whether the installed torch is a build for GPUs (CUDA or ROCm); true when that cannot be read."""
    found = importlib.util.find_spec("torch")
    file = Path(found.origin or "").with_name("version.py") if found else Path()
    if not file.is_file():
        return True
    facts = runpy.run_path(str(file))  # constants only
    return any(facts.get(name) for name in ("cuda", "hip"))


def problem(feature: str) -> str | None:
    """Why this installation lacks `feature`: one line that names the version needed; None when it has it.

    A version that cannot be read (a build of one's own) passes: then the feature itself fails, or works.
    """
    need = NEEDS.get(feature)
    if need is None:
        return None
    try:
        found = installed(need.package)
        enough = Version(found).release >= Version(need.at_least).release
    except (importlib.metadata.PackageNotFoundError, InvalidVersion):
        return None
    if enough and (not need.for_gpu or torch_for_gpu()):
        return None
    wanted = f"{need.package} >= {need.at_least}"
    if enough:
        wanted, how = f"a CUDA build of {wanted}", ", a build for CPUs only"
    else:
        how = f": pip install '{need.package}>={need.at_least}'"
    return f"{feature} needs {wanted}, installed is {found}{how}; nearest: {need.nearest}"
