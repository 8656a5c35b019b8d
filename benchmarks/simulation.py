"""Sessions per minute, and the simulation's share of what plain vLLM reaches on its prompts.

The simulation runs on a log of Complete Journey with the bundled model; every request is kept.
Then the same prompts go to ``vllm.LLM.generate`` in one call, in the same process, on the same
loaded model, with an emptied prefix cache. Run it with::

    python benchmarks/simulation.py [--log shop.duckdb] [--sessions 100] [--runs 3]
"""

from __future__ import annotations

import argparse
import resource
import tempfile
from datetime import datetime
from pathlib import Path
from time import monotonic

from machine import describe_machine, spread

from footfall import steps
from footfall.personas import PersonaSettings
from footfall.simulator import EngineSettings, Simulation, SimulationSettings
from footfall.simulator.engines.in_process import VllmEngine
from footfall.simulator.engines.protocol import Request

UNTIL = datetime(2017, 9, 15)


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--log", type=Path, help="A log of Complete Journey; made when not given.")
    parser.add_argument("--sessions", type=int, default=100)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        log = options.log or Path(folder) / "shop.duckdb"
        if options.log is None:
            steps.ingest(steps.COMPLETE_JOURNEY, log)
        people = steps.make_personas(
            Path(folder) / "people.jsonl",
            count=100,
            log=log,
            until=UNTIL,
            settings=PersonaSettings(),
        )
        copy = Path(folder) / "copy.duckdb"
        engine = VllmEngine(EngineSettings())
        rows = []
        for run in range(options.runs):
            copy.write_bytes(log.read_bytes())
            engine._llm.reset_prefix_cache()
            clocked = Clocked(engine)
            settings = SimulationSettings(
                sessions=options.sessions, until=UNTIL, behaviour="prior", seed=run
            )
            Simulation(copy, people, clocked, settings).run()
            simulated = clocked.ended - clocked.began
            plain, plain_tokens = plain_generate(engine, clocked.requests)
            rows.append(
                (
                    60 * options.sessions / simulated,
                    clocked.output_tokens / simulated,
                    plain_tokens / plain,
                    (clocked.output_tokens / simulated) / (plain_tokens / plain),
                    len(clocked.requests) / simulated,
                    len(clocked.requests) / plain,
                    plain / simulated,
                    clocked.prompt_tokens / options.sessions,
                )
            )
        engine.close()
    print(f"{describe_machine()}; {options.runs} runs of {options.sessions} sessions\n")
    print("| figure | median (lowest to highest) |\n| --- | --- |")
    names = (
        "sessions per minute",
        "output tokens per second, simulation",
        "output tokens per second, plain `LLM.generate`",
        "share of plain vLLM, output tokens per second",
        "requests per second, simulation",
        "requests per second, plain `LLM.generate`",
        "share of plain vLLM, same requests by time",
        "prompt tokens per session",
    )
    for name, values in zip(names, zip(*rows, strict=True), strict=True):
        print(f"| {name} | {spread(values)} |")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"| peak memory | {peak:.1f} GiB |")


if __name__ == "__main__":
    main()
