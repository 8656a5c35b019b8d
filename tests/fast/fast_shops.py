"""Small logs with a planted taste, shops fitted on them, and targets that are told what to show."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa

from footfall.personas.fit import describe_users
from footfall.simulator.fast import VisitPlan
from footfall.simulator.histories import read_histories
from footfall.simulator.log import Log
from footfall.simulator.schema import ARROW_SCHEMAS
from footfall.simulator.targets.protocol import AnsweredPage

UNTIL = datetime(2026, 3, 2)
KINDS = ("pizza", "yogurt", "soup", "bread", "牛奶", "面条")
STYLES = ("plain", "family", "organic", "light", "spicy", "纯天然")


def _append(log, table, rows):
    schema = pa.schema([field for field in ARROW_SCHEMAS[table] if field.name in rows[0]])
    log.append(table, pa.Table.from_pylist(rows, schema=schema))


def item_rows():
    """72 items of six kinds, the later ones of a kind dearer."""
    return [
        {
            "item_id": f"i{kind * 12 + n:02d}",
            "text": f"{KINDS[kind]} {STYLES[n % 6]} {'small' if n < 6 else 'large'}",
            "category": f"food > {KINDS[kind]}",
            "price": 2.0 + n,
            "origin": "real",
        }
        for kind in range(6)
        for n in range(12)
    ]


def write_log(path, *, taste=True, queries=False, users=60, pages=900, seed=5):
    """Half a year of purchases, then pages of eight items, of which the liked kind is clicked.

    Without ``taste`` clicks are the same chance for everybody and everything.
    """
    rng = np.random.default_rng(seed)
    items = item_rows()
    people = [{"user_id": f"u{n:02d}", "locale": "en_US", "origin": "real"} for n in range(users)]
    purchases = []
    for n in range(users):
        for _ in range(8):
            kind = n % 6 if rng.random() < 0.8 else rng.integers(6)
            at = UNTIL - timedelta(days=float(rng.uniform(60, 180)))
            item = items[int(kind) * 12 + int(rng.integers(12))]
            purchases.append(
                {
                    "user_id": f"u{n:02d}",
                    "item_id": item["item_id"],
                    "session_id": f"p{len(purchases)}",
                    "quantity": 1.0,
                    "amount": item["price"],
                    "purchased_at": at,
                    "origin": "real",
                }
            )
    sessions, searches, impressions = [], [], []
    for n in range(pages):
        user = int(rng.integers(users))
        at = UNTIL - timedelta(days=float(rng.uniform(0.5, 50)))
        session = {"session_id": f"s{n}", "user_id": f"u{user:02d}", "origin": "real"}
        sessions.append(session | {"started_at": at})
        wanted = int(rng.integers(6)) if queries else -1
        search = {"search_id": f"s{n}/1", "session_id": f"s{n}", "step": 1, "page": 1}
        search |= {"candidates": "logged", "searched_at": at, "origin": "real"}
        searches.append(search | {"query": KINDS[wanted] if queries else None})
        shown = rng.choice(len(items), 8, replace=False)
        for position, item in enumerate(shown.tolist(), start=1):
            liked = item // 12 == (wanted if queries else user % 6)
            chance = (0.6 if liked else 0.06) if taste else 0.15
            clicked = bool(rng.random() < chance)
            impressions.append(
                {
                    "search_id": f"s{n}/1",
                    "position": position,
                    "item_id": items[item]["item_id"],
                    "clicked": clicked,
                    "shown_at": at,
                    "sample_rate": 1.0,
                    "origin": "real",
                }
            )
    with Log.create(path) as log:
        for table, rows in {
            "items": items,
            "users": people,
            "purchases": purchases,
            "sessions": sessions,
            "searches": searches,
            "impressions": impressions,
        }.items():
            _append(log, table, rows)
    return path


def personas_of(log):
    return list(describe_users(read_histories(log, until=UNTIL), None, locale="en_US"))


class ScriptedClient:
    """Answers every request by a function of it; remembers the requests."""

    name = "scripted"

    def __init__(self, answer):
        self._answer = answer
        self.requests = []
        self.batches = 0

    def ask(self, requests):
        self.batches += 1
        self.requests += requests
        found = []
        for request in requests:
            answer = self._answer(request)
            if not isinstance(answer, AnsweredPage):
                answer = AnsweredPage(tuple(answer), 0.01)
            found.append(answer)
        return found

    def fit(self, items, events):
        return False

    def close(self):
        pass


def listing(ids):
    """Answers with a part of the same list for everybody."""
    return ScriptedClient(lambda request: ids[request.offset : request.offset + request.limit])


def visits(count, *, shoppers=60, role=0, day=0, first=0, apart=timedelta(minutes=1)):
    """Visits that follow one another, each shopper in turn."""
    numbers = np.arange(first, first + count)
    started = np.datetime64(UNTIL, "us") + np.arange(count) * np.timedelta64(apart)
    return VisitPlan(
        number=numbers,
        shopper=numbers % shoppers,
        started_at=started,
        day=np.full(count, day, dtype=np.int32),
        role=np.full(count, role, dtype=np.int8),
    )
