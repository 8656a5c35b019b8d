"""Small servers that answer as a test wants, or misbehave on purpose; a browser."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

#: Called with method, path and body; returns status, content type and content.
Responder = Callable[[str, str, dict[str, Any]], tuple[int, str, str]]


class SmallServer:
    """An HTTP server whose answers a test decides; it remembers requests and their keys."""

    def __init__(self, respond: Responder) -> None:
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.keys: set[str] = set()
        small = self

        class Handler(BaseHTTPRequestHandler):
            def _handle(self) -> None:
                size = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(size) or b"{}")
                small.requests.append((self.path, body))
                small.keys.add(self.headers.get("Authorization", "").removeprefix("Bearer "))
                status, kind, content = respond(self.command, self.path, body)
                data = content.encode()
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PUT = _handle  # noqa: N815

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                """Keep the test's output clean."""

        class Server(ThreadingHTTPServer):
            request_queue_size = 256  # the default of 5 resets connections that come at once

        self._server = Server(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def small_server() -> Iterator[Callable[[Responder], SmallServer]]:
    servers: list[SmallServer] = []

    def start(respond: Responder) -> SmallServer:
        servers.append(SmallServer(respond))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def chromium() -> str:
    named = os.environ.get("FOOTFALL_CHROMIUM")
    names = ("chromium", "chromium-browser", "google-chrome")
    found = named or next((path for name in names if (path := shutil.which(name))), None)
    if not found and not os.environ.get("FOOTFALL_REQUIRE_BROWSER"):
        pytest.skip("there is no Chromium; name one in FOOTFALL_CHROMIUM")
    assert found, "FOOTFALL_REQUIRE_BROWSER is set, but there is no Chromium"
    return found


@pytest.fixture
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    path = chromium()
    switches = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
    switches += [
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
    ]
    with sync_playwright() as started:
        opened = started.chromium.launch(executable_path=path, args=switches)
        yield opened
        opened.close()
