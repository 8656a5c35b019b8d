"""An engine's settings on their way to the workers, whose machines know less than the driver's."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from footfall.models import BUNDLED_LANGUAGE_MODEL
from footfall.simulator.engines.settings import BUILT_IN_KINDS, EngineSettings

__all__ = ["needed_variables", "portable_settings"]


def portable_settings(engine: EngineSettings) -> EngineSettings:
    """The same settings with whole paths: a worker may run in another folder.

    Of ``vllm`` only, ``model`` may be a folder; to others it is a name, which stays as it is.
    """
    changes: dict[str, Any] = {}
    if engine.recording is not None:
        changes["recording"] = engine.recording.absolute()
    if engine.kind == "vllm" and engine.model.lower() != BUNDLED_LANGUAGE_MODEL:
        folder = Path(engine.model).expanduser()
        if folder.is_dir():
            changes["model"] = str(folder.absolute())
    return engine.model_copy(update=changes)


def needed_variables(engine: EngineSettings) -> dict[str, str]:
    """The server's key, by the name of its environment variable, where this process has one.

    Engines that ask no server get none: a key goes no further than it has to.
    """
    if engine.kind in BUILT_IN_KINDS and engine.kind != "server":
        return {}
    key = os.environ.get(engine.api_key_env)
    return {} if key is None else {engine.api_key_env: key}
