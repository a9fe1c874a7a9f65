"""The nano world: cartoon clips with exact captions, rendered in milliseconds."""

from cogexp.nano.world.grammar import Scene, caption, parse, sample_scene, vary
from cogexp.nano.world.render import Stage, render

__all__ = ["Scene", "Stage", "caption", "parse", "render", "sample_scene", "vary"]
