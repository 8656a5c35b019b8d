"""Notice the death of a model that runs in a process of its own.

vLLM marks a dead engine process, and goes on waiting for its answers all the same: whoever waits
has to be woken.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

__all__ = ["wake_on_death"]

#: How often the mark is looked at.
_SECONDS = 0.5


def wake_on_death(core: Any) -> Callable[[], None]:
    """Put an error where ``core``, vLLM's engine client, waits for answers once its process died.

    Returns what ends the watch. A client without a process of its own is not watched.
    """
    answers = getattr(core, "outputs_queue", None)
    resources = getattr(core, "resources", None)
    if answers is None or resources is None:
        return _nothing
    ended = threading.Event()

    def watch() -> None:
        from vllm.v1.engine.exceptions import EngineDeadError

        while not ended.wait(_SECONDS):
            if resources.engine_dead:
                answers.put_nowait(EngineDeadError())
                return

    thread = threading.Thread(target=watch, name="footfall-engine-watch", daemon=True)
    thread.start()

    def end() -> None:
        ended.set()
        thread.join()

    return end


def _nothing() -> None:
    """There is nothing to end."""
