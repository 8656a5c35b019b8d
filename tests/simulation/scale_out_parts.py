"""Search engines that workers import: some misbehave on purpose."""

import os
import signal
import threading
import time

from footfall.errors import EngineUnavailableError


class Trap:
    """A search engine that does ``deed`` at the ``at``-th search of a process, ``times`` times."""

    def __init__(self, inner, folder, deed, *, at, times=1):
        self.inner, self.folder, self.deed, self.at, self.times = inner, folder, deed, at, times
        self.searches = 0
        self.name = inner.name

    def search(self, queries, *, limit, offset=0):
        self.searches += 1
        (self.folder / f"process-{os.getpid()}").touch()
        if self.searches == self.at and self._claims():
            self.deed()
        return self.inner.search(queries, limit=limit, offset=offset)

    def _claims(self):
        for number in range(self.times):
            try:
                (self.folder / f"deed-{number}").touch(exist_ok=False)
            except FileExistsError:
                continue
            return True
        return False


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def fail():
    raise EngineUnavailableError("The engine has died.", hint="Start it again.")


def stumble():
    return 1 / 0


class Meet:
    """Wait until two processes have searched."""

    def __init__(self, folder):
        self.folder = folder

    def __call__(self):
        end = time.monotonic() + 60
        while len(list(self.folder.glob("process-*"))) < 2 and time.monotonic() < end:
            time.sleep(0.02)


class Interrupt:
    """Ctrl-C in the terminal of the driver."""

    def __init__(self):
        self.driver = os.getpid()

    def __call__(self):
        os.kill(self.driver, signal.SIGINT)
        time.sleep(60)


class Locked:
    """A search engine that cannot be pickled, as one with a connection cannot."""

    name = "locked"

    def __init__(self, catalog):
        self.catalog = catalog
        self.lock = threading.Lock()

    def search(self, queries, *, limit, offset=0):
        with self.lock:
            return [self.catalog.item_ids[offset:][:limit].tolist() for _ in queries]
