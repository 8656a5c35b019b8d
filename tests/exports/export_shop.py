from datetime import datetime, timedelta

import pyarrow as pa
import pytest

from footfall.simulator.log import Log
from footfall.simulator.schema import ARROW_SCHEMAS

DAY0 = datetime(2026, 1, 1)
MILK = "纯牛奶 250ml，整箱"
HOSTILE = 'Cheese\t12" wheel\r\n"best"\u2028 '


def day(number):
    return DAY0 + timedelta(days=number)


def add(log, table, *rows):
    names = [name for name in ARROW_SCHEMAS[table].names if any(name in row for row in rows)]
    schema = pa.schema([ARROW_SCHEMAS[table].field(name) for name in names])
    log.append(table, pa.Table.from_pylist(list(rows), schema=schema))


def visit(log, user, number, shown, *, origin="real", query=None, **session):
    """A visit of one page on day ``number``; ``shown``: item to its responses."""
    name = f"{user}-{number}-{origin}"
    add(
        log,
        "sessions",
        {
            "session_id": name,
            "user_id": user,
            "started_at": day(number),
            "origin": origin,
            **session,
        },
    )
    add(
        log,
        "searches",
        {
            "search_id": name + "-1",
            "session_id": name,
            "step": 1,
            "page": 1,
            "query": query,
            "candidates": "logged",
            "searched_at": day(number) + timedelta(minutes=1),
            "origin": origin,
        },
    )
    add(
        log,
        "impressions",
        *(
            {
                "search_id": name + "-1",
                "position": position,
                "item_id": item,
                "sample_rate": 1.0,
                "origin": origin,
                **responses,
            }
            for position, (item, responses) in enumerate(shown.items(), 1)
        ),
    )


@pytest.fixture
def shop(tmp_path):
    """Two real users and a run: Chinese, hostile text, nulls, purchases off the record."""
    path = tmp_path / "shop.duckdb"
    with Log.create(path) as log:
        for run, kind in (("ingest-shop", "ingest"), ("sim-1", "simulation"), ("sim-2", "sim")):
            add(
                log,
                "runs",
                {"run_id": run, "kind": kind, "started_at": DAY0, "state": "finished"},
            )
        add(
            log,
            "items",
            *(
                row | {"origin": "real"}
                for row in (
                    {"item_id": "milk", "text": MILK, "category": "食品 > 乳制品", "price": 3.5},
                    {"item_id": "NA", "text": "NULL", "category": "Food", "brand": 'O"y 100%'},
                    {"item_id": "a\tb", "text": HOSTILE, "price": float("nan")},
                    {"item_id": "a b", "text": "Plain", "first_seen": day(9)},
                )
            ),
        )
        add(
            log,
            "users",
            {
                "user_id": "小明",
                "locale": "zh_CN",
                "demographics": '{"age band": "25-34", "a/b~\'c": "x\\ty", "locale": "Beijing"}',
                "origin": "real",
            },
            {"user_id": "u2", "locale": "en_US", "origin": "real"},
            {"user_id": "p1", "locale": "en_US", "persona": "{}", "origin": "sim-1"},
        )
        bought = {"clicked": True, "purchased": True}
        ignored = {"clicked": False, "purchased": False}
        visit(log, "小明", 1, {"milk": bought, "NA": ignored}, query="牛奶\t整箱")
        visit(log, "小明", 3, {"a\tb": {"clicked": True}, "a b": {}}, query='"NA"')
        visit(log, "u2", 5, {"milk": ignored})
        visit(log, "p1", 20, {"milk": ignored, "a b": bought}, origin="sim-1", query="milk")
        purchase = {"user_id": "小明", "item_id": "milk", "origin": "real", "quantity": 2.0}
        add(
            log,
            "purchases",
            purchase | {"session_id": "小明-1-real", "amount": 7.0, "purchased_at": day(1)},
            purchase | {"item_id": "NA", "amount": 5.0, "purchased_at": day(2)},
            {"user_id": "u2", "item_id": "a b", "origin": "real"},
        )
        add(log, "promotions", {"item_id": "milk", "week": 1, "origin": "real"})
        add(log, "rejects", {"run_id": "ingest-shop", "source": "x.csv", "reason": "no id"})
    return path
