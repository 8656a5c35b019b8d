"""A small log with a real and a synthetic side, and score tables with a known signal."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from footfall.simulator.log import Log

START = datetime(2026, 1, 5)
CATEGORIES = ("dairy > milk", "bakery > bread", "drinks > tea", "drinks > coffee")
QUERIES = ("milk", "brown bread", "green tea", "纯牛奶", "<script>alert(1)</script>")


def _items() -> list[dict[str, Any]]:
    return [
        {
            "item_id": f"i{k}",
            "text": f"Item {k}" if k else "纯牛奶 250ml",
            "category": CATEGORIES[k % 4],
            "brand": f"brand {k % 3}",
            "price": 1.0 + k / 4,
            "origin": "real",
        }
        for k in range(40)
    ]


def make_sessions(
    origin: str, users: int, generator: np.random.Generator, *, clicks: float, top: int = 40
) -> dict[str, list[dict[str, Any]]]:
    """Sessions of three users' habits; items below ``top`` only."""
    rows: dict[str, list[dict[str, Any]]] = {n: [] for n in ("sessions", "searches", "impressions")}
    for user in range(users):
        for number in range(2):
            session = f"{origin}-{user}-{number}"
            start = START + timedelta(days=int(generator.integers(0, 60)))
            rows["sessions"].append(
                {
                    "session_id": session,
                    "user_id": f"{origin}-u{user}",
                    "started_at": start,
                    "ended_at": start + timedelta(minutes=9),
                    "ended_by": ("bought", "left")[number],
                    "origin": origin,
                }
            )
            for step in range(int(generator.integers(1, 4))):
                _search(rows, session, step, origin, generator, clicks, top, start)
    return rows


def _search(
    rows: dict[str, list[dict[str, Any]]],
    session: str,
    step: int,
    origin: str,
    generator: np.random.Generator,
    clicks: float,
    top: int,
    start: datetime,
) -> None:
    search = f"{session}/{step}"
    rows["searches"].append(
        {
            "search_id": search,
            "session_id": session,
            "step": step,
            "query": str(generator.choice(QUERIES)),
            "answered_by": "bm25",
            "page": 1,
            "candidates": "logged" if origin == "real" else "simulated",
            "searched_at": start,
            "origin": origin,
        }
    )
    for position, item in enumerate(generator.permutation(top)[:5], start=1):
        clicked = bool(generator.random() < clicks / position)
        rows["impressions"].append(
            {
                "search_id": search,
                "position": position,
                "item_id": f"i{item}",
                "price": 1.0 + item / 4,
                "clicked": clicked,
                "purchased": clicked and bool(generator.random() < 0.5),
                "shown_at": start,
                "sample_rate": 1.0,
                "origin": origin,
            }
        )


def fill(log: Log, rows: dict[str, list[dict[str, Any]]]) -> None:
    for table, found in rows.items():
        log.append(table, pa.Table.from_pylist(found))


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    generator = np.random.default_rng(7)
    with Log.create(tmp_path / "shop.duckdb") as made:
        made.append("items", pa.Table.from_pylist(_items()))
        fill(made, make_sessions("real", 60, generator, clicks=0.4))
        fill(made, make_sessions("run-1", 30, generator, clicks=0.9, top=12))
        persona = {
            "persona_id": "p0",
            "locale": "zh_CN",
            "demographics": {"age": "25-34", "city": "上海"},
            "interests": {"dairy > milk": 0.7, "drinks > tea": 0.3},
            "history": ["绿茶"],
            "price_sensitivity": 0.8,
        }
        users = [
            {
                "user_id": f"run-1-u{k}",
                "locale": "zh_CN",
                "persona": json.dumps(persona),
                "origin": "run-1",
            }
            for k in range(30)
        ]
        made.append("users", pa.Table.from_pylist(users))
        yield made


@pytest.fixture
def make_scores() -> Callable[..., pa.Table]:
    """A function that makes score tables of the same rows with signals of different strength."""

    def make(
        signal: float = 1.0, *, noise: int = 0, rows: int = 1200, rate: float = 0.2
    ) -> pa.Table:
        data, model = np.random.default_rng(1), np.random.default_rng(noise)
        label = data.random(rows) < rate
        user = data.integers(0, 150, rows)
        log_odds = np.log(rate / (1 - rate)) + signal * (label - 0.5) + model.normal(size=rows)
        return pa.table(
            {
                "label": label,
                "probability": 1 / (1 + np.exp(-log_odds)),
                "group": [f"g{k}" for k in user],
                "user_id": [f"u{k}" for k in user],
                "weight": np.ones(rows),
                "item_cold": data.random(rows) < 0.3,
                "user_cold": user % 4 == 0,
            }
        )

    return make
