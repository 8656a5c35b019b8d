"""Every table and column name of the log, in one place.

One schema holds real and synthetic rows. Each row carries ``origin``: the word ``real`` or the
``run_id`` of the run that made it. Identifiers are text. Times are UTC timestamps without zone.
"""

from __future__ import annotations

from typing import Final

import pyarrow as pa

__all__ = [
    "APPLICATION",
    "ARROW_SCHEMAS",
    "DDL",
    "ORIGIN_REAL",
    "SCHEMA_VERSION",
    "TABLES",
]

APPLICATION: Final = "footfall"
SCHEMA_VERSION: Final = 1
ORIGIN_REAL: Final = "real"

_TIME = pa.timestamp("us")
_TEXT = pa.string()

#: Column order and Arrow type of every table that rows are appended to.
ARROW_SCHEMAS: Final[dict[str, pa.Schema]] = {
    # category: path from the root, joined by " > ". text: what a shopper reads about the item.
    "items": pa.schema(
        [
            ("item_id", _TEXT),
            ("text", _TEXT),
            ("category", _TEXT),
            ("brand", _TEXT),
            ("price", pa.float64()),
            ("first_seen", _TIME),
            ("origin", _TEXT),
        ]
    ),
    # demographics: JSON object of text values. persona: JSON of a Persona, or null.
    "users": pa.schema(
        [
            ("user_id", _TEXT),
            ("locale", _TEXT),
            ("demographics", _TEXT),
            ("persona", _TEXT),
            ("origin", _TEXT),
        ]
    ),
    # state: running, finished, interrupted or failed. configuration, versions: JSON.
    "runs": pa.schema(
        [
            ("run_id", _TEXT),
            ("kind", _TEXT),
            ("configuration", _TEXT),
            ("model", _TEXT),
            ("model_hash", _TEXT),
            ("seed", pa.int64()),
            ("versions", _TEXT),
            ("started_at", _TIME),
            ("ended_at", _TIME),
            ("state", _TEXT),
        ]
    ),
    # place: shop or site, where the log knows it. ended_by: bought, left, out of patience, or null.
    "sessions": pa.schema(
        [
            ("session_id", _TEXT),
            ("user_id", _TEXT),
            ("place", _TEXT),
            ("started_at", _TIME),
            ("ended_at", _TIME),
            ("ended_by", _TEXT),
            ("origin", _TEXT),
        ]
    ),
    # query: null when browsing. answered_by: what produced the slate.
    # candidates: how the shown items are known: logged, sampled, reconstructed or simulated.
    "searches": pa.schema(
        [
            ("search_id", _TEXT),
            ("session_id", _TEXT),
            ("step", pa.int32()),
            ("query", _TEXT),
            ("answered_by", _TEXT),
            ("page", pa.int32()),
            ("candidates", _TEXT),
            ("searched_at", _TIME),
            ("origin", _TEXT),
        ]
    ),
    # position: 1 is the top; null where the log has no order. clicked, carted, purchased: null
    # where the log does not record that response. score: the model's log-odds.
    # sample_rate: probability that this row was kept in the log (1 for every positive).
    "impressions": pa.schema(
        [
            ("search_id", _TEXT),
            ("position", pa.int32()),
            ("item_id", _TEXT),
            ("price", pa.float64()),
            ("clicked", pa.bool_()),
            ("carted", pa.bool_()),
            ("purchased", pa.bool_()),
            ("shown_at", _TIME),
            ("clicked_at", _TIME),
            ("purchased_at", _TIME),
            ("score", pa.float64()),
            ("sample_rate", pa.float64()),
            ("origin", _TEXT),
        ]
    ),
    # amount: paid for the whole line, in the log's currency.
    "purchases": pa.schema(
        [
            ("user_id", _TEXT),
            ("item_id", _TEXT),
            ("session_id", _TEXT),
            ("place", _TEXT),
            ("quantity", pa.float64()),
            ("amount", pa.float64()),
            ("purchased_at", _TIME),
            ("origin", _TEXT),
        ]
    ),
    # display, mailer: null where the item was not on display or not in the mailer.
    "promotions": pa.schema(
        [
            ("item_id", _TEXT),
            ("place", _TEXT),
            ("week", pa.int32()),
            ("display", _TEXT),
            ("mailer", _TEXT),
            ("origin", _TEXT),
        ]
    ),
    # row_number: 1 is the first data row of the source. content: the row as JSON.
    "rejects": pa.schema(
        [
            ("run_id", _TEXT),
            ("source", _TEXT),
            ("row_number", pa.int64()),
            ("reason", _TEXT),
            ("content", _TEXT),
        ]
    ),
}

TABLES: Final = tuple(ARROW_SCHEMAS)

_PRIMARY_KEYS: Final = {
    "items": "item_id",
    "users": "user_id",
    "runs": "run_id",
    "sessions": "session_id",
    "searches": "search_id",
}
_REQUIRED: Final = {
    "items": {"text", "origin"},
    "users": {"locale", "origin"},
    "runs": {"kind", "started_at", "state"},
    "sessions": {"user_id", "origin"},
    "searches": {"session_id", "step", "page", "candidates", "origin"},
    "impressions": {"search_id", "item_id", "sample_rate", "origin"},
    "purchases": {"user_id", "item_id", "origin"},
    "promotions": {"item_id", "origin"},
    "rejects": {"run_id", "source", "reason"},
}
_SQL_TYPES: Final = {
    _TEXT: "VARCHAR",
    _TIME: "TIMESTAMP",
    pa.float64(): "DOUBLE",
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
    pa.bool_(): "BOOLEAN",
}


def _create(table: str) -> str:
    columns = []
    for field in ARROW_SCHEMAS[table]:
        constraint = ""
        if field.name == _PRIMARY_KEYS.get(table):
            constraint = " PRIMARY KEY"
        elif field.name in _REQUIRED[table]:
            constraint = " NOT NULL"
        columns.append(f"{field.name} {_SQL_TYPES[field.type]}{constraint}")
    return f"CREATE TABLE {table} ({', '.join(columns)})"


#: Statements that make an empty log, in order.
DDL: Final = (
    "CREATE TABLE footfall_meta (key VARCHAR PRIMARY KEY, value VARCHAR NOT NULL)",
    *(_create(table) for table in TABLES),
)
