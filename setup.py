"""What pyproject.toml cannot say: conf/ and sweeps/ lie at the top and travel inside cogexp/."""

from setuptools import find_namespace_packages, find_packages, setup

FOLDERS = [
    f"cogexp.{folder}"
    for top in ("conf", "sweeps")
    for folder in (top, *(f"{top}.{below}" for below in find_namespace_packages(top)))
]

setup(
    packages=[*find_packages(include=["cogexp", "cogexp.*"]), *FOLDERS],
    package_dir={"cogexp.conf": "conf", "cogexp.sweeps": "sweeps"},
    package_data={
        **{package: ["*.yaml"] for package in FOLDERS},
        "cogexp.inspect": ["page/*"],
        "cogexp.nano": ["weights/*"],
        "cogexp.study": ["page/*"],
        "cogexp.upscale": ["NOTICE.*"],
    },
)
