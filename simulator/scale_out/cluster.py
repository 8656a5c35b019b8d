"""A Ray cluster: reached, or started on this machine, and what its workers may use."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from footfall.errors import EngineUnavailableError
from footfall.simulator.engines.settings import EngineSettings
from footfall.simulator.scale_out.settings import RaySettings

__all__ = [
    "core_binding",
    "open_cluster",
    "reason_of",
    "worker_resources",
]

#: Ray's word for starting on this machine, whatever else may run here.
_HERE = "local"
_DEAD_BECAUSE = "The actor is dead because"
_LONGEST_REASON = 300


@contextmanager
def open_cluster(settings: RaySettings) -> Iterator[Any]:
    """Ray, connected: as the caller has initialised it, at an address, or started here.

    What was connected or started here is shut down after the block; the caller's own is left.

    Raises
    ------
    EngineUnavailableError
        If there is no cluster at the address, it runs another version, or Ray cannot start.
    """
    import ray

    if ray.is_initialized():
        yield ray
        return
    address = settings.address or os.environ.get("RAY_ADDRESS") or _HERE
    arguments: dict[str, Any] = {}
    if address == _HERE:
        cpus = math.ceil(settings.workers * settings.cpus_per_worker)
        arguments = {"num_cpus": cpus, "include_dashboard": False}
    with _no_usage_statistics():
        try:
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **arguments)
        except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
            ray.shutdown()
            raise EngineUnavailableError(
                f"There is no Ray cluster to work with at {address}: {reason_of(error)}",
                hint="Check `address` (--ray-address) and that the cluster has the same versions "
                "of Python and Ray; without an address Ray is started on this machine.",
            ) from error
    try:
        yield ray
    finally:
        ray.shutdown()


@contextmanager
def _no_usage_statistics() -> Iterator[None]:
    """Nothing is reported to Ray's makers; what the user has set stays."""
    name = "RAY_USAGE_STATS_ENABLED"
    if name in os.environ:
        yield
        return
    os.environ[name] = "0"
    try:
        yield
    finally:
        os.environ.pop(name, None)


def reason_of(error: BaseException) -> str:
    """The telling part of Ray's messages, which run over many lines, in one."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if line.startswith(_DEAD_BECAUSE)]
    text = (telling or lines or [type(error).__name__])[0].removeprefix(_DEAD_BECAUSE)
    text = text.split(" Worker exit detail")[0].strip()
    return text if len(text) <= _LONGEST_REASON else text[:_LONGEST_REASON] + "…"


def worker_resources(
    settings: RaySettings, engine: EngineSettings, cluster: Mapping[str, float]
) -> dict[str, float]:
    """What Ray sets aside for a worker, in the names of its options.

    A model gets a GPU of its own where the cluster has any, unless the settings say otherwise.
    """
    gpus = settings.gpus_per_worker
    if gpus is None:
        gpus = 1.0 if engine.kind == "vllm" and cluster.get("GPU") else 0.0
    return {"num_cpus": settings.cpus_per_worker, "num_gpus": gpus}


def core_binding(
    cores: Sequence[int], place: int, settings: RaySettings, engine: EngineSettings
) -> dict[str, str]:
    """The share of a machine's cores that a worker's engine computes on.

    Every engine would bind its threads to all cores, and two would wait for each other.
    ``place`` counts the workers of this machine from 0.
    """
    if engine.kind != "vllm":
        return {}
    most = min(settings.workers, len(cores), max(1, int(len(cores) / settings.cpus_per_worker)))
    share = cores[place % most :: most]
    return {"VLLM_CPU_OMP_THREADS_BIND": ",".join(str(core) for core in share)}
