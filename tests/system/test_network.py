"""Every failure of a network is one line: what was asked, of whom, the cause and the command that helps."""

from __future__ import annotations

import errno
import socket
import ssl
import urllib.error
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cogexp.engine import checkpoints
from cogexp.spec import ModelSpec
from cogexp.system.network import NetworkError, cause_of, explained
from tests.system.hub_server import Hub, serving

Point = Callable[[str], None]
MODEL = ModelSpec(name="cogvideox-2b", source="owner/clips", revision=None, dtype="float32")


@pytest.fixture
def hub(point_at: Point) -> Iterator[Hub]:
    with serving({"model_index.json": b"{}"}) as server:
        point_at(server.url)
        yield server


def refusal() -> str:
    """What `locate` says of a checkpoint that cannot be had; it is one line with the remedy."""
    with pytest.raises(checkpoints.MissingCheckpoint) as caught:
        checkpoints.locate(MODEL)
    text = str(caught.value)
    assert text.count("\n") == 0
    assert text.startswith("owner/clips could not be fetched from ")
    assert text.endswith("python -m cogexp fetch model=cogvideox-2b; or model.path=FOLDER")
    assert isinstance(caught.value.__cause__, NetworkError)
    return caught.value.__cause__.cause.kind


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, "login"), (403, "login"), (404, "login"), (407, "proxy"), (429, "busy"), (503, "server")],
)
def test_a_refusal_is_known_by_its_status(hub: Hub, status: int, kind: str) -> None:
    hub.status = status
    found = refusal()
    # The hub itself answers 401 for a model that is not there; other servers answer 404.
    assert found in (kind, "missing") if status == 404 else found == kind


def test_a_hub_that_hangs_is_given_up(hub: Hub) -> None:
    hub.hangs = True
    assert refusal() == "timeout"


def test_a_closed_port_is_a_refused_connection(point_at: Point) -> None:
    with socket.socket() as taken:  # bound, and nobody listens
        taken.bind(("127.0.0.1", 0))
        point_at(f"http://127.0.0.1:{taken.getsockname()[1]}")
        assert refusal() == "refused"


def test_a_name_that_nobody_knows(point_at: Point, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "whatever this system calls it")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    point_at("http://hub.invalid")
    assert refusal() == "dns"


def test_a_proxy_that_wants_a_login_refuses_the_tunnel(
    hub: Hub, point_at: Point, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.status = 407
    monkeypatch.setenv("HTTPS_PROXY", hub.url)
    point_at("https://hub.invalid")
    assert refusal() == "proxy"
    assert {method for method, _, _ in hub.asked} == {"CONNECT"}


def test_offline_mode_is_named(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert refusal() == "offline"
    assert hub.asked == []


def test_the_runs_of_a_sweep_ask_a_silent_hub_once(hub: Hub) -> None:
    hub.hangs = True
    for _ in range(3):
        refusal_again = pytest.raises(checkpoints.MissingCheckpoint, match="fetch model=cogvideox-2b")
        with refusal_again:
            checkpoints.locate(MODEL)
    assert len(hub.asked) == 1
    hub.hangs = False
    with pytest.raises(checkpoints.MissingCheckpoint, match="incomplete"):
        checkpoints.download(MODEL)  # `fetch` asks again at once


class ReadTimeout(Exception):
    """Named as httpx and requests name it."""


def wrapped(error: Exception) -> Exception:
    """As urllib3 and requests wrap: the origin stands in the arguments."""
    return RuntimeError("Max retries exceeded", error)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (urllib.error.URLError(socket.gaierror(-2, "x")), "dns"),
        (urllib.error.HTTPError("http://x", 404, "", {}, None), "missing"),  # type: ignore[arg-type]
        (OSError("Tunnel connection failed: 407 Proxy Authentication Required"), "proxy"),
        (OSError("Tunnel connection failed: 503 no"), "proxy"),
        (ssl.SSLCertVerificationError("x"), "certificate"),
        (wrapped(ConnectionRefusedError()), "refused"),
        (OSError(errno.ENETUNREACH, "x"), "refused"),
        (wrapped(ReadTimeout()), "timeout"),
        (TimeoutError(), "timeout"),
        (ConnectionResetError(), "cut off"),
        (OSError(errno.ENOSPC, "x", "/full"), "disk"),
        (PermissionError(errno.EACCES, "x", "/mine"), "disk"),
        (OSError("x"), "unknown"),
        (RuntimeError("what hf_xet says"), "unknown"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_the_errors_of_other_libraries(error: Exception, kind: str) -> None:
    cause = cause_of(error)
    assert cause is not None
    assert cause.kind == kind
    assert "\n" not in cause.text


def test_a_fault_of_our_own_is_not_the_networks() -> None:
    assert cause_of(TypeError("x")) is None
    with pytest.raises(TypeError), explained("a", "b", "c"):
        raise TypeError("x")


def test_what_a_library_says_is_shown_without_keys(tmp_path: Path) -> None:
    secret = "hf_" + "a" * 34
    cause = cause_of(RuntimeError(f"GET https://x/?token={secret}\nfailed"))
    assert cause is not None
    assert secret not in cause.text
