"""Whether recommenders stand in the same order before simulated shoppers as on real responses.

    python benchmarks/stress_order.py LOG PERSONAS --until 2017-10-01 [--weeks 4]

Each target learns from the real log before ``--until``. On the real side it is asked for one page
for every real person who responds in the weeks after: with each query that led to a click where
the log has queries, else once, for what they take in those weeks; its score is the reciprocal rank
of what they took (NDCG of it where there are no queries). On the simulated side a crowd, fitted on
the same part, visits each target, and the score is clicks a visit. Kendall's tau tells how far the
two orders agree; its interval resamples real people and simulated shoppers.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
from machine import describe_machine
from scipy.stats import kendalltau

from footfall.eval.results import format_number, rows_to_markdown
from footfall.eval.stress.crowds import play
from footfall.eval.stress.scenario import Scenario
from footfall.eval.stress.settings import StressSettings
from footfall.eval.stress.world import StressWorld, apply_scenario, read_world
from footfall.personas import read_personas
from footfall.simulator import Log
from footfall.simulator.crowd_events import CrowdEvents
from footfall.simulator.fast import FastShop
from footfall.simulator.targets import PageRequest, TargetClient
from footfall.simulator.targets.registry import open_target
from footfall.stress_crowds import open_crowd_maker

Array = np.ndarray[Any, Any]

#: Name in the table, and what is opened.
TARGETS: dict[str, tuple[str, dict[str, Any]]] = {
    "random": ("random", {}),
    "popularity": ("popularity", {}),
    "BM25": ("bm25", {}),
    "content, words": ("content", {"encoder": "words"}),
    "ALS, 4 factors": ("als", {"factors": 4}),
    "ALS, 16 factors": ("als", {"factors": 16}),
    "ALS, 64 factors": ("als", {"factors": 64}),
    "ALS, 128 factors": ("als", {"factors": 128}),
}

_TAKEN = """
SELECT user_id, query, list(DISTINCT item_id) AS items, min("at") AS "at" FROM (
    SELECT user_id, query, item_id, searched_at AS "at"
    FROM impressions JOIN searches USING (search_id)
    JOIN sessions ON sessions.session_id = searches.session_id
    WHERE impressions.origin = 'real' AND (clicked OR purchased) AND query IS NOT NULL
    UNION ALL
    SELECT user_id, NULL, item_id, purchased_at FROM purchases WHERE origin = 'real'
      AND NOT EXISTS (FROM searches WHERE origin = 'real' AND query IS NOT NULL)
) WHERE "at" >= $until AND "at" < $until_end
GROUP BY user_id, query ORDER BY hash(user_id || coalesce(query, '')) LIMIT $most
"""
_BEFORE = """
SELECT shopper_id, list(item_id ORDER BY "at")[-100:] AS items FROM events
WHERE coalesce(clicked, false) OR coalesce(purchased, false) GROUP BY shopper_id
"""


def real_requests(
    log: Log, world: StressWorld, until: datetime, weeks: float, most: int
) -> tuple[list[PageRequest], list[set[str]]]:
    """One page a person (or query), and what they took."""
    with duckdb.connect() as connection:
        connection.register("events", world.events)
        before = dict(connection.execute(_BEFORE).fetchall())
    rows = log.query(
        _TAKEN, {"until": until, "until_end": until + timedelta(weeks=weeks), "most": most}
    ).to_pylist()
    known = set(world.catalog.item_ids.tolist())
    requests, taken = [], []
    for row in rows:
        found = set(row["items"]) & known
        if found:
            history = tuple(before.get(row["user_id"], ()))
            requests.append(PageRequest(row["user_id"], until, row["query"], history, limit=50))
            taken.append(found)
    return requests, taken


def real_scores(client: TargetClient, requests: Sequence[PageRequest], taken: Any) -> Array:
    """NDCG of each page, shape (requests,); with one item taken, a function of its rank alone."""
    scores = []
    for answered, wanted in zip(client.ask(requests), taken, strict=True):
        hits = np.array([item in wanted for item in answered.item_ids], float)
        discounts = 1 / np.log2(np.arange(2, 52))
        ideal = discounts[: min(50, len(wanted))].sum()
        scores.append(float(hits @ discounts[: len(hits)]) / ideal)
    return np.array(scores)


def simulated_clicks(events: CrowdEvents, shoppers: Sequence[str]) -> tuple[Array, Array]:
    """Clicks and visits of each shopper."""
    with events.opened() as connection:
        counted = connection.execute(
            "SELECT shopper_id, count(DISTINCT session_id), count(*) FILTER (clicked) FROM visits "
            "LEFT JOIN pages USING (session_id) LEFT JOIN impressions USING (search_id) GROUP BY 1"
        ).fetchall()
    found = {shopper: (visits, clicks) for shopper, visits, clicks in counted}
    both = np.array([found.get(shopper, (0, 0)) for shopper in shoppers], float)
    return both[:, 1], both[:, 0]


def taus(real: Array, clicks: Array, visits: Array, resamples: int) -> tuple[float, Array]:
    """Kendall's tau and that of resampled people: ``real`` (targets, people), others alike."""
    rng = np.random.default_rng(0)

    def one(people: Array, shoppers: Array) -> float:
        simulated = (clicks @ shoppers) / np.maximum(visits @ shoppers, 1)
        return float(kendalltau(real @ people / people.sum(), simulated).statistic)

    found = one(np.ones(real.shape[1]), np.ones(clicks.shape[1]))
    drawn = [
        one(
            np.bincount(rng.integers(0, size, size), minlength=size).astype(float),
            np.bincount(rng.integers(0, other, other), minlength=other).astype(float),
        )
        for size, other in [(real.shape[1], clicks.shape[1])] * resamples
    ]
    return found, np.array(drawn)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("log", type=Path)
    parser.add_argument("personas", type=Path)
    parser.add_argument("--until", type=datetime.fromisoformat, required=True)
    parser.add_argument("--weeks", type=float, default=4.0)
    parser.add_argument("--sessions", type=int, default=5000)
    parser.add_argument("--most", type=int, default=2000, help="real pages asked for, at most")
    parser.add_argument("--resamples", type=int, default=1000)
    options = parser.parse_args()
    people = read_personas(options.personas)
    real, clicks, visits = [], [], []
    with Log.open(options.log) as log:
        world = read_world(log, people, until=options.until)
        shop = FastShop.open(log, people, until=world.until)
        steady = Scenario(name="steady-traffic", description="Nothing changes.")
        played = apply_scenario(steady, world, sessions=options.sessions, days=7, seed=0)
        requests, taken = real_requests(log, world, options.until, options.weeks, options.most)
        # Without queries BM25 is popularity by another name.
        queried = any(request.query for request in requests)
        settings = StressSettings(
            until=options.until,
            sessions=options.sessions,
            browsing_share=None if queried else 1.0,
        )
        targets = {name: made for name, made in TARGETS.items() if queried or name != "BM25"}
        with open_crowd_maker(log, shop, people, settings, None) as maker:
            for name, made in targets.values():
                client = open_target(name, options=made)
                events = play(played, client, maker).events
                found = simulated_clicks(events, [persona.persona_id for persona in people])
                clicks.append(found[0])
                visits.append(found[1])
                real.append(real_scores(client, requests, taken))
                client.close()
    scores = np.array(real)
    tau, drawn = taus(scores, np.array(clicks), np.array(visits), options.resamples)
    rows = [
        [
            name,
            format_number(float(scores[place].mean())),
            format_number(float(clicks[place].sum() / visits[place].sum())),
        ]
        for place, name in enumerate(targets)
    ]
    print(describe_machine())
    print(f"{len(requests):,} real pages; {options.sessions:,} simulated visits a target\n")
    print(
        rows_to_markdown(["target", "NDCG@50 of real responses", "simulated clicks a visit"], rows)
    )
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    print(f"Kendall's tau {tau:.2f} ({low:.2f} to {high:.2f})")


if __name__ == "__main__":
    main()
