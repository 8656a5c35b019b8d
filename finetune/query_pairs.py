"""Queries with the categories of what was responded to: the rows of the query classifier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa

from footfall.errors import DataError, EmptyLogError, SettingError
from footfall.simulator.catalog import utc_moment

if TYPE_CHECKING:
    from footfall.simulator.log import Log

__all__ = ["QueryPairs", "read_query_pairs"]

Array = np.ndarray[Any, Any]

# A response counts when it came, so that none of the time after `until` is learnt from.
_RESPONSES = """
SELECT trim(s.query) AS query, i.category,
       greatest(coalesce(s.searched_at, e.started_at, m.shown_at), m.{label}_at) AS moment
FROM impressions m
JOIN searches s ON s.search_id = m.search_id
JOIN sessions e ON e.session_id = s.session_id
JOIN items i ON i.item_id = m.item_id
WHERE s.origin = 'real' AND m.origin = 'real' AND m.{label}
  AND nullif(trim(s.query), '') IS NOT NULL AND nullif(trim(i.category), '') IS NOT NULL
"""

# By time where every response has one; else a query is in one of the parts, chosen by its hash.
_PARTED = """
WITH dated AS (
    SELECT query, category, moment FROM responses
    WHERE $until::TIMESTAMP IS NULL OR moment < $until::TIMESTAMP
), bounds AS (
    SELECT count(*) = count(moment) AS has_times,
           quantile_disc(moment, 1 - $share::DOUBLE) AS cut FROM dated
)
SELECT query, category, count(*)::DOUBLE AS responses,
       CASE WHEN has_times THEN moment >= cut
            ELSE ('0x' || substr(md5($seed || '/' || query), 1, 8))::BIGINT
                 < $share::DOUBLE * 4294967296 END AS held_out
FROM dated, bounds GROUP BY ALL ORDER BY ALL
"""


@dataclass(frozen=True)
class QueryPairs:
    """Distinct (query, category) pairs and how much each counts.

    Parameters
    ----------
    queries, categories:
        What was typed, and the category path of what was responded to, each of length (pairs,).
    weights:
        How often, float64, shape (pairs,).
    """

    queries: list[str]
    categories: list[str]
    weights: Array

    @classmethod
    def of(
        cls, queries: Sequence[str], categories: Sequence[str], weights: Any = None
    ) -> QueryPairs:
        """Pairs that may repeat: a repeated one counts more, and is there once.

        Raises
        ------
        DataError
            If the lengths differ, a value is no text, or a weight is negative or not finite.
        """
        counts = np.ones(len(queries)) if weights is None else np.asarray(weights, np.float64)
        if not len(queries) == len(categories) == len(counts):
            raise DataError(
                f"There are {len(queries)} queries, {len(categories)} categories and "
                f"{len(counts)} weights."
            )
        if not np.isfinite(counts).all() or (counts < 0).any():
            raise DataError("A weight is negative or not finite.")
        try:
            table = pa.table(
                {
                    "query": pa.array(queries, pa.string()),
                    "category": pa.array(categories, pa.string()),
                    "weight": counts,
                }
            )
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise DataError(f"A query or category is no text: {error}") from error
        for name in ("query", "category"):
            if table[name].null_count:
                row = table[name].to_pylist().index(None)
                raise DataError(f"The {name} of row {row + 1:,} is missing.")
        merged = table.group_by(["query", "category"], use_threads=False)
        return cls._of_table(merged.aggregate([("weight", "sum")]), "weight_sum")

    @classmethod
    def _of_table(cls, table: pa.Table, weight: str) -> QueryPairs:
        queries, categories = table["query"].to_pylist(), table["category"].to_pylist()
        return cls(queries, categories, table[weight].to_numpy().astype(np.float64))

    def __len__(self) -> int:
        return len(self.queries)

    def take(self, rows: Array) -> QueryPairs:
        """The pairs of a boolean mask."""
        places = np.flatnonzero(rows).tolist()
        return QueryPairs(
            [self.queries[n] for n in places],
            [self.categories[n] for n in places],
            self.weights[places],
        )


def read_query_pairs(
    log: Log,
    *,
    until: datetime | None,
    label: Literal["purchased", "clicked"] = "purchased",
    validation_share: float = 0.2,
    seed: int = 0,
) -> tuple[QueryPairs, QueryPairs]:
    """What was typed before real responses, in an earlier and a later part.

    Parameters
    ----------
    log:
        An open log.
    until:
        End of the training part, exclusive; none where the log holds nothing else. Times without
        zone are UTC.
    label:
        The response.
    validation_share:
        Share of the responses that are held out: the latest, or where a response has no time,
        those of so many queries, chosen by a hash.
    seed:
        Seed of that hash.

    Raises
    ------
    SettingError
        If the label is unknown.
    EmptyLogError
        If no query was responded to, or none is left in a part.
    """
    if label not in {"purchased", "clicked"}:
        raise SettingError(f"label: {label!r} is unknown.", hint="Use 'purchased' or 'clicked'.")
    chosen = {"until": utc_moment(until), "share": validation_share, "seed": str(seed)}
    responses = log.query(_RESPONSES.format(label=label))
    table = log.query(_PARTED, chosen, responses=responses)
    held_out = table["held_out"].to_numpy(zero_copy_only=False).astype(bool)
    parts = []
    for rows, name in ((~held_out, "training"), (held_out, "validation")):
        if not rows.any():
            when = "" if until is None else f" before {until}"
            raise EmptyLogError(
                f"No query that led to a response ({label}) of a known category{when} is left for "
                f"the {name} part.",
                hint="Check --until and --label; the log needs queries, and items with categories.",
            )
        parts.append(QueryPairs._of_table(table.filter(pa.array(rows)), "responses"))
    return parts[0], parts[1]
