"""What users did, read from a log for the persona room."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from footfall.errors import DataError
from footfall.simulator.catalog import utc_moment
from footfall.simulator.schema import ORIGIN_REAL

if TYPE_CHECKING:
    from footfall.simulator.log import Log

__all__ = ["read_demographics", "read_histories", "read_pages"]

_ORDER: Final = "ORDER BY user_id, occurred_at, session_id, item_id"

_PURCHASES: Final = f"""
SELECT user_id, text, category, brand, price, occurred_at, session_id FROM (
    SELECT user_id, item_id, text, category, brand,
           CASE WHEN quantity > 0 AND isfinite(amount) THEN amount / quantity
                ELSE items.price END AS price,
           purchased_at AS occurred_at, session_id
    FROM purchases JOIN items USING (item_id)
    WHERE purchases.origin = $origin
      AND ($until::TIMESTAMP IS NULL OR purchased_at < $until::TIMESTAMP)
) {_ORDER}
"""

_RESPONSES: Final = f"""
SELECT user_id, text, category, brand, price, occurred_at, session_id FROM (
    SELECT user_id, item_id, text, category, brand,
           coalesce(impressions.price, items.price) AS price, session_id,
           coalesce(purchased_at, clicked_at, shown_at, searched_at, started_at) AS occurred_at
    FROM impressions JOIN items USING (item_id)
    JOIN searches USING (search_id) JOIN sessions USING (session_id)
    WHERE (clicked OR purchased) AND impressions.origin = $origin
) WHERE $until::TIMESTAMP IS NULL OR occurred_at < $until::TIMESTAMP {_ORDER}
"""

_PAGES: Final = """
SELECT user_id, sum(pages)::DOUBLE AS pages, count(*)::DOUBLE AS sessions FROM (
    SELECT user_id, session_id, count(DISTINCT search_id) AS pages
    FROM sessions JOIN searches USING (session_id)
    WHERE sessions.origin = $origin AND query IS NOT NULL
      AND ($until::TIMESTAMP IS NULL
           OR coalesce(searched_at, started_at) < $until::TIMESTAMP)
    GROUP BY ALL
) GROUP BY user_id ORDER BY user_id
"""


def read_histories(
    log: Log, *, until: datetime | None = None, origin: str = ORIGIN_REAL
) -> pa.Table:
    """Past purchases, or past clicks where the log has no purchases.

    One row each, sorted by user and time: ``user_id``, ``text``, ``category``, ``brand``,
    ``price`` (of one piece, in the log's currency), ``occurred_at``, ``session_id``. Purchases
    come from the table ``purchases``; a log without any there (before ``until``) gives its
    clicked or purchased impressions. An empty table means that there is neither.

    Parameters
    ----------
    log:
        The log.
    until:
        Only what happened before this moment; a moment without zone is UTC.
    origin:
        ``real`` or a run's id.
    """
    parameters = {"origin": origin, "until": utc_moment(until)}
    purchases = log.query(_PURCHASES, parameters)
    return purchases if purchases.num_rows else log.query(_RESPONSES, parameters)


def read_demographics(log: Log, *, users: pa.Table | None = None) -> pa.Table | None:
    """Known attributes of real users: ``user_id`` and one text column an attribute.

    With ``users`` (``user_id``) of those, real or not.

    Null where an attribute is unknown; ``None`` when nothing is known of anybody. Users of whom
    nothing is known are left out.

    Raises
    ------
    DataError
        If a user's demographics are no JSON object.
    """
    known = "SELECT user_id, demographics FROM users WHERE demographics IS NOT NULL"
    if users is None:
        known += f" AND origin = '{ORIGIN_REAL}' ORDER BY user_id"
        rows = log.query(known)
    else:
        known += " AND user_id IN (SELECT user_id FROM wanted) ORDER BY user_id"
        rows = log.query(known, wanted=users)
    records = {
        user_id: _parse(user_id, text)
        for user_id, text in zip(
            rows["user_id"].to_pylist(), rows["demographics"].to_pylist(), strict=True
        )
    }
    records = {user_id: record for user_id, record in records.items() if record}
    names = list(dict.fromkeys(name for record in records.values() for name in record))
    if not names:
        return None
    columns = {
        name: pa.array([record.get(name) for record in records.values()], pa.string())
        for name in names
    }
    return pa.table({"user_id": pa.array(list(records), pa.string()), **columns})


def _parse(user_id: str, text: str) -> dict[str, str]:
    try:
        record = json.loads(text)
        return {str(name): str(value) for name, value in record.items() if value not in (None, "")}
    except (ValueError, AttributeError) as error:
        raise DataError(
            f"users, user_id {user_id!r}, demographics: not a JSON object.",
            hint='Write an object of text values such as {"age": "25-34"}, or null.',
        ) from error


def read_pages(
    log: Log, *, until: datetime | None = None, origin: str = ORIGIN_REAL
) -> pa.Table | None:
    """Result pages seen: ``user_id``, ``pages``, ``sessions``; sessions without a query left out.

    ``None`` where the log holds no queries; patience then keeps its prior.
    """
    pages = log.query(_PAGES, {"origin": origin, "until": utc_moment(until)})
    return pages if pages.num_rows else None
