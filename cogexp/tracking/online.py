"""Can this process log online? Answered in seconds, and never by asking the user."""

from __future__ import annotations

import os
import socket
import threading
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

PROBE_SECONDS = 4.0


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
    return None if is_reachable(url) else f"{url} does not answer"


def is_reachable(url: str, seconds: float = PROBE_SECONDS) -> bool:
    """Whether something listens at the host and port of `url`. True behind a proxy: only the proxy knows.

    W&B itself would retry a closed port until its time is up, and keep the run's id occupied afterwards.
    """
    parts = urllib.parse.urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    if parts.scheme in urllib.request.getproxies() and not urllib.request.proxy_bypass(host):
        return True
    answered = threading.Event()

    def connect() -> None:
        try:
            with socket.create_connection((host, port), timeout=seconds):
                answered.set()
        except (OSError, UnicodeError):  # the latter from host names that no name server knows
            pass
        finally:
            done.set()

    # In a thread, because a dead name server holds getaddrinfo for much longer than any socket's timeout.
    done = threading.Event()
    threading.Thread(target=connect, name="wandb-probe", daemon=True).start()
    done.wait(seconds)
    return answered.is_set()
