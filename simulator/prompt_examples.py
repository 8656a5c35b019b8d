"""Patterns for the query prompt, taken from the shop's own log or, failing that, catalogue."""

from __future__ import annotations

from datetime import datetime

from footfall.simulator.catalog import utc_moment
from footfall.simulator.log import Log
from footfall.simulator.needs import CATEGORY_SEPARATOR
from footfall.simulator.prompts import QueryExample

__all__ = ["read_query_examples"]


def read_query_examples(
    log: Log, *, until: datetime | None = None, count: int = 4, seed: int = 0
) -> tuple[QueryExample, ...]:
    """Item texts with the real queries that led to them; with their category where none did."""
    rows = log.query(
        """
        SELECT DISTINCT ON (query) query, items.text AS wanted
        FROM searches JOIN impressions USING (search_id) JOIN items USING (item_id)
        WHERE searches.origin = 'real' AND query IS NOT NULL AND (clicked OR purchased)
          AND ($until IS NULL OR searched_at < $until) AND length(query) BETWEEN 2 AND 40
        ORDER BY query, md5(search_id || $seed), item_id
        """,
        {"until": utc_moment(until), "seed": str(seed)},
    )
    if rows.num_rows >= count:
        rows = log.query(
            "SELECT * FROM examples ORDER BY md5(query || $seed), query LIMIT $count",
            {"seed": str(seed), "count": count},
            examples=rows,
        )
        return tuple(QueryExample(row["wanted"], row["query"]) for row in rows.to_pylist())
    rows = log.query(
        """
        SELECT text AS wanted, category FROM items
        WHERE category IS NOT NULL AND length(text) BETWEEN 4 AND 80
        ORDER BY md5(item_id || $seed), item_id LIMIT $count
        """,
        {"seed": str(seed), "count": count},
    )
    return tuple(
        QueryExample(row["wanted"], row["category"].split(CATEGORY_SEPARATOR)[-1].lower())
        for row in rows.to_pylist()
    )
