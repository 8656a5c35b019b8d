"""Does the model fit? Asked before loading, because the system kills what does not."""

from __future__ import annotations

import json
from pathlib import Path

from footfall.errors import EngineMemoryError

__all__ = ["available_memory", "needed_memory", "require_memory", "weight_bytes"]

#: Where Linux tells the memory that can be had without swapping.
MEMINFO = Path("/proc/meminfo")
#: The limit and use of a container, where there is one (control groups, version 2).
CONTAINER = Path("/sys/fs/cgroup")
#: What torch and vLLM themselves take, beside weights and cache (measured: 1.3 GB).
ENGINE_BYTES = 1_300_000_000

_WEIGHT_FILES = ("*.safetensors", "*.bin", "*.pt", "*.gguf")


def available_memory() -> int | None:
    """Bytes that a new process can use, or ``None`` where the system does not say."""
    found = [value for value in (_from_meminfo(), _from_container()) if value is not None]
    return min(found) if found else None


def _from_meminfo() -> int | None:
    try:
        lines = MEMINFO.read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        name, _, rest = line.partition(":")
        if name == "MemAvailable" and rest.split()[0].isdecimal():
            return int(rest.split()[0]) * 1024
    return None


def _from_container() -> int | None:
    try:
        limit = (CONTAINER / "memory.max").read_text().strip()
        used = (CONTAINER / "memory.current").read_text().strip()
    except OSError:
        return None
    return max(0, int(limit) - int(used)) if limit.isdecimal() and used.isdecimal() else None


def weight_bytes(folder: Path) -> int:
    """Bytes of a model's weight files: of the first kind that the folder has any of."""
    for pattern in _WEIGHT_FILES:
        sizes = [path.stat().st_size for path in folder.glob(pattern)]
        if sizes:
            return sum(sizes)
    return 0


def needed_memory(folder: Path, *, dtype: str, kv_cache_gb: float) -> int:
    """Bytes that an engine on the processor takes: weights as loaded, cache, and itself."""
    weights = weight_bytes(folder)
    if dtype == "float32" and _stored_dtype(folder) in {"bfloat16", "float16"}:
        weights *= 2
    return weights + int(kv_cache_gb * 2**30) + ENGINE_BYTES


def _stored_dtype(folder: Path) -> str:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    if not isinstance(config, dict):
        return ""
    return str(config.get("dtype") or config.get("torch_dtype") or "")


def require_memory(folder: Path, *, dtype: str, kv_cache_gb: float) -> None:
    """Refuse to load what would not fit.

    Raises
    ------
    EngineMemoryError
        Naming what is needed, what there is, and which setting to lower.
    """
    available = available_memory()
    needed = needed_memory(folder, dtype=dtype, kv_cache_gb=kv_cache_gb)
    if available is not None and needed > available:
        raise EngineMemoryError(
            f"The model in {folder} needs about {needed / 2**30:.1f} GiB of memory "
            f"({kv_cache_gb:g} GiB of it cache) and {available / 2**30:.1f} GiB are free.",
            hint="Close other programs, lower `kv_cache_gb`, choose a smaller model, or use a "
            "server on another machine (`kind: server`).",
        )
