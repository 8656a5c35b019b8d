"""Ctrl-C that is not lost, wherever it meets the program."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["remembered_interrupt"]


@contextmanager
def remembered_interrupt() -> Iterator[Callable[[], None]]:
    """Remember Ctrl-C while the block runs; what is yielded raises it again.

    Python drops an exception that arises where none may be raised, as in a destructor of Ray's
    references: the interrupt would be lost and the work would go on.

    Outside the main thread, or where Ctrl-C is ignored, nothing is remembered.
    """
    asked = threading.Event()

    def raise_again() -> None:
        if asked.is_set():
            raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield raise_again
        return
    usual = before

    def remember(number: int, frame: Any) -> None:
        asked.set()
        usual(number, frame)

    signal.signal(signal.SIGINT, remember)
    try:
        yield raise_again
    finally:
        signal.signal(signal.SIGINT, before)
