"""Several processes that train one model, as `accelerate launch` or `torchrun` start them.

Imports accelerate; load it only where a model is trained.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = [
    "is_main_process",
    "local_device",
    "of_main_process",
    "one_device",
    "process_count",
    "wait_for_all",
]


def _state(device: str) -> Any:
    import torch
    from accelerate import PartialState

    # The first caller in a process decides the device; without launcher variables this is cheap.
    return PartialState(cpu=device == "cpu" or not torch.cuda.is_available())


def is_main_process(device: str) -> bool:
    """Whether this process writes files and shows progress; true where there is only one."""
    return bool(_state(device).is_main_process)


def process_count(device: str) -> int:
    """Processes that train together."""
    return int(_state(device).num_processes)


def wait_for_all(device: str) -> None:
    """Go on when all processes have come here."""
    _state(device).wait_for_everyone()


def of_main_process(value: Mapping[str, float], device: str) -> Mapping[str, float]:
    """The main process's numbers, in all of them.

    Sums differ in their last digits between processes; what decides whether to go on has to be the
    same number everywhere, or one process waits for another that has stopped.
    """
    if process_count(device) == 1:
        return value
    from accelerate.utils import broadcast_object_list

    told = [dict(value)]
    broadcast_object_list(told, from_process=0)
    return told[0]


def local_device(device: str) -> Any:
    """Where this process computes: its GPU, or the processor."""
    return _state(device).device


def one_device(arguments: Any) -> Any:
    """Trainer arguments whose process uses one device, however many it sees.

    Without a launcher the Trainer would spread each batch over all visible GPUs (DataParallel),
    which parts the rows from their texts. Several GPUs are used by several processes.
    """
    arguments._n_gpu = min(arguments.n_gpu, 1)
    return arguments
