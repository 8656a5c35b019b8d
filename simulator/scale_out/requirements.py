"""What has to be there before a run is spread over workers; asked before any work is done."""

from __future__ import annotations

import os
import re
import socket
import sys
from importlib.util import find_spec
from pathlib import Path

from footfall.errors import (
    EngineMemoryError,
    EngineUnavailableError,
    MissingPartError,
    SettingError,
)
from footfall.simulator.engines.bundled import prepare_model
from footfall.simulator.engines.memory import available_memory, needed_memory
from footfall.simulator.engines.processor import fast_dtype
from footfall.simulator.engines.settings import EngineSettings
from footfall.simulator.engines.tuned import served_folder
from footfall.simulator.scale_out.settings import RaySettings

__all__ = ["require_reachable", "require_room", "require_scalable"]

_HOST_AND_PORT = re.compile(r"\[?([^\[\]/]+?)\]?:(\d{1,5})")
_CONNECT_SECONDS = 5.0


def require_scalable(engine: EngineSettings, settings: RaySettings) -> None:
    """Refuse what cannot be spread over workers.

    Raises
    ------
    MissingPartError
        If Ray is not installed.
    SettingError
        If answers are to be recorded: a recording has one writer.
    EngineUnavailableError
        If nothing answers at the address of the cluster that would be connected to.
    """
    if find_spec("ray") is None:
        raise MissingPartError(
            "Ray is not installed.", hint="Install it with `pip install 'footfall[ray]'`."
        )
    if engine.recording is not None and engine.kind != "replay":
        raise SettingError(
            f"`recording` ({engine.recording}) cannot be written by several workers.",
            hint="Record without --ray; a recording can be replayed with it (kind `replay`).",
        )
    # A package that was not imported was not initialised either.
    ray = sys.modules.get("ray")
    if ray is not None and ray.is_initialized():
        return
    address = settings.address or os.environ.get("RAY_ADDRESS")
    if address:
        require_reachable(address)


def require_reachable(address: str) -> None:
    """Refuse an address (host and port) where nothing answers; Ray tries for minutes.

    Raises
    ------
    EngineUnavailableError
        If no connection is made within five seconds.
    """
    parts = _HOST_AND_PORT.fullmatch(address)
    if parts is None:
        return
    try:
        socket.create_connection((parts[1], int(parts[2])), timeout=_CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise EngineUnavailableError(
            f"There is no Ray cluster at {address}: {error}.",
            hint="Check `address` (--ray-address) or RAY_ADDRESS; `ray start --head` prints it. "
            "Without one Ray is started on this machine.",
        ) from error


def require_room(engine: EngineSettings, workers: int) -> None:
    """Refuse to load more models at once than this machine has memory for.

    Raises
    ------
    EngineMemoryError
        Naming what the workers need together and what there is.
    """
    available = available_memory()
    if engine.kind != "vllm" or available is None:
        return
    dtype = fast_dtype() if engine.dtype == "auto" else engine.dtype
    folder = served_folder(prepare_model(engine.model), engine.tuning).weights
    each = needed_memory(Path(folder), dtype=dtype, kv_cache_gb=engine.kv_cache_gb)
    if each * workers > available:
        raise EngineMemoryError(
            f"{workers} workers with the model in {folder} need about "
            f"{each * workers / 2**30:.1f} GiB of memory and {available / 2**30:.1f} GiB are free.",
            hint="Use fewer `workers`, lower `kv_cache_gb`, or let all of them share one server "
            "(`kind: server`).",
        )
