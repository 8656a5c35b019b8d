"""What a crowd did in a shop, as three Arrow tables: visits, pages asked for, items shown.

They are the log's tables ``sessions``, ``searches`` and ``impressions`` with what only a simulation
knows beside them: what the shopper needed, how well each item suits, how long the page took.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import duckdb
import pyarrow as pa

__all__ = ["IMPRESSION_SCHEMA", "PAGE_SCHEMA", "VISIT_SCHEMA", "CrowdEvents"]

_TIME = pa.timestamp("us")

#: One row a visit. ``day`` counts simulated days from 0. ``role``: ``shopper``, or what an attacker
#: does (``click fraud``, ``shilling``). ``ended_by``: ``bought``, ``left``, ``out of patience``,
#: ``no query`` or ``failed page``.
VISIT_SCHEMA: Final = pa.schema(
    [
        ("session_id", pa.string()),
        ("shopper_id", pa.string()),
        ("day", pa.int32()),
        ("started_at", _TIME),
        ("ended_at", _TIME),
        ("ended_by", pa.string()),
        ("role", pa.string()),
    ]
)

#: One row a page asked for. ``needed``: the item in mind. ``failure``: null where it was answered.
#: ``seconds``: waited for the target. ``ideal_gain``: discounted gain of the best page that the
#: catalogue has for this shopper and need, at most ``limit`` items; null where it is not known.
PAGE_SCHEMA: Final = pa.schema(
    [
        ("search_id", pa.string()),
        ("session_id", pa.string()),
        ("step", pa.int32()),
        ("page", pa.int32()),
        ("query", pa.string()),
        ("answered_by", pa.string()),
        ("searched_at", _TIME),
        ("limit", pa.int32()),
        ("needed", pa.string()),
        ("failure", pa.string()),
        ("seconds", pa.float64()),
        ("ideal_gain", pa.float64()),
    ]
)

#: One row an item shown. ``gain``: chance that the shopper clicks it once they look at it, without
#: what is the page's or the visit's (position, intent): how relevant it is to them.
IMPRESSION_SCHEMA: Final = pa.schema(
    [
        ("search_id", pa.string()),
        ("position", pa.int32()),
        ("item_id", pa.string()),
        ("price", pa.float64()),
        ("looked", pa.bool_()),
        ("clicked", pa.bool_()),
        ("carted", pa.bool_()),
        ("purchased", pa.bool_()),
        ("gain", pa.float64()),
    ]
)


@dataclass(frozen=True, slots=True)
class CrowdEvents:
    """Visits, pages and impressions of a crowd, as in the schemas above."""

    visits: pa.Table
    pages: pa.Table
    impressions: pa.Table

    @classmethod
    def none(cls) -> CrowdEvents:
        """A shop that nobody came to."""
        return cls(
            VISIT_SCHEMA.empty_table(), PAGE_SCHEMA.empty_table(), IMPRESSION_SCHEMA.empty_table()
        )

    @contextmanager
    def opened(self) -> Iterator[Any]:
        """A DuckDB connection in which the three tables stand under their names."""
        with duckdb.connect() as connection:
            for name in ("visits", "pages", "impressions"):
                connection.register(name, getattr(self, name))
            yield connection

    @classmethod
    def joined(cls, several: Iterable[CrowdEvents]) -> CrowdEvents:
        """All of them, in their order."""
        parts = [cls.none(), *several]
        return cls(
            pa.concat_tables([part.visits for part in parts]),
            pa.concat_tables([part.pages for part in parts]),
            pa.concat_tables([part.impressions for part in parts]),
        )
