"""Can this process log online? Answered in seconds, and never by asking the user."""

from __future__ import annotations

import os
import socket
import threading
import urllib.parse
import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import Any

from cogexp.system.network import cause_of

PROBE_SECONDS = 4.0
CLOSED = ("proxy", "dns", "refused", "timeout")


def prepare_environment(folder: Path) -> None:
    """Set, where the user did not, the variables that W&B offers no setting for. Call before `import wandb`.

    Staging, cache and logs go below `folder` instead of the home. Error reports are off: on a server that
    hangs, W&B waits 10 s and more at exit to deliver them, and they hold messages that nobody redacted.
    """
    os.environ.setdefault("WANDB_DATA_DIR", str(folder.absolute() / "wandb" / "data"))
    os.environ.setdefault("WANDB_CACHE_DIR", str(folder.absolute() / "wandb" / "cache"))
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")


def why_offline(wandb: Any) -> str | None:
    """None when a key is there and the server's port answers; else the reason, one line.

    `wandb.setup` must have been called, silent: the login would ask the server for the user's name otherwise.
    """
    try:
        found = wandb.login(prompt=False, verify=False, timeout=1)
    except TypeError:
        return "this wandb cannot look for a key without asking; `pip install -U wandb` helps"
    except wandb.Error as error:  # a key that is malformed, or two kinds of credentials at once
        return f"the key cannot be used ({error})"
    if not found:
        return "no key found; `wandb login` or WANDB_API_KEY sets one"
    url = str(wandb.setup().settings.base_url)
    why = why_unreachable(url)
    return None if why is None else f"{url} does not answer: {why}"


def is_reachable(url: str, seconds: float = PROBE_SECONDS) -> bool:
    """Whether something listens at the host and port of `url`, or the proxy before it lets through."""
    return why_unreachable(url, seconds) is None


def why_unreachable(url: str, seconds: float = PROBE_SECONDS) -> str | None:
    """None when `url` can be reached, else why not, in a few words.

    W&B itself would retry a closed port until its time is up, and keep the run's id occupied afterwards; at a
    proxy that wants a login it hangs.
    """
    found: list[str | None] = []
    # In a thread, because a dead name server holds getaddrinfo for much longer than any socket's timeout.
    thread = threading.Thread(
        target=lambda: found.append(_probe(url, seconds)), name="wandb-probe", daemon=True
    )
    thread.start()
    thread.join(seconds)
    return found[0] if found else "no answer in time"


def _probe(url: str, seconds: float) -> str | None:
    parts = urllib.parse.urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    proxy = urllib.request.getproxies().get(parts.scheme)
    try:
        if proxy and not urllib.request.proxy_bypass(host):
            return _ask_proxy(url, parts.scheme, proxy, seconds)
        with socket.create_connection((host, port), timeout=seconds):
            return None
    except (OSError, UnicodeError) as error:  # the latter from host names that no name server knows
        cause = cause_of(error)
        return cause.text if cause is not None else "no such host"


def _ask_proxy(url: str, scheme: str, proxy: str, seconds: float) -> str | None:
    """Any answer of the server itself will do; a proxy of another kind than HTTP is believed."""
    if not proxy.lower().startswith(("http://", "https://")):
        return None
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({scheme: proxy}))
    try:
        opener.open(url, timeout=seconds).close()
    except (OSError, HTTPException) as error:
        cause = cause_of(error)
        return cause.text if cause is not None and cause.kind in CLOSED else None
    return None
