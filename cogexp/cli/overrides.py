"""One word of a request in Hydra's grammar: parsed, bounded, checked where it chooses a group's file."""

from __future__ import annotations

from difflib import get_close_matches

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Sweep
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from cogexp.build import GROUPS
from cogexp.cli import sizes
from cogexp.cli.paths import conf_dir
from cogexp.spec import SpecError
from cogexp.system.text import shortened

# What Hydra raises for words that it cannot take: its own errors, and Python's from somewhere inside.
HYDRA_ERRORS = (
    HydraException, OmegaConfBaseException, YAMLError, ValueError, TypeError, KeyError, IndexError,
    AttributeError, AssertionError, RecursionError, OSError,
)  # fmt: skip
LONGEST_WORD, MOST_NESTED = 100_000, 12


def parse_override(word: str) -> Override:
    """One word in Hydra's grammar; SpecError when it is none."""
    if len(word) > LONGEST_WORD or _nesting(word) > MOST_NESTED:
        raise SpecError(
            f"{shortened(word.partition('=')[0], 80)} must have at most {LONGEST_WORD:,} characters and "
            f"{MOST_NESTED} brackets in one another, got {shortened(word)!r}; quote a text"
        )
    try:
        return OverridesParser.create().parse_override(word)
    except HYDRA_ERRORS:
        key = shortened(word.partition("=")[0], 80)
        raise SpecError(
            f"{key} must be written key=value in Hydra's grammar, got {shortened(word)!r}; "
            f"quote special characters, for example: \"{key}='...'\""
        ) from None


def _nesting(word: str) -> int:
    """How deep brackets stand in one another outside of quotes: Hydra and OmegaConf recurse into them."""
    depth = deepest = 0
    quote = ""
    for letter in word:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter in "[{(":
            depth += 1
            deepest = max(deepest, depth)
        elif letter in "]})":
            depth -= 1
    return deepest


def check_group(override: Override) -> None:
    """Refuse a group's value that is no option, before Hydra answers with a traceback."""
    group = override.key_or_group
    if group not in GROUPS or override.is_delete():
        return
    value = override.value()
    values = value.list if isinstance(value, Sweep) and hasattr(value, "list") else [value]
    for choice in values:
        name = getattr(choice, "text", choice)
        options = sorted(path.stem for path in (conf_dir() / group).glob("*.yaml"))
        if isinstance(name, str) and (
            name in options or (sizes.SIZE.fullmatch(f"resolution/{name}") and group == "resolution")
        ):
            continue
        written = "null" if name is None else str(name).lower() if isinstance(name, bool) else str(name)
        near = get_close_matches(written, options, n=1, cutoff=0.3)
        rule = "WxH or one of" if group == "resolution" else "one of"
        raise SpecError(
            f"{group} must be {rule} {', '.join(options)}, got {written}; nearest: {(near or options)[0]}"
        )
