"""Why something could not be had over the network: any library's exception, as one cause in plain words.

The libraries differ by version: huggingface_hub has used requests, httpx and httpx2, torch.hub uses urllib.
None is imported here; an error is known by what all of them keep: its chain, HTTP status and errno.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from cogexp.system.faults import redacted_line

LIBRARIES = ("httpx", "httpx2", "httpcore", "httpcore2", "requests", "urllib3", "huggingface_hub", "hf_xet")
LINE = 160


@dataclass(frozen=True, kw_only=True)
class Cause:
    """`kind` is a word for programs; `text` is a clause that stands by itself."""

    kind: str
    text: str


class Unavailable(RuntimeError):
    """Something needed is not on this machine and cannot be had; the message, one line, says what helps."""


class NetworkError(OSError):
    """What could not be fetched, why, and the command that helps, in one line."""

    def __init__(self, message: str, cause: Cause) -> None:
        super().__init__(message)
        self.cause = cause


@contextmanager
def explained(what: str, host: str, remedy: str) -> Iterator[None]:
    """Around requests over the network: raises NetworkError for what fails in them for a reason outside."""
    try:
        yield
    except NetworkError:
        raise
    except Exception as error:
        if (cause := cause_of(error)) is None:
            raise
        text = f"{what} could not be fetched from {host}: {cause.text}; {remedy}"
        raise NetworkError(text, cause) from error


def cause_of(error: BaseException) -> Cause | None:
    """The cause, or None for an error that is none of the network's or the disk's."""
    links = list(_chain(error))
    for rule in RULES:
        for link in links:
            if (cause := rule(link)) is not None:
                return cause
    if isinstance(error, (OSError, RuntimeError)) or _library(error):
        return Cause(kind="unknown", text=redacted_line(error, LINE))
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and all that it came from, each once; some libraries keep the origin in their arguments."""
    found: list[BaseException] = []
    waiting = [error]
    while waiting:
        link = waiting.pop(0)
        if any(link is known for known in found):
            continue
        found.append(link)
        yield link
        origins = (link.__cause__, link.__context__, getattr(link, "reason", None), *link.args)
        waiting += [origin for origin in origins if isinstance(origin, BaseException)]


def _offline(error: BaseException) -> Cause | None:
    if type(error).__name__ != "OfflineModeIsEnabled":
        return None
    return Cause(kind="offline", text="HF_HUB_OFFLINE forbids it")


def _proxy(error: BaseException) -> Cause | None:
    """A proxy's refusal of a tunnel has no status of its own, only a text; urllib's is a plain OSError."""
    name, text = type(error).__name__, str(error)
    wants_login = re.search(r"\b407\b", text) and ("Proxy" in name or "unnel" in text)
    if _status(error) == 407 or wants_login:
        text = "the proxy wants a login (407): HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT"
    elif "ProxyError" in name or "Tunnel connection failed" in text:
        text = "the proxy does not let it through (HTTPS_PROXY, HTTP_PROXY)"
    else:
        return None
    return Cause(kind="proxy", text=text)


ANSWERS = {
    401: Cause(kind="login", text="the server wants a login, or has no such thing (401): HF_TOKEN=TOKEN"),
    403: Cause(
        kind="login", text="access is refused (403): accept the licence on its page, then HF_TOKEN=TOKEN"
    ),
    404: Cause(kind="missing", text="the server has no such thing (404)"),
    429: Cause(kind="busy", text="the server was asked too often (429)"),
}


def _answered(error: BaseException) -> Cause | None:
    status = _status(error)
    if type(error).__name__ == "GatedRepoError":
        return ANSWERS[403]
    if status is None or status < 400:
        return None
    if status in ANSWERS:
        return ANSWERS[status]
    whose = "has a fault of its own" if status >= 500 else "refuses"
    return Cause(kind="server", text=f"the server {whose} ({status})")


def _status(error: BaseException) -> int | None:
    """The HTTP status of an error that has one."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status is None and type(error).__module__.startswith("urllib"):
        status = getattr(error, "code", None)
    return status if isinstance(status, int) else None


def _certificate(error: BaseException) -> Cause | None:
    if "SSLError" not in _kinds(error):
        return None
    text = "the server's certificate is not trusted; that of a proxy which opens TLS: SSL_CERT_FILE=FILE"
    return Cause(kind="certificate", text=text)


def _name(error: BaseException) -> Cause | None:
    if not {"gaierror", "NameResolutionError"} & set(_kinds(error)):
        return None
    return Cause(kind="dns", text="the server's name is not known here (no network, or no DNS)")


def _refused(error: BaseException) -> Cause | None:
    if not (isinstance(error, ConnectionRefusedError) or _errno(error) in UNREACHABLE):
        return None
    return Cause(kind="refused", text="the connection is refused, or there is no way to the server")


def _timeout(error: BaseException) -> Cause | None:
    if not isinstance(error, TimeoutError) and not re.search("Time(d)?[oO]ut", type(error).__name__):
        return None
    return Cause(kind="timeout", text="the server does not answer in time")


def _cut_off(error: BaseException) -> Cause | None:
    names = ("IncompleteRead", "ProtocolError", "ReadError", "ChunkedEncodingError", "ContentTooShortError")
    closed = isinstance(error, (ConnectionResetError, ConnectionAbortedError, BrokenPipeError))
    if not (closed or type(error).__name__.endswith(names) or "Consistency check failed" in str(error)):
        return None
    return Cause(kind="cut off", text="the connection was cut off; what has come is kept")


def _disk(error: BaseException) -> Cause | None:
    if _errno(error) in FULL:
        return Cause(kind="disk", text=f"the disk is full{_where(error)}")
    if isinstance(error, PermissionError) or _errno(error) == errno.EROFS:
        return Cause(kind="disk", text=f"the folder cannot be written{_where(error)}")
    return None


FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}
UNREACHABLE = {errno.ECONNREFUSED, errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN}
# In this order: what is told by several links of one chain is told by the first rule.
RULES: tuple[Callable[[BaseException], Cause | None], ...] = (
    _offline, _proxy, _answered, _certificate, _name, _disk, _refused, _timeout, _cut_off,
)  # fmt: skip


def _kinds(error: BaseException) -> list[str]:
    """The names of its classes: modules that only the network needs are not loaded for them."""
    return [kind.__name__ for kind in type(error).__mro__]


def _errno(error: BaseException) -> int | None:
    return error.errno if isinstance(error, OSError) else None


def _where(error: BaseException) -> str:
    name = getattr(error, "filename", None)
    return f": {name}" if name else ""


def _library(error: BaseException) -> bool:
    return any(kind.__module__.partition(".")[0] in LIBRARIES for kind in type(error).__mro__)
