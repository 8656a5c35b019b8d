"""What the printed figures were measured on, and how they are printed."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Sequence
from pathlib import Path

__all__ = ["describe_machine", "spread"]


def describe_machine(*, gpu: bool = False) -> str:
    """Processor, cores, memory and Python version in one line; ``gpu``: and the GPUs found."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    flags = next((line for line in lines if line.startswith("flags")), "")
    widest = next((f for f in ("amx_bf16", "avx512f", "avx2") if f in flags), "no AVX2")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cores = len(os.sched_getaffinity(0))
    return (
        f"{names[0] if names else platform.machine()} ({widest}), {cores} cores, "
        f"{memory:.0f} GiB, {_gpus() if gpu else 'no GPU used'}, Python {platform.python_version()}"
    )


def _gpus() -> str:
    """The GPUs that training finds."""
    import torch

    names = [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())]
    return ", ".join(names) or "no CUDA device found"


def spread(values: Sequence[float]) -> str:
    """Median, lowest and highest of several runs."""
    return f"{statistics.median(values):,.2f} ({min(values):,.2f} to {max(values):,.2f})"
