"""Sessions per minute, and the simulation's share of what plain vLLM reaches on its prompts.

The simulation runs on a log of Complete Journey with the bundled model, once with a question per
item, once with a question per page and once by query likelihood; every request that reaches the
engine is kept. Then the same prompts go to ``vllm.LLM.generate`` in one call, in the same process,
on the same loaded model, with an emptied prefix cache. Run it with::

    python benchmarks/simulation.py [--log shop.duckdb] [--sessions 100] [--runs 3]
        [--scoring item slate query] [--json simulation.json]
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from time import monotonic

from machine import describe_machine, spread

from footfall import steps
from footfall.personas import PersonaSettings
from footfall.personas.persona import Persona
from footfall.simulator import EngineSettings, Simulation, SimulationSettings
from footfall.simulator.engines.in_process import VllmEngine
from footfall.simulator.engines.protocol import Request

UNTIL = datetime(2017, 9, 15)
SHOPPERS = 100


class Clocked:
    """Keeps every request, and the time from the first request to the last answer."""

    def __init__(self, engine: VllmEngine) -> None:
        self.engine = engine
        self.identity = engine.identity
        self.requests: list[Request] = []
        self.output_tokens = 0
        self.prompt_tokens = 0
        self.began = 0.0
        self.ended = 0.0

    def submit(self, request: Request) -> int:
        if not self.requests:
            self.began = monotonic()
        self.requests.append(request)
        return self.engine.submit(request)

    def collect(self):
        answers = self.engine.collect()
        self.ended = monotonic()
        for _, answer in answers:
            self.output_tokens += answer.output_tokens
            self.prompt_tokens += answer.prompt_tokens
        return answers

    def close(self) -> None:
        self.engine.close()


def plain_generate(engine: VllmEngine, requests: list[Request]) -> tuple[float, int]:
    """Seconds and output tokens of one plain call with the same prompts and parameters."""
    engine._llm.reset_prefix_cache()
    prompts = [engine._prompt(request) for request in requests]
    parameters = [engine._parameters(request) for request in requests]
    began = monotonic()
    outputs = engine._llm.generate(prompts, parameters, use_tqdm=False)
    seconds = monotonic() - began
    return seconds, sum(len(output.outputs[0].token_ids) for output in outputs)


def measure(
    log: Path, people: Sequence[Persona], engine: VllmEngine, settings: SimulationSettings
) -> dict[str, float]:
    """Simulate on a copy of the log, then answer the same requests plainly."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy.duckdb"
        copy.write_bytes(log.read_bytes())
        engine._llm.reset_prefix_cache()
        clocked = Clocked(engine)
        summary = Simulation(copy, people, clocked, settings).run()
    simulated = clocked.ended - clocked.began
    plain, plain_tokens = plain_generate(engine, clocked.requests)
    asked = len(clocked.requests)
    return {
        "sessions per minute": 60 * settings.sessions / simulated,
        "engine tokens per session, read": clocked.prompt_tokens / settings.sessions,
        "engine tokens per session, written": clocked.output_tokens / settings.sessions,
        "requests per session": summary.answers / settings.sessions,
        "pages per session": summary.searches / settings.sessions,
        "share of requests answered without the engine": 1 - asked / summary.answers,
        "requests per second, simulation": asked / simulated,
        "requests per second, plain `LLM.generate`": asked / plain,
        "share of plain vLLM, same requests by time": plain / simulated,
        "output tokens per second, simulation": clocked.output_tokens / simulated,
        "output tokens per second, plain `LLM.generate`": plain_tokens / plain,
        "share of plain vLLM, output tokens per second": (clocked.output_tokens / simulated)
        / (plain_tokens / plain),
    }


def show(found: dict[str, list[dict[str, float]]]) -> None:
    """One table: a row for every figure, a column for every way of scoring."""
    print(f"| median (lowest to highest) | {' | '.join(found)} |")
    print("| --- " * (len(found) + 1) + "|")
    for name in next(iter(found.values()))[0]:
        cells = [spread([run[name] for run in runs]) for runs in found.values()]
        print(f"| {name} | {' | '.join(cells)} |")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"\nPeak memory, the engine's included: {peak:.1f} GiB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--log", type=Path, help="A log of Complete Journey; made when not given.")
    parser.add_argument("--sessions", type=int, default=100)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument(
        "--scoring",
        nargs="+",
        choices=("item", "slate", "query"),
        default=("item", "slate", "query"),
    )
    parser.add_argument("--json", type=Path, help="Write the figures to this file too.")
    options = parser.parse_args()
    found: dict[str, list[dict[str, float]]] = {scoring: [] for scoring in options.scoring}
    with tempfile.TemporaryDirectory() as folder:
        log = options.log or Path(folder) / "shop.duckdb"
        if options.log is None:
            steps.ingest(steps.COMPLETE_JOURNEY, log)
        people = steps.make_personas(
            Path(folder) / "people.jsonl",
            count=SHOPPERS,
            log=log,
            until=UNTIL,
            settings=PersonaSettings(),
        )
        engine = VllmEngine(EngineSettings())
        for run in range(options.runs):
            for scoring, runs in found.items():
                settings = SimulationSettings(
                    sessions=options.sessions,
                    until=UNTIL,
                    behaviour="prior",
                    pilot_sessions=0,  # so that every request belongs to a session
                    scoring=scoring,
                    seed=run,
                )
                runs.append(measure(log, people, engine, settings))
        engine.close()
    machine = describe_machine()
    print(f"{machine}; {options.runs} runs of {options.sessions} sessions\n")
    show(found)
    if options.json:
        options.json.write_text(
            json.dumps({"machine": machine, "runs": found}, indent=1), encoding="utf-8"
        )


if __name__ == "__main__":
    main()
