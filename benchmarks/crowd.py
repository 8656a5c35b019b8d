"""Sessions per second of the crowd without a language model, and how true its sessions are.

The crowd goes through an in-process target: popularity, which costs next to nothing, so that what
is timed is the crowd; and BM25 with popularity for those who browse, where most of the time is the
target's. Run it on a log of Complete Journey with::

    python benchmarks/crowd.py shop.duckdb people.jsonl [--until 2017-10-01] [--sessions 10000]
        [--runs 5] [--profile] [--compare RUN_ID] [--json crowd.json]

With ``--compare`` a run is written into a copy of the log, and its fidelity is printed beside that
of the run of a language model which the log has already.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import pstats
import resource
import shutil
import tempfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from time import monotonic

from machine import describe_machine, spread

from footfall.eval import fidelity
from footfall.personas.persona import Persona, read_personas
from footfall.simulator.arrivals import Arrivals
from footfall.simulator.fast import (
    FastCrowd,
    FastSettings,
    FastShop,
    FastSimulation,
    VisitPlan,
)
from footfall.simulator.fast.baseline import BaselineClient
from footfall.simulator.log import Log
from footfall.simulator.search import BM25Search, PopularityRecommender
from footfall.simulator.targets.protocol import AnsweredPage, PageRequest


class Clocked:
    """Asks a target and counts the seconds that it takes."""

    def __init__(self, client) -> None:
        self.client = client
        self.name = client.name
        self.seconds = 0.0

    def ask(self, requests: Sequence[PageRequest]) -> Sequence[AnsweredPage]:
        began = monotonic()
        answers = self.client.ask(requests)
        self.seconds += monotonic() - began
        return answers

    def fit(self, items, events) -> bool:  # noqa: ARG002
        return False

    def close(self) -> None:
        pass


class PopularForAll:
    """Whatever is typed, the most popular items."""

    name = "popularity"

    def __init__(self, recommender: PopularityRecommender) -> None:
        self._recommender = recommender

    def search(self, queries: Sequence[str], *, limit: int, offset: int = 0) -> list[list[str]]:
        return self._recommender.recommend(queries, limit=limit, offset=offset)


def measure(shop: FastShop, client, plan: VisitPlan, *, ideal: bool, seed: int) -> dict[str, float]:
    """One run of a plan: sessions per second, and what the target took."""
    clocked = Clocked(client)
    crowd = FastCrowd(shop, clocked, seed=seed, ideal=ideal)
    began = monotonic()
    events = crowd.run(plan)
    seconds = monotonic() - began
    return {
        "sessions per second": len(plan) / seconds,
        "sessions per second without the target's time": len(plan) / (seconds - clocked.seconds),
        "share of the time in the target": clocked.seconds / seconds,
        "pages per session": len(events.pages) / len(plan),
        "pages per second": len(events.pages) / seconds,
    }


def profile(shop: FastShop, client, plan: VisitPlan) -> None:
    """Where the time goes, function by function."""
    profiler = cProfile.Profile()
    crowd = FastCrowd(shop, client, seed=0)
    profiler.runcall(crowd.run, plan)
    pstats.Stats(profiler).sort_stats("tottime").print_stats(25)


def show(found: dict[str, list[dict[str, float]]]) -> None:
    """One table: a row for every figure, a column for every target."""
    print(f"| median (lowest to highest) | {' | '.join(found)} |")
    print("| --- " * (len(found) + 1) + "|")
    for name in next(iter(found.values()))[0]:
        cells = [spread([run[name] for run in runs]) for runs in found.values()]
        print(f"| {name} | {' | '.join(cells)} |")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"\nPeak memory: {peak:.1f} GiB")


def compare(log: Path, people: Sequence[Persona], settings: FastSettings, other: str) -> None:
    """Distances to the real log of a fast run and of another run, row by row."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy.duckdb"
        shutil.copy(log, copy)
        summary = FastSimulation(copy, people, settings).run()
        if summary.sessions_per_second:
            print(
                f"\nWritten run: {summary.sessions_per_second:,.0f} sessions per second with BM25"
            )
        with Log.open(copy) as opened:
            sides = {
                name: fidelity(opened, run_id, until=settings.until, splits=20, resamples=100)
                for name, run_id in (("fast", summary.run_id), (other, other))
            }
    rows = {name: {row.measure: row for row in found.rows} for name, found in sides.items()}
    print(f"\n| distance to the real log | {' | '.join(rows)} |")
    print("| --- " * (len(rows) + 1) + "|")
    for name in rows["fast"]:
        found = [side[name].synthetic.distance if name in side else None for side in rows.values()]
        if any(distance is not None for distance in found):
            cells = ["not measured" if each is None else f"{each:.3f}" for each in found]
            print(f"| {name} | {' | '.join(cells)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("log", type=Path)
    parser.add_argument("personas", type=Path)
    parser.add_argument("--until", type=datetime.fromisoformat, default=datetime(2017, 10, 1))
    parser.add_argument("--sessions", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--compare", metavar="RUN_ID", help="A run of a language model in the log.")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    people = read_personas(given.personas)
    with Log.open(given.log) as log:
        began = monotonic()
        shop = FastShop.open(log, people, until=given.until, seed=given.seed)
        opened = monotonic() - began
        arrivals = Arrivals.from_log(log, until=given.until, weeks=8.0)
    plan = VisitPlan.draw(people, arrivals, sessions=given.sessions, days=7, seed=given.seed)
    popular = PopularityRecommender(shop.catalog)
    targets = {
        "popularity": (BaselineClient(PopularForAll(popular), popular), True),
        "popularity, no ideal pages": (BaselineClient(PopularForAll(popular), popular), False),
        "bm25": (BaselineClient(BM25Search(shop.catalog), popular), True),
    }
    print(
        f"{describe_machine()}\n{len(shop.catalog):,} items, {len(people):,} personas, "
        f"{given.sessions:,} sessions a run, {given.runs} runs; fitted in {opened:.0f} s\n"
    )
    for line in shop.notes:
        print(line)
    found = {
        name: [
            measure(shop, client, plan, ideal=ideal, seed=given.seed + run)
            for run in range(given.runs)
        ]
        for name, (client, ideal) in targets.items()
    }
    show(found)
    if given.profile:
        profile(shop, targets["popularity"][0], plan)
    if given.json:
        given.json.write_text(json.dumps(found, indent=1), encoding="utf-8")
    if given.compare:
        settings = FastSettings(sessions=given.sessions, until=given.until, seed=given.seed)
        compare(given.log, people, settings, given.compare)


if __name__ == "__main__":
    main()
