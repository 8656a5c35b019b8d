"""A program that runs one simulation again and again in forked children, and kills them.

Everything is imported and the recording read before the first fork, and this process itself never
opens a log or starts a thread: a child begins at once, and dies like any other process.

Usage: ``killed_runs.py RECORDING PEOPLE SETTINGS``. Each line of the input is an order such as
``{"log": "shop.duckdb", "shopping": true, "seconds": 0.5}``: run on this log, and die by SIGKILL so
many seconds (null: never) after the first shopper's first query, or where ``shopping`` is false
after the start. Each line of the output says how it went: ``killed``, whether the run was still
going on, ``opened``, the seconds to the first query (null: there was none), and ``seconds`` in all.
"""

import json
import os
import select
import signal
import sys
import traceback
from time import monotonic

from footfall.personas.persona import read_personas
from footfall.simulator.engines import ReplayEngine, TextRequest
from footfall.simulator.simulation import Simulation, SimulationSettings


class Telling:
    """An engine that writes to a pipe when the first shopper of the run types a query."""

    def __init__(self, engine, pipe):
        self.engine = engine
        self.identity = engine.identity
        self.collect = engine.collect
        self.pipe = pipe
        self.told = False

    def submit(self, request):
        if not self.told and isinstance(request, TextRequest) and request.draw[:1].isdigit():
            os.write(self.pipe, b".")
            self.told = True
        return self.engine.submit(request)


def main(recording, people, settings):
    engine, personas = ReplayEngine(recording), read_personas(people)
    settings = SimulationSettings.model_validate_json(settings)
    print("ready", flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        began = monotonic()
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            status = 1
            try:
                Simulation(order["log"], personas, Telling(engine, writing), settings).run()
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)
        os.close(writing)
        opened = None
        if order["shopping"]:
            opened = monotonic() - began if os.read(reading, 1) else None
        killed = end(child, order["seconds"])
        os.close(reading)
        print(json.dumps({"killed": killed, "opened": opened, "seconds": monotonic() - began}))
        sys.stdout.flush()


def end(child, seconds):
    """Wait for the child, or kill it after so many seconds; whether it was killed."""
    watch = os.pidfd_open(child)
    try:
        select.select([watch], [], [], seconds)
    finally:
        os.close(watch)
    if seconds is not None:
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return True
    if os.WEXITSTATUS(status):
        raise RuntimeError("The simulation failed; see above.")
    return False


if __name__ == "__main__":
    main(*sys.argv[1:])
