"""What pyproject.toml cannot say: conf/ lies at the top of the repository and travels as cogexp/conf."""

from setuptools import find_namespace_packages, find_packages, setup

CONF = ["cogexp.conf", *(f"cogexp.conf.{group}" for group in find_namespace_packages("conf"))]

setup(
    packages=[*find_packages(include=["cogexp", "cogexp.*"]), *CONF],
    package_dir={"cogexp.conf": "conf"},
    package_data={
        **{package: ["*.yaml"] for package in CONF},
        "cogexp.nano": ["weights/*"],
        "cogexp.study": ["page/*"],
        "cogexp.upscale": ["NOTICE.*"],
    },
)
