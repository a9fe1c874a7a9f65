"""From a composed config to plain values: which "${...}" are resolved, which are text, which are refused.

Texts that are recorded are literal, so that "${oc.env:SECRET}" in a shared config never lands in a record.
Elsewhere one key may refer to another; only where results are kept may depend on the environment.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from omegaconf.resolvers import oc

from cogexp.spec import SpecError
from cogexp.system.text import shortened

LITERAL_GROUPS = ("prompt",)
LITERAL_KEYS = (
    "study", "tracking.project", "tracking.entity", "model.path", "model.revision", "upscaler.weights",
    "metrics.clip_model",
)  # fmt: skip
FROM_ENVIRONMENT = ("outputs",)


def to_plain(config: DictConfig) -> dict[str, Any]:
    """Plain nested values.

    Raises:
        SpecError: an interpolation that leads nowhere, or reads the environment where that is not allowed.
    """
    literal = OmegaConf.to_container(config, resolve=False)
    assert isinstance(literal, dict)
    return {str(key): _value(config, str(key), value) for key, value in literal.items()}


def _value(config: DictConfig, key: str, literal: Any) -> Any:
    if key in LITERAL_GROUPS or key in LITERAL_KEYS:
        return literal
    if isinstance(literal, dict):
        return {str(name): _inner(config, f"{key}.{name}", value) for name, value in literal.items()}
    return _inner(config, key, literal)


def _inner(config: DictConfig, key: str, literal: Any) -> Any:
    if key in LITERAL_KEYS or not _interpolates(literal):
        return literal
    try:
        if key in FROM_ENVIRONMENT:
            found = OmegaConf.select(config, key, throw_on_missing=True)
        else:
            with _without_environment():
                found = OmegaConf.select(config, key, throw_on_missing=True)
                found = OmegaConf.to_container(found, resolve=True) if OmegaConf.is_config(found) else found
    except (OmegaConfBaseException, ValueError, TypeError, RecursionError, AttributeError, KeyError) as error:
        why = str(error).strip().partition("\n")[0] or type(error).__name__
        raise SpecError(
            f"{key} must be a value or refer to another key, got {shortened(str(literal))!r}: "
            f"{shortened(why)}"
        ) from None
    return found


def _interpolates(literal: Any) -> bool:
    if isinstance(literal, str):
        return "${" in literal
    if isinstance(literal, dict):
        return any(map(_interpolates, literal.values()))
    return isinstance(literal, list) and any(map(_interpolates, literal))


@contextmanager
def _without_environment() -> Iterator[None]:
    """OmegaConf's resolvers, of which the one that reads the environment refuses."""
    OmegaConf.register_new_resolver("oc.env", _refuse, replace=True)
    try:
        yield
    finally:
        OmegaConf.register_new_resolver("oc.env", oc.env, replace=True)


def _refuse(*words: object) -> NoReturn:
    raise ValueError("only outputs may read the environment; write the value")
