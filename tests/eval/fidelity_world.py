"""A small shop in which queries, items and people go together, with a real log and runs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from footfall.simulator.log import Log

START = datetime(2026, 1, 5)
UNTIL = datetime(2026, 3, 1)
WORDS = {"dairy": "纯牛奶", "bakery": "brown bread", "drinks": "green tea", "garden": "rose"}
ITEMS = 48
COPIED = ("sessions", "searches", "impressions")


class HashedEncoder:
    """Vectors out of the characters of a text; enough to tell categories apart."""

    def encode(self, texts: Sequence[str]) -> Any:
        found = np.zeros((len(texts), 16))
        for place, text in enumerate(texts):
            for sign in text:
                found[place, ord(sign) % 16] += 1
        return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-9)


def category_of(item: int) -> str:
    return list(WORDS)[item % 4]


def make_items() -> list[dict[str, Any]]:
    return [
        {
            "item_id": f"i{k}",
            "text": f"{WORDS[category_of(k)]} {k}",
            "category": f"{category_of(k)} > all",
            "price": 1.0 + k % 7,
            "origin": "real",
        }
        for k in range(ITEMS)
    ]


def make_shoppers(
    origin: str, users: int, generator: np.random.Generator, *, sessions: int = 3, clicks: float = 1
) -> dict[str, list[dict[str, Any]]]:
    """Each user has one category: they ask for it and click on its items more often."""
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in COPIED}
    for user in range(users):
        own = user % 4
        for number in range(sessions):
            session = f"{origin}-{user}-{number}"
            start = START + timedelta(hours=float(generator.uniform(0, 24 * 80)))
            rows["sessions"].append(
                {
                    "session_id": session,
                    "user_id": f"{origin}-u{user}",
                    "started_at": start,
                    "ended_at": start + timedelta(minutes=float(generator.exponential(5))),
                    "origin": origin,
                }
            )
            for step in range(int(generator.integers(0, 4))):
                _page(rows, origin, session, step, own, start, generator, clicks)
    return rows


def _page(
    rows: dict[str, list[dict[str, Any]]],
    origin: str,
    session: str,
    step: int,
    own: int,
    start: datetime,
    generator: np.random.Generator,
    clicks: float,
) -> None:
    search = f"{session}/{step}"
    browses = generator.random() < 0.2
    rows["searches"].append(
        {
            "search_id": search,
            "session_id": session,
            "step": step + 1,
            "query": None if browses else list(WORDS.values())[own],
            "page": 1,
            "candidates": "logged" if origin == "real" else "simulated",
            "searched_at": start,
            "origin": origin,
        }
    )
    for position, item in enumerate(generator.permutation(ITEMS)[:6], start=1):
        liked = item % 4 == own
        chance = clicks * (0.6 if liked else 0.08) / position**0.5
        clicked = bool(generator.random() < chance)
        rows["impressions"].append(
            {
                "search_id": search,
                "position": position,
                "item_id": f"i{item}",
                "price": 1.0 + item % 7,
                "clicked": clicked,
                "purchased": clicked and bool(generator.random() < 0.3),
                "shown_at": start,
                "sample_rate": 1.0,
                "origin": origin,
            }
        )


def add(log: Log, rows: dict[str, list[dict[str, Any]]]) -> None:
    for table, found in rows.items():
        if found:
            log.append(table, pa.Table.from_pylist(found))


def add_run(log: Log, run_id: str, until: datetime | None = UNTIL) -> None:
    known = until.isoformat() if until else None
    log.start_run(run_id, "simulate", {"knowledge_until": known}, seed=0)
    log.end_run(run_id, "finished")


def copy_real(log: Log, run_id: str, *, users: int = 30) -> None:
    """Store the real sessions of the first users before ``UNTIL`` as a run of the same content."""
    who = f"""user_id IN (SELECT 'real-u' || n FROM range({users}) AS t (n))
        AND started_at < TIMESTAMP '{UNTIL}'"""
    log.execute(
        f"""INSERT INTO sessions SELECT * REPLACE ('{run_id}/' || session_id AS session_id,
            '{run_id}/' || user_id AS user_id, '{run_id}' AS origin)
        FROM sessions WHERE origin = 'real' AND {who}"""
    )
    log.execute(
        f"""INSERT INTO searches SELECT q.* REPLACE ('{run_id}/' || q.search_id AS search_id,
            '{run_id}/' || q.session_id AS session_id, 'simulated' AS candidates,
            '{run_id}' AS origin)
        FROM searches q JOIN sessions USING (session_id) WHERE q.origin = 'real' AND {who}"""
    )
    log.execute(
        f"""INSERT INTO impressions SELECT i.* REPLACE ('{run_id}/' || i.search_id AS search_id,
            '{run_id}' AS origin)
        FROM impressions i JOIN searches q USING (search_id) JOIN sessions USING (session_id)
        WHERE i.origin = 'real' AND {who}"""
    )
    add_run(log, run_id)


def make_log(folder: Path) -> Log:
    """A real log of 80 users and a run ``copy`` that holds the sessions of 30 of them."""
    log = Log.create(folder / "shop.duckdb")
    log.append("items", pa.Table.from_pylist(make_items()))
    add(log, make_shoppers("real", 80, np.random.default_rng(3)))
    copy_real(log, "copy")
    return log
