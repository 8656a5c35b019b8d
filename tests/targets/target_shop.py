"""A small shop that targets learn, and the reference server as a process of its own."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa

from footfall.simulator.targets import EVENT_SCHEMA, ITEM_SCHEMA, PageRequest

AT = datetime(2017, 5, 16, 9)
ROOT = Path(__file__).resolve().parents[2]
#: Every seventh item cannot be bought.
COUNT = 150
TEXTS = ("green tea", "rye bread", "纯牛奶", "dark chocolate", "thé vert")
CATEGORIES = ("tea > green", "bread", None, "sweets", "tea > green")
IDS = [f"i{number:03d}" for number in range(COUNT)]
AVAILABLE = [item_id for number, item_id in enumerate(IDS) if number % 7]


def items() -> pa.Table:
    numbers = range(COUNT)
    return pa.table(
        {
            "item_id": IDS,
            "text": [f"{TEXTS[n % 5]} {n}" for n in numbers],
            "category": [CATEGORIES[n % 5] for n in numbers],
            "brand": [f"brand {n % 3}" if n % 4 else None for n in numbers],
            "price": [1.0 + n if n % 6 else None for n in numbers],
            "first_seen": [AT - timedelta(days=n) if n % 5 else None for n in numbers],
            "available": [bool(n % 7) for n in numbers],
        },
        schema=ITEM_SCHEMA,
    )


def events() -> pa.Table:
    """Shopper u0 takes tea, u1 bread, and so on; item i takes part the more often the lower i."""
    rows = [
        {
            "shopper_id": f"u{n % 5}/{n % 3}",
            "item_id": IDS[n],
            "at": AT - timedelta(hours=5 * n + again),
            "query": TEXTS[n % 5] if again % 2 else None,
            "position": 1,
            "clicked": True,
            "purchased": bool(again % 2),
        }
        for n in range(60)
        for again in range(1 + (60 - n) // 12)
    ]
    return pa.Table.from_pylist(rows, schema=EVENT_SCHEMA)


def no_events() -> pa.Table:
    return EVENT_SCHEMA.empty_table()


def ask(query: str | None = None, *history: str, limit: int = 10, offset: int = 0) -> PageRequest:
    return PageRequest("p1", AT, query, history, "zh_CN", {"age": "19-24"}, limit, offset)


@contextmanager
def reference_server(*switches: str) -> Iterator[str]:
    """The reference server on a free port; its address."""
    command = [sys.executable, str(ROOT / "examples/reference_server.py"), "--port", "0"]
    process = subprocess.Popen(
        [*command, *switches], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stderr is not None
    # A server that hangs while it starts would otherwise hang the test that waits for its line.
    late = threading.Timer(90.0, process.kill)
    late.start()
    try:
        line = process.stdout.readline()
        late.cancel()
        assert line.startswith("reference: http"), line + process.stderr.read()
        yield line.split(": ")[1].strip()
    finally:
        late.cancel()
        process.kill()
        process.wait(10)
        process.stdout.close()
        process.stderr.close()
