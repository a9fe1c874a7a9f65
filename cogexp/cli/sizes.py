"""A Hydra config source that makes `resolution=640x384` work without a file, for any WxH."""

from __future__ import annotations

import re

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.object_type import ObjectType
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigLoadError, ConfigResult, ConfigSource
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import OmegaConf

from cogexp.cli.paths import conf_dir

SIZE = re.compile(r"resolution/(\d{1,5})x(\d{1,5})(?:\.yaml)?")


class SizeSource(ConfigSource):
    """Answers `resolution/<W>x<H>` with that width and height, frames and fps automatic."""

    @staticmethod
    def scheme() -> str:
        """The scheme of this source's paths in the search path."""
        return "size"

    def load_config(self, config_path: str) -> ConfigResult:
        """The group's content for one size."""
        match = SIZE.fullmatch(config_path)
        if match is None:
            raise ConfigLoadError(f"{config_path} is not a size")
        width, height = (int(side) for side in match.groups())
        node = OmegaConf.create({"width": width, "height": height, "frames": "auto", "fps": "auto"})
        return ConfigResult(provider=self.provider, path="size://", config=node, header={"package": None})

    def is_group(self, config_path: str) -> bool:
        """It has one group."""
        return config_path.rstrip("/") == "resolution"

    def is_config(self, config_path: str) -> bool:
        """Any WxH is a config."""
        return SIZE.fullmatch(config_path) is not None

    def available(self) -> bool:
        """Always there."""
        return True

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        """Nothing to enumerate: the named sizes are files."""
        return []


class SizeSearchPath(SearchPathPlugin):
    """Puts the sizes behind the files, and conf/ behind a folder given with --config-path."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Called by Hydra once per composition."""
        search_path.append(provider="cogexp", path=f"file://{conf_dir()}")
        search_path.append(provider="cogexp-sizes", path="size://")


def register() -> None:
    """Make Hydra know both plugins; called by the command line, never on import."""
    for plugin in (SizeSource, SizeSearchPath):
        Plugins.instance().register(plugin)
