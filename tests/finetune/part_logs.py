"""A small log of searches with responses, with times or without."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa

from footfall.simulator.log import Log
from footfall.simulator.schema import ARROW_SCHEMAS

DAY0 = datetime(2026, 1, 1)
KINDS = ("soup", "bread", "soap", "lamp", "牛奶")
ITEMS = 20


def make_log(path, *, searches=120, people=30, times=True, candidates="sampled", seed=0):
    """Each search asks for a kind, shows four items and takes the first of that kind."""
    rng = np.random.default_rng(seed)
    items = [
        {
            "item_id": f"i{n:02d}",
            "text": f"{KINDS[n % len(KINDS)]} number {n}",
            "category": f"all > {KINDS[n % len(KINDS)]}",
            "price": 1.0 + n,
            "origin": "real",
        }
        for n in range(ITEMS)
    ]
    users = [
        {
            "user_id": f"u{n:02d}",
            "locale": "en_US",
            "demographics": f'{{"age": "{20 + n % 3}"}}',
            "origin": "real",
        }
        for n in range(people)
    ]
    sessions, asked, shown = [], [], []
    for n in range(searches):
        moment = DAY0 + timedelta(hours=6 * n) if times else None
        taken = int(rng.integers(ITEMS))
        places = [taken, *rng.permutation([k for k in range(ITEMS) if k != taken])[:3].tolist()]
        key = {"session_id": f"s{n:03d}", "origin": "real"}
        sessions.append({**key, "user_id": f"u{n % people:02d}", "started_at": moment})
        asked.append(
            {
                **key,
                "search_id": f"s{n:03d}/1",
                "step": 1,
                "page": 1,
                "query": f"{KINDS[taken % len(KINDS)]} {n % 7}",
                "candidates": candidates,
                "searched_at": moment,
            }
        )
        shown += [
            {
                "search_id": f"s{n:03d}/1",
                "position": position + 1,
                "item_id": f"i{place:02d}",
                "clicked": position == 0,
                "shown_at": moment,
                "clicked_at": moment if position == 0 else None,
                "sample_rate": 1.0,
                "origin": "real",
            }
            for position, place in enumerate(places)
        ]
    tables = {
        "items": items,
        "users": users,
        "sessions": sessions,
        "searches": asked,
        "impressions": shown,
    }
    with Log.create(path) as log:
        for table, rows in tables.items():
            log.append(table, pa.Table.from_pylist(rows, schema=ARROW_SCHEMAS[table]))
    return path
