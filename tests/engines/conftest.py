"""A real vLLM server."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest


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
