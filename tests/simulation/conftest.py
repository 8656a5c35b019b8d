import signal
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from footfall.personas.persona import Persona
from footfall.simulator.log import Log
from footfall.simulator.schema import ARROW_SCHEMAS

UNTIL = datetime(2024, 3, 1)


def rows(table, records):
    return pa.Table.from_pylist(records, schema=ARROW_SCHEMAS[table])


def make_shop(path, *, sessions=300, buy_rate=0.2, seed=0):
    """A small real log: 60 items of 6 categories, 40 users with one favourite category each."""
    rng = np.random.default_rng(seed)
    kinds = ["pizza", "yogurt", "soup", "bread", "牛奶", "面条"]
    items = [
        {
            "item_id": f"i{number}",
            "text": f"{kind} {'plain' if number % 2 else 'family'} {number}",
            "category": f"food > {kind}",
            "brand": "own" if number % 3 else "other",
            "price": 1.0 + number % 7,
            "first_seen": datetime(2023, 1, 1),
            "origin": "real",
        }
        for number, kind in enumerate(np.repeat(kinds, 10))
    ]
    users = [
        {
            "user_id": f"u{n}",
            "locale": "en_US",
            "demographics": '{"age": "25-34"}',
            "origin": "real",
        }
        for n in range(40)
    ]
    tables = {"sessions": [], "searches": [], "impressions": [], "purchases": []}
    for number in range(sessions):
        user = int(rng.integers(40))
        favourite = kinds[user % len(kinds)]
        at = UNTIL - timedelta(days=int(rng.integers(1, 60)), hours=int(rng.integers(24)))
        session, search = f"s{number}", f"s{number}/1"
        tables["sessions"].append(
            {
                "session_id": session,
                "user_id": f"u{user}",
                "started_at": at,
                "ended_at": at,
                "origin": "real",
            }
        )
        tables["searches"].append(
            {
                "search_id": search,
                "session_id": session,
                "step": 1,
                "page": 1,
                "candidates": "sampled",
                "answered_by": "display",
                "searched_at": at,
                "origin": "real",
            }
        )
        for item in rng.choice(len(items), 10, replace=False):
            chance = buy_rate * (2.5 if items[item]["category"].endswith(favourite) else 0.7)
            bought = bool(rng.random() < chance)
            tables["impressions"].append(
                {
                    "search_id": search,
                    "item_id": items[item]["item_id"],
                    "purchased": bought,
                    "shown_at": at,
                    "sample_rate": 1.0,
                    "origin": "real",
                }
            )
            if bought:
                tables["purchases"].append(
                    {
                        "user_id": f"u{user}",
                        "item_id": items[item]["item_id"],
                        "session_id": session,
                        "quantity": 1.0,
                        "amount": items[item]["price"],
                        "purchased_at": at,
                        "origin": "real",
                    }
                )
    with Log.create(path) as log:
        log.append("items", rows("items", items))
        log.append("users", rows("users", users))
        for table, records in tables.items():
            log.append(table, rows(table, records))
    return path


@pytest.fixture(scope="session")
def make_log():
    return make_shop


@pytest.fixture
def shop_log(tmp_path):
    return make_shop(tmp_path / "shop.duckdb")


@pytest.fixture
def people():
    return [
        Persona(
            persona_id=f"p{n}",
            interests={"food > pizza": 0.7, "food > soup": 0.3} if n % 2 else {"food > 牛奶": 1.0},
            history=("pizza family 0",),
            patience=2.0 + n,
        )
        for n in range(5)
    ]


@pytest.fixture
def interruptible():
    """Interrupts raise, also where a shell started the tests in the background and ignores them."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
