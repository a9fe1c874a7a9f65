"""`fetch`: everything a setting needs, downloaded and checked once, with its licence."""

from __future__ import annotations

from cogexp.build import build_downloads
from cogexp.catalog import VARIANTS
from cogexp.cli import compose
from cogexp.cli.runs import show_log_lines
from cogexp.cli.words import parse_words
from cogexp.spec import MetricsSpec, ModelSpec
from cogexp.system import interrupts
from cogexp.system.network import NetworkError
from cogexp.terminal import Progress, for_stderr

GIB = 2**30


def command(argv: list[str]) -> int:
    """0 when everything is here, 1 when something could not be had."""
    words = parse_words(argv)
    model, metrics, settings = build_downloads(compose.compose_jobs(words)[0])
    show_log_lines(settings.debug)
    interrupts.install()
    progress = for_stderr()
    failures = _checkpoint(model, progress) + _networks(metrics, progress)
    return 1 if failures else 0


def _checkpoint(model: ModelSpec, progress: Progress) -> int:
    from cogexp.engine import checkpoints

    variant = VARIANTS[model.name]
    if variant.embedded or model.weights == "random":
        progress.say(f"model {variant.name}: nothing to fetch ({variant.license})")
        return 0
    progress.say(f"model {variant.name}: {model.source}, licence: {variant.license}")
    try:
        folder = checkpoints.locate(model)
    except checkpoints.MissingCheckpoint as error:
        progress.say(f"model {variant.name}: {error}")
        return 1
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    progress.say(f"model {variant.name}: complete, {size / GIB:.1f} GiB in {folder}")
    return 0


def _networks(metrics: MetricsSpec, progress: Progress) -> int:
    """How many could not be had. Each is tried: one that fails does not keep the others away."""
    from cogexp.metrics.fetch import fetch_one, missing, needed

    failures = 0
    for weights in needed(metrics.names, metrics.clip_model):
        progress.say(f"metric network {weights.name}: licence: {weights.license}")
    for weights in missing(metrics.names, metrics.clip_model):
        try:
            fetch_one(weights)
            progress.say(f"metric network {weights.name}: fetched and checked")
        except NetworkError as error:
            progress.say(f"metric network {error}")
            failures += 1
    return failures
