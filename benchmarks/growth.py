"""Time and memory of a simulation from 100 to 10,000 shoppers, on recorded answers.

For every size a run on a log of Complete Journey is recorded once (the scripted engine answers:
what is said does not matter here), and then replayed in fresh processes, so that all that is timed
is Footfall's own work beside a language model. Run it with::

    python benchmarks/growth.py [--log shop.duckdb] [--shoppers 100 300 1000 3000 10000]
        [--repeats 3] [--scoring slate] [--json growth.json]
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from time import monotonic, process_time

from machine import describe_machine, spread
from scipy import stats

from footfall import steps
from footfall.personas import PersonaSettings
from footfall.personas.persona import Persona, read_personas, write_personas
from footfall.simulator import Simulation, SimulationSettings
from footfall.simulator.engines import Engine, RecordingEngine, ReplayEngine, ScriptedEngine

UNTIL = datetime(2017, 9, 15)
SIZES = (100, 300, 1_000, 3_000, 10_000)


class Clocked:
    """Passes on to an engine; seconds on the clock and of the processor since the first request."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.identity = engine.identity
        self.submit = engine.submit
        self.close = engine.close
        self.began: tuple[float, float] | None = None
        self.seconds = 0.0
        self.processor_seconds = 0.0

    def collect(self):
        self.began = self.began or (monotonic(), process_time())
        answers = self.engine.collect()
        self.seconds = monotonic() - self.began[0]
        self.processor_seconds = process_time() - self.began[1]
        return answers


def settings_of(sessions: int, scoring: str) -> SimulationSettings:
    return SimulationSettings(
        sessions=sessions, until=UNTIL, behaviour="prior", pilot_sessions=0, scoring=scoring
    )


def memory(field: str) -> float:
    """MiB of this process: ``VmRSS`` now, ``VmHWM`` at most since the last ``forget_peak``."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


def forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def measure(log: str, people: str, recording: str, settings: str) -> dict[str, float]:
    """Replay one run in this process and say what it took."""
    imported = memory("VmRSS")
    engine = Clocked(ReplayEngine(recording))
    with_engine = memory("VmRSS")
    personas = read_personas(people)
    with_people = memory("VmRSS")
    forget_peak()
    began = monotonic()
    summary = Simulation(
        log, personas, engine, SimulationSettings.model_validate_json(settings)
    ).run()
    return {
        "shoppers": len(personas),
        "sessions": summary.sessions,
        "requests": summary.answers,
        "shared_answers": summary.shared_answers,
        "seconds": monotonic() - began,
        "seconds_with_shoppers": engine.seconds,
        "processor_seconds_with_shoppers": engine.processor_seconds,
        "imports_mib": imported,
        "recording_mib": with_engine - imported,
        "personas_mib": with_people - with_engine,
        "run_mib": memory("VmHWM") - with_people,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def measure_size(
    log: Path, personas: Sequence[Persona], options: argparse.Namespace
) -> list[dict[str, float]]:
    """Record a run of these shoppers and replay it ``--repeats`` times, each in a process."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        people, recording, copy = (folder / part for part in ("people", "answers", "log"))
        write_personas(personas, people)
        settings = settings_of(len(personas) * options.visits, options.scoring)
        copy.write_bytes(log.read_bytes())
        engine = RecordingEngine(ScriptedEngine(), recording)
        Simulation(copy, personas, engine, settings).run()
        engine.close()
        found = []
        for _ in range(options.repeats):
            copy.write_bytes(log.read_bytes())
            command = [sys.executable, __file__, "--measure", copy, people, recording]
            result = subprocess.run(
                [*map(str, command), settings.model_dump_json()],
                check=True,
                stdout=subprocess.PIPE,
                text=True,
            )
            found.append(json.loads(result.stdout))
    return found


def exponent(rows: list[dict[str, float]], field: str) -> dict[str, float]:
    """Slope of log ``field`` over log shoppers with its 95 % interval; 1 is linear growth."""
    fit = stats.linregress(
        [math.log(row["shoppers"]) for row in rows], [math.log(row[field]) for row in rows]
    )
    width = float(stats.t.ppf(0.975, len(rows) - 2)) * fit.stderr
    return {"slope": fit.slope, "low": fit.slope - width, "high": fit.slope + width}


def show(rows: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    """Print the table; return the exponents of growth."""
    print(
        "| shoppers | sessions | requests | sessions/min | processor s/1,000 sessions "
        "| run's own memory, MiB | personas, MiB | recording, MiB | peak, MiB |"
    )
    print("| --: " * 9 + "|")
    for count in sorted({row["shoppers"] for row in rows}):
        here = [row for row in rows if row["shoppers"] == count]
        cells = [
            spread([60 * row["sessions"] / row["seconds_with_shoppers"] for row in here]),
            spread(
                [1000 * row["processor_seconds_with_shoppers"] / row["sessions"] for row in here]
            ),
            *(
                f"{statistics.median(row[field] for row in here):,.0f}"
                for field in ("run_mib", "personas_mib", "recording_mib", "peak_mib")
            ),
        ]
        first = here[0]
        print(
            f"| {count:,} | {first['sessions']:,} | {first['requests']:,} | {' | '.join(cells)} |"
        )
    found = {}
    for field in ("seconds_with_shoppers", "processor_seconds_with_shoppers"):
        found[field] = exponent(rows, field)
        print(
            f"\n{field.replace('_', ' ')} grow with shoppers to the power of "
            f"{found[field]['slope']:.3f} ({found[field]['low']:.3f} to {found[field]['high']:.3f})"
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--log", type=Path, help="A log of Complete Journey; made when not given.")
    parser.add_argument("--shoppers", type=int, nargs="+", default=SIZES)
    parser.add_argument("--visits", type=int, default=1, help="Sessions per shopper, on average.")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--scoring", choices=("item", "slate"), default="slate")
    parser.add_argument("--json", type=Path, help="Write the figures to this file too.")
    parser.add_argument("--measure", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(*options.measure)))
        return
    machine = describe_machine()
    with tempfile.TemporaryDirectory() as folder:
        log = options.log or Path(folder) / "shop.duckdb"
        if options.log is None:
            steps.ingest(steps.COMPLETE_JOURNEY, log)
        people = steps.make_personas(
            Path(folder) / "people.jsonl",
            count=max(options.shoppers),
            log=log,
            until=UNTIL,
            settings=PersonaSettings(),
        )
        rows = []
        for count in options.shoppers:
            rows += measure_size(log, people[:count], options)
    print(f"{machine}; {options.repeats} runs a size, scored by {options.scoring}\n")
    growth = show(rows)
    if options.json:
        options.json.write_text(
            json.dumps({"machine": machine, "runs": rows, "growth": growth}, indent=1),
            encoding="utf-8",
        )


if __name__ == "__main__":
    main()
