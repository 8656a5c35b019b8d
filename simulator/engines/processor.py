"""What this machine's processor is good at."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["fast_dtype", "usable_cores"]

#: Where Linux lists what the processor can do.
CPUINFO = Path("/proc/cpuinfo")
#: Instructions that multiply 16-bit numbers; without them float32 is about eight times faster.
_HALF_PRECISION = {"avx512_bf16", "amx_bf16", "bf16"}


def fast_dtype() -> str:
    """``bfloat16`` on processors that multiply it in hardware, else ``float32``."""
    try:
        text = CPUINFO.read_text()
    except OSError:
        return "float32"
    for line in text.splitlines():
        name, _, flags = line.partition(":")
        if name.strip().lower() in {"flags", "features"}:
            return "bfloat16" if _HALF_PRECISION & set(flags.split()) else "float32"
    return "float32"


def usable_cores() -> list[int]:
    """Numbers of the processor cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))
