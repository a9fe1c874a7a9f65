"""Tests of a feature that the installed libraries are too old for: skipped with the line that refuses it."""

from __future__ import annotations

import pytest

from cogexp.system import requirements


def needs(feature: str) -> pytest.MarkDecorator:
    """A mark for tests of `feature`, as it stands in `cogexp.system.requirements.NEEDS`."""
    problem = requirements.problem(feature)
    return pytest.mark.skipif(problem is not None, reason=problem or "")


def step_cache(name: str, *values: object) -> object:
    """A parameter of a test over step caches, skipped where diffusers lacks this one."""
    return pytest.param(name, *values, marks=needs(f"optimization.cache={name}"), id=name)
