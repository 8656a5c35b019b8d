"""A factorisation that learns again forgets what it knew: its vectors belong to other people."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pyarrow as pa

from footfall.simulator.targets import EVENT_SCHEMA, ITEM_SCHEMA, PageRequest
from footfall.simulator.targets.als import ALSTarget

AT = datetime(2024, 1, 1)


def tables(people: int, items: int) -> tuple[pa.Table, pa.Table]:
    rng = np.random.default_rng(people)
    shop = [{"item_id": f"i{n}", "text": "x", "available": True} for n in range(items)]
    events = [
        {
            "shopper_id": f"u{person}",
            "item_id": f"i{rng.integers(items)}",
            "at": AT,
            "purchased": True,
        }
        for person in range(people)
        for _ in range(5)
    ]
    return (
        pa.Table.from_pylist(shop, schema=ITEM_SCHEMA),
        pa.Table.from_pylist(events, schema=EVENT_SCHEMA),
    )


def test_a_second_fit_gives_what_a_first_one_would_have_given():
    request = PageRequest("new", AT, history=("i1", "i2"))
    again = ALSTarget(factors=4)
    again.fit(*tables(500, 300))
    again.fit(*tables(20, 30))
    fresh = ALSTarget(factors=4)
    fresh.fit(*tables(20, 30))
    assert again.answer([request]) == fresh.answer([request])
