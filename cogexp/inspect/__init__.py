"""The inside of a model at a setting: shape tables of every stage, two settings compared, its layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cogexp.inspect.row import PARTS, Row
from cogexp.inspect.shapes import shapes

if TYPE_CHECKING:
    from cogexp.inspect.atlas import Atlas, write_atlas
    from cogexp.inspect.measured import Measured, measure
    from cogexp.inspect.seen import Activations
    from cogexp.inspect.sources import EngineSource, PipelineSource
    from cogexp.inspect.watched import activations, observe

__all__ = [
    "PARTS",
    "Activations",
    "Atlas",
    "EngineSource",
    "Measured",
    "PipelineSource",
    "Row",
    "activations",
    "measure",
    "observe",
    "shapes",
    "write_atlas",
]

# Where the names lie that need torch and diffusers: tables and refusals must not wait for those.
_LATER = {
    "Activations": "seen",
    "activations": "watched",
    "observe": "watched",
    "Measured": "measured",
    "measure": "measured",
    "EngineSource": "sources",
    "PipelineSource": "sources",
    "Atlas": "atlas",
    "write_atlas": "atlas",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
