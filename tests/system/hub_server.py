"""A hub of models on loopback that can be made to fail: its API, its files with digests, sizes and ranges."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass(kw_only=True)
class Hub:
    """What the server has and how it behaves; `asked` is what it was asked for.

    status: this answer to everything (a proxy's 407, a gated 401). hangs: no answer until `released`. cut: a
    file ends after so many bytes, and the server fails from then on. spoiled: other bytes than announced.
    """

    files: dict[str, bytes]
    large: tuple[str, ...] = ()  # known by their SHA-256
    status: int = 0
    hangs: bool = False
    cut: int | None = None
    spoiled: bool = False
    asked: list[tuple[str, str, str]] = field(default_factory=list)  # method, path, Range
    released: threading.Event = field(default_factory=threading.Event)
    url: str = ""

    def mend(self) -> None:
        """All is well from now on."""
        self.status, self.hangs, self.cut, self.spoiled = 0, False, None, False

    def ranges(self, name: str) -> list[str]:
        """The Range of each request for a file's content, '' for all of it."""
        return [asked for method, path, asked in self.asked if method == "GET" and path.endswith(name)]

    def digest(self, name: str) -> str:
        content = self.files[name]
        large = hashlib.sha256(content).hexdigest()
        return large if name in self.large else hashlib.sha1(content).hexdigest()

    def describe(self, name: str) -> dict[str, Any]:
        """A file as the API lists it."""
        size = len(self.files[name])
        found: dict[str, Any] = {"type": "file", "path": name, "rfilename": name, "size": size}
        found |= {"oid": self.digest(name)[:40], "blobId": self.digest(name)[:40]}
        if name in self.large:
            sha = self.digest(name)
            found["lfs"] = {"oid": sha, "sha256": sha, "size": size, "pointerSize": 130}
        return found


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_CONNECT(self) -> None:
        self._answer(body=False)

    def log_message(self, *_: Any) -> None:
        """Nothing on stderr: the tests read it."""

    def _answer(self, *, body: bool) -> None:
        hub, path = self.hub, urlsplit(self.path).path
        hub.asked.append((self.command, path, self.headers.get("Range", "")))
        if hub.hangs:
            hub.released.wait(20)
            self.close_connection = True
        elif hub.status:
            self._send(hub.status, b"", body=body)
        elif path.startswith("/api/models/"):
            listed = [hub.describe(name) for name in hub.files]
            found = listed if "/tree/" in path else {"id": "m", "sha": COMMIT, "siblings": listed}
            self._send(200, json.dumps(found).encode(), {"Content-Type": "application/json"}, body=body)
        else:
            self._file(next((name for name in hub.files if path.endswith(f"/{name}")), None), body=body)

    def _file(self, name: str | None, *, body: bool) -> None:
        if name is None:
            self._send(404, b"", body=body)
            return
        content, hub = self.hub.files[name], self.hub
        headers = {"ETag": f'"{hub.digest(name)}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        if name in hub.large:
            headers |= {"X-Linked-ETag": f'"{hub.digest(name)}"', "X-Linked-Size": str(len(content))}
        start = (
            int(self.headers["Range"].removeprefix("bytes=").rstrip("-")) if "Range" in self.headers else 0
        )
        status = 206 if start else 200
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        if hub.spoiled:
            content = bytes(len(content))
        self._send(status, content[start:], headers, body=body, cut=hub.cut)

    def _send(
        self,
        status: int,
        content: bytes,
        headers: dict[str, str] | None = None,
        *,
        body: bool,
        cut: int | None = None,
    ) -> None:
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if body:
            self.wfile.write(content[:cut])
            if cut is not None and cut < len(content):
                self.wfile.flush()
                self.close_connection = True
                self.hub.status = 503


@contextmanager
def serving(files: dict[str, bytes], large: tuple[str, ...] = ()) -> Iterator[Hub]:
    """The hub, answering until the block ends."""
    hub = Hub(files=files, large=large)
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.released.set()
        server.shutdown()
        server.server_close()
        thread.join()
