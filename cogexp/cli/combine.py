"""The combinations of a sweep, put together from what was composed already.

Hydra takes 0.1 s and more for a composition, and a study asks for dozens that differ in groups: sizes times
upscalers times prompts. Where a choice changes nothing outside its own group, as with those of this project,
each one is composed once and the combinations are joined. Whether it is so is looked at each time.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

from omegaconf import DictConfig, OmegaConf

from cogexp.build import GROUPS

Compose = Callable[[Sequence[str]], DictConfig]


class Combiner:
    """Configs by their overrides, all beside those of the first one."""

    def __init__(self, compose: Compose) -> None:
        self._compose = compose
        self._composed: dict[tuple[str, ...], DictConfig] = {}
        self._kept_in: dict[tuple[str, ...], bool] = {}  # whether a choice changes nothing outside its group

    def __call__(self, overrides: Sequence[str]) -> DictConfig:
        """The config of these overrides, the caller's own."""
        words = tuple(overrides)
        return self._joined(words) or copy.deepcopy(self._whole(words))

    def _whole(self, words: tuple[str, ...]) -> DictConfig:
        if words not in self._composed:
            self._composed[words] = self._compose(words)
        return self._composed[words]

    def _joined(self, words: tuple[str, ...]) -> DictConfig | None:
        """Made of configs that differ from the first one in one choice each; None where that is no way."""
        first = next(iter(self._composed), words)
        if len(words) != len(first):
            return None
        changed = [at for at, pair in enumerate(zip(first, words, strict=True)) if pair[0] != pair[1]]
        groups = [words[at].partition("=")[0] for at in changed]
        if len(changed) < 2 or len(set(groups)) < len(groups) or not set(groups) <= set(GROUPS):
            return None
        base = self._whole(first)
        made = copy.deepcopy(base)
        for at, group in zip(changed, groups, strict=True):
            one = (*first[:at], words[at], *first[at + 1 :])
            other = self._whole(one)
            if one not in self._kept_in:
                self._kept_in[one] = _without(group, other) == _without(group, base)
            if not self._kept_in[one]:
                return None
            made[group] = copy.deepcopy(other[group])
        return made


def _without(group: str, config: DictConfig) -> dict[object, object]:
    plain = OmegaConf.to_container(config, resolve=False)
    assert isinstance(plain, dict)
    return {key: value for key, value in plain.items() if key != group}
