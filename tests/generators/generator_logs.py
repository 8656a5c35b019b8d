"""Small logs in which it is known what depends on what."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa

from footfall.simulator.log import Log
from footfall.simulator.schema import ARROW_SCHEMAS

START = datetime(2026, 1, 5)
#: The last tenth of the pages lies after this moment.
UNTIL = START + timedelta(days=27)
#: Share of responses by category, and the middle of its prices.
RATES = {"fruit": 0.4, "tools": 0.0}
PRICES = {"fruit": 2.0, "tools": 20.0}
WORDS = {"fruit": ("fresh fruit", "苹果"), "tools": ("steel tools", "锤子")}


def _append(log, table, rows):
    schema = pa.schema([field for field in ARROW_SCHEMAS[table] if field.name in rows[0]])
    log.append(table, pa.Table.from_pylist(rows, schema=schema))


def write_log(path, *, queries=True, chinese=False, bare=False, times=True, pages=400, late=None):
    """Pages of six items of one category each: fruit is clicked, tools are not.

    Every fifth item of a category is never shown. After ``UNTIL`` the item ``late`` is shown and
    always clicked.
    """
    rng = np.random.default_rng(7)
    sessions, searches, impressions = [], [], []
    items = [
        {
            "item_id": f"{kind}-{n:02d}",
            "text": f"{WORDS[kind][chinese]} {n}",
            "category": None if bare else f"{kind} > {kind} {n % 2}",
            "price": None if bare else PRICES[kind] * (1 + rng.random()),
            "origin": "real",
        }
        for kind in RATES
        for n in range(30)
    ]
    users = [{"user_id": f"u{n}", "locale": "zh_CN", "origin": "real"} for n in range(20)]
    for n in range(pages // 2):
        kind = "fruit" if n % 2 else "tools"
        at = START + timedelta(days=30 * n / (pages // 2)) if times else None
        session = {"session_id": f"s{n}", "user_id": f"u{n % 20}", "origin": "real"}
        sessions.append(session | {"started_at": at})
        # Two pages a session: the second continues the list of the first.
        for page in (1, 2):
            search = {"search_id": f"s{n}/{page}", "session_id": f"s{n}", "step": page}
            search |= {"page": page, "candidates": "logged", "searched_at": at, "origin": "real"}
            searches.append(search | {"query": WORDS[kind][chinese] if queries else None})
            shown = [f"{kind}-{i:02d}" for i in rng.choice(24, 6, replace=False)]
            if late and times and at >= UNTIL:
                shown[0] = late
            for position, item in enumerate(shown, start=1):
                clicked = bool(rng.random() < RATES[kind]) or item == late
                impressions.append(
                    {
                        "search_id": search["search_id"],
                        "position": position,
                        "item_id": item,
                        "clicked": clicked,
                        "shown_at": at,
                        "sample_rate": 1.0 if clicked else 0.5,
                        "origin": "real",
                    }
                )
    with Log.create(path) as log:
        for table, rows in {
            "items": items,
            "users": users,
            "sessions": sessions,
            "searches": searches,
            "impressions": impressions,
        }.items():
            _append(log, table, rows)
    return path


KINDS = {
    "plain": {},
    "browsing": {"queries": False},
    "chinese": {"chinese": True},
    "bare": {"bare": True},
    "timeless": {"times": False},
}
