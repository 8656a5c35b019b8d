"""An interrupt that was dropped on its way is raised all the same."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import suppress

import pytest

from footfall.simulator.scale_out.interrupts import remembered_interrupt


def test_a_dropped_interrupt_is_raised_again_and_the_handler_is_put_back(interruptible):
    before = signal.getsignal(signal.SIGINT)
    with remembered_interrupt() as raise_interrupt:
        raise_interrupt()
        with suppress(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
            threading.Event().wait(5)
            pytest.fail("the interrupt itself is raised at once, as always")
        with pytest.raises(KeyboardInterrupt):
            raise_interrupt()
    assert signal.getsignal(signal.SIGINT) is before


def test_another_thread_and_an_ignored_interrupt_are_left_alone():
    before = signal.getsignal(signal.SIGINT)
    seen = []

    def elsewhere():
        with remembered_interrupt() as raise_interrupt:
            seen.append(signal.getsignal(signal.SIGINT))
            raise_interrupt()

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert seen == [before]
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with remembered_interrupt() as raise_interrupt:
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
            os.kill(os.getpid(), signal.SIGINT)
            raise_interrupt()
    finally:
        signal.signal(signal.SIGINT, before)
