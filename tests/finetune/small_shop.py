"""A log and an example table under construction."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from footfall.finetune.example_table import EXAMPLE_SCHEMA, FEATURE_NAMES, Examples
from footfall.simulator.log import Log
from footfall.simulator.schema import ARROW_SCHEMAS

DAY0 = datetime(2026, 1, 1)


def day(number: float) -> datetime:
    return DAY0 + timedelta(days=number)


class Shop:
    """A log under construction; rows are dictionaries, missing columns are null."""

    def __init__(self, path: Path) -> None:
        self.log = Log.create(path)

    def add(self, table: str, *rows: dict[str, Any]) -> None:
        names = [name for name in ARROW_SCHEMAS[table].names if any(name in row for row in rows)]
        schema = pa.schema([ARROW_SCHEMAS[table].field(name) for name in names])
        self.log.append(table, pa.Table.from_pylist(list(rows), schema=schema))

    def item(self, item_id: str, text: str, category: str, price: float | None = None) -> None:
        row = {"item_id": item_id, "text": text, "category": category, "price": price}
        self.add("items", row | {"origin": "real"})

    def user(self, user_id: str, *, origin: str = "real", **values: Any) -> None:
        self.add("users", {"user_id": user_id, "locale": "en_US", "origin": origin, **values})

    def buy(
        self, user_id: str, item_id: str, at: float, *, quantity: float = 1, amount: float = 1
    ) -> None:
        row = {"user_id": user_id, "item_id": item_id, "quantity": quantity, "amount": amount}
        self.add("purchases", row | {"purchased_at": day(at), "origin": "real"})

    def slate(
        self,
        search_id: str,
        user_id: str,
        at: float | None,
        shown: dict[str, bool | None],
        *,
        query: str | None = None,
        origin: str = "real",
        label: str = "purchased",
        rate: float = 0.5,
    ) -> None:
        moment = None if at is None else day(at)
        session = f"session of {search_id}"
        self.add(
            "sessions",
            {
                "session_id": session,
                "user_id": user_id,
                "started_at": moment,
                "origin": origin,
            },
        )
        self.add(
            "searches",
            {
                "search_id": search_id,
                "session_id": session,
                "step": 1,
                "page": 1,
                "query": query,
                "candidates": "sampled",
                "searched_at": moment,
                "origin": origin,
            },
        )
        self.add(
            "impressions",
            *(
                {
                    "search_id": search_id,
                    "position": place,
                    "item_id": item,
                    label: response,
                    "shown_at": moment,
                    "sample_rate": 1.0 if response else rate,
                    "origin": origin,
                }
                for place, (item, response) in enumerate(shown.items(), start=1)
            ),
        )


def build(rows: list[dict[str, Any]]) -> Examples:
    """Examples from rows; columns that a row lacks take a default."""
    filled = []
    for number, row in enumerate(rows):
        default = {
            "example_id": f"e{number}",
            "search_id": f"s{number}",
            "session_id": row.get("search_id", f"s{number}"),
            "user_id": "u",
            "item_id": "i",
            "query": None,
            "shopper_text": "someone",
            "shopper_profile": row.get("shopper_text", "someone"),
            "shopper_demographics": "{}",
            "shopper_history": [],
            "item_text": "something",
            "item_category": None,
            "item_brand": None,
            "label": False,
            "weight": 1.0,
            "sample_rate": 1.0,
            "origin": "real",
            "shown_at": DAY0,
            "position": None,
            "score": None,
            "item_cold": False,
            "user_cold": False,
        }
        filled.append(default | dict.fromkeys(FEATURE_NAMES, 0.0) | row)
    return Examples(pa.Table.from_pylist(filled, schema=EXAMPLE_SCHEMA))
