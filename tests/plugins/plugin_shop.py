"""A small shop with queries, clicks, purchases and personas; Chinese among them."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from footfall.personas import Persona, write_personas
from footfall.simulator.log import Log
from footfall.simulator.schema import ARROW_SCHEMAS

KINDS = ("pizza", "yogurt", "soup", "牛奶")
UNTIL = datetime(2026, 4, 1)


def _table(name, rows):
    columns = [column for column in ARROW_SCHEMAS[name].names if column in rows[0]]
    schema = pa.schema([ARROW_SCHEMAS[name].field(column) for column in columns])
    return pa.Table.from_pylist(rows, schema=schema)


def _fill(log, rng):
    items = [
        {
            "item_id": f"i{number}",
            "text": f"{kind} number {number}",
            "category": f"food > {kind}",
            "price": 1.0 + number / 5,
            "origin": "real",
        }
        for number, kind in enumerate(np.repeat(KINDS, 6).tolist())
    ]
    log.append("items", _table("items", items))
    users = [{"user_id": f"u{n}", "locale": "en_US", "origin": "real"} for n in range(30)]
    log.append("users", _table("users", users))
    sessions, searches, shown = [], [], []
    for number in range(300):
        user = int(rng.integers(30))
        kind = KINDS[user % 4]
        at = UNTIL - timedelta(days=float(rng.uniform(0.2, 50)))
        sessions.append(
            {"session_id": f"s{number}", "user_id": f"u{user}", "started_at": at, "origin": "real"}
        )
        searches.append(
            {
                "search_id": f"p{number}",
                "session_id": f"s{number}",
                "step": 1,
                "page": 1,
                "query": kind if number % 3 else None,
                "candidates": "logged",
                "searched_at": at,
                "origin": "real",
            }
        )
        for position, item in enumerate(rng.permutation(24)[:8].tolist(), 1):
            suits = items[item]["category"].endswith(kind)
            clicked = bool(rng.random() < (0.6 if suits else 0.06))
            shown.append(
                {
                    "search_id": f"p{number}",
                    "position": position,
                    "item_id": f"i{item}",
                    "clicked": clicked,
                    "purchased": clicked and bool(rng.random() < 0.5),
                    "shown_at": at,
                    "sample_rate": 1.0,
                    "origin": "real",
                }
            )
    for name, rows in (("sessions", sessions), ("searches", searches), ("impressions", shown)):
        log.append(name, _table(name, rows))


def people():
    return [
        Persona(
            persona_id=f"p{number}",
            locale="zh_CN" if number % 4 == 3 else "en_US",
            interests={f"food > {KINDS[number % 4]}": 1.0},
            price_sensitivity=0.2,
            patience=2.0,
            exploration=0.2,
            activity=1.0 + number % 3,
            history=(f"{KINDS[number % 4]} number {6 * (number % 4)}",),
        )
        for number in range(12)
    ]


@pytest.fixture(scope="session")
def plugin_shop(tmp_path_factory):
    """Folder with ``shop.duckdb`` and ``people.jsonl``."""
    folder = tmp_path_factory.mktemp("plugin-shop")
    with Log.create(folder / "shop.duckdb") as log:
        _fill(log, np.random.default_rng(0))
    write_personas(people(), folder / "people.jsonl")
    return folder
