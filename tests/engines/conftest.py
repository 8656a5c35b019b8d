"""A real vLLM server, and small servers that misbehave on purpose."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

#: Called with method, path and body; returns status, content type and content.
Responder = Callable[[str, str, dict[str, Any]], tuple[int, str, str]]


class VllmServer:
    """``python -m vllm.entrypoints.openai.api_server`` on a free port of this machine."""

    def __init__(self, model: str, log: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.address = f"http://127.0.0.1:{port}/v1"
        self.model = "bundled"
        self._log = log
        command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server"]
        command += ["--model", model, "--served-model-name", self.model, "--dtype", "float32"]
        command += ["--host", "127.0.0.1", "--port", str(port), "--enforce-eager"]
        command += ["--max-model-len", "256", "--max-num-seqs", "16", "--block-size", "32"]
        environment = {
            **os.environ,
            "VLLM_CPU_KVCACHE_SPACE": "1",
            "VLLM_NO_USAGE_STATS": "1",
            "VLLM_CPU_OMP_THREADS_BIND": ",".join(map(str, sorted(os.sched_getaffinity(0)))),
        }
        with log.open("wb") as file:
            self.process = subprocess.Popen(
                command, env=environment, stdout=file, stderr=file, start_new_session=True
            )

    def wait(self, seconds: float = 240) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.process.poll() is not None:
                break
            with contextlib.suppress(OSError), urllib.request.urlopen(self.address + "/models"):
                return
            time.sleep(0.5)
        raise AssertionError(f"vLLM's server did not start:\n{self._log.read_text()[-3000:]}")

    def kill(self) -> None:
        """End the server and the processes that it started, at once."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@pytest.fixture(scope="session")
def bundled_model() -> str:
    """Folder of the bundled model, converted on first use."""
    pytest.importorskip("vllm")
    from footfall.simulator.engines import prepare_model

    return prepare_model("smollm2-135m-instruct")


@pytest.fixture(scope="module")
def vllm_server(
    bundled_model: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[VllmServer]:
    server = VllmServer(bundled_model, tmp_path_factory.mktemp("server") / "log.txt")
    try:
        server.wait()
        yield server
    finally:
        server.kill()


class SmallServer:
    """An HTTP server whose answers a test decides; it remembers what it was asked."""

    def __init__(self, respond: Responder) -> None:
        self.requests: list[tuple[str, dict[str, Any]]] = []
        small = self

        class Handler(BaseHTTPRequestHandler):
            def _handle(self) -> None:
                size = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(size) or b"{}")
                small.requests.append((self.path, body))
                status, kind, content = respond(self.command, self.path, body)
                data = content.encode()
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = _handle  # noqa: N815

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
