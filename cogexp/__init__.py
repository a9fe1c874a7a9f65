"""cogexp: which setting of CogVideoX should I use?

    from cogexp import build, run
    spec = build({"model": {"name": "nano"}, "prompt": {"text": "two wolves"}}).spec
    record = run(spec, "outputs")

Importing the package loads no torch; a run does.
"""

__version__ = "0.1.0"

from cogexp.build import Request, build
from cogexp.record import Record
from cogexp.run import run
from cogexp.spec import (
    MetricsSpec,
    ModelSpec,
    OptimizationSpec,
    PromptSpec,
    ResolutionSpec,
    RunSpec,
    SamplerSpec,
    SpecError,
    UpscalerSpec,
)

__all__ = [
    "MetricsSpec",
    "ModelSpec",
    "OptimizationSpec",
    "PromptSpec",
    "Record",
    "Request",
    "ResolutionSpec",
    "RunSpec",
    "SamplerSpec",
    "SpecError",
    "UpscalerSpec",
    "build",
    "run",
]
