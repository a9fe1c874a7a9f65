"""Words that ask Hydra itself: --cfg, --info and the like."""

from __future__ import annotations

import io
import sys
from contextlib import redirect_stderr

from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig

from cogexp.cli import sizes
from cogexp.cli.compose import compose_one, hydra_ready
from cogexp.cli.overrides import check_group, parse_override
from cogexp.cli.words import Words, quote_text
from cogexp.spec import SpecError


def ask_hydra(words: Words, argv: list[str]) -> int:
    """--cfg, --info and the like: Hydra answers; a request that it refuses is a wrong request."""
    import hydra

    sizes.register()
    for override in map(parse_override, words.overrides):
        check_group(override)
    with hydra_ready(words):
        compose_one(words, words.overrides)  # a wrong word is refused in our lines, not in Hydra's
    GlobalHydra.instance().clear()
    options = [word for word in argv if not {quote_text(word), f"+{quote_text(word)}"} & set(words.overrides)]
    before, sys.argv = sys.argv, [sys.argv[0], *options, *words.overrides]
    stderr = io.StringIO()
    try:
        with redirect_stderr(stderr):
            hydra.main(config_path=str(words.config_dir), config_name=words.config_name, version_base="1.3")(
                _no_task
            )()
    except SystemExit as end:
        if end.code:
            last = (stderr.getvalue().strip() or "it says no more").splitlines()[-1]
            raise SpecError(f"Hydra cannot do this: {last.partition('error: ')[2] or last}") from None
        return 0
    except ValueError as error:
        raise SpecError(f"Hydra cannot do this: {str(error).partition(chr(10))[0]}") from None
    finally:
        sys.argv = before
    print(stderr.getvalue(), end="", file=sys.stderr)
    return 0


def _no_task(config: DictConfig) -> None:
    """Never called: --cfg and its like run nothing."""
