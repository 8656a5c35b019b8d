"""One vector of numbers per session, the same for real and for synthetic ones.

Only what both sides record becomes a feature: a number that one side lacks would tell the sides
apart by how they were logged, not by how people behaved.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from footfall.eval.distinctness import query_words
from footfall.eval.likeness_counts import SESSIONS_CTE, SHOWN_CTE, Response, place_users

if TYPE_CHECKING:
    from footfall.eval.likeness_counts import Sides

__all__ = ["FEATURES", "SessionFeatures", "read_session_features"]

Floats: TypeAlias = npt.NDArray[np.float64]
Integers: TypeAlias = npt.NDArray[np.int64]

#: Feature to what it is, in words.
FEATURES: Final[dict[str, str]] = {
    "pages": "pages of results",
    "further_pages": "pages after the first of a list",
    "searches": "lists of results asked for by a query",
    "browsed": "pages opened without a query",
    "queries": "different queries",
    "query_length": "mean words of a query",
    "clicks": "items clicked",
    "carts": "items put in the cart",
    "purchases": "items bought",
    "first_position": "highest position responded to",
    "price": "log of the mean price of the items responded to",
    "categories": "entropy of the categories of the items responded to, in bits",
    "items": "different items among those responded to",
    "duration": "log of the minutes",
    "hour": "hour of the day at the start",
    "weekend": "on a Saturday or Sunday",
}


@dataclass(frozen=True, slots=True)
class SessionFeatures:
    """Features of the sessions of both sides.

    ``values`` has the shape ``(sessions, features)`` with ``nan`` where a session has no such
    number (no query, no response); ``user`` is the index of its user within its side.
    """

    names: tuple[str, ...]
    values: Floats
    synthetic: npt.NDArray[np.bool_]
    user: Integers

    def column(self, name: str) -> Floats | None:
        """Values of one feature, shape ``(sessions,)``; ``None`` where a side lacks it."""
        return self.values[:, self.names.index(name)] if name in self.names else None

    def with_responses(self, responses: Sequence[Response]) -> SessionFeatures:
        """Without made sessions that lack a response which every real session has."""
        names = {"clicked": "clicks", "carted": "carts", "purchased": "purchases"}
        kept = ~self.synthetic
        there = np.ones(len(kept), dtype=np.bool_)
        for response in responses:
            column = self.column(names[response])
            if column is not None:
                there &= column > 0
        kept = kept | there
        return SessionFeatures(self.names, self.values[kept], self.synthetic[kept], self.user[kept])

    def side(self, *, synthetic: bool) -> tuple[Floats, Integers]:
        """Values and users of one side."""
        chosen = self.synthetic == synthetic
        return self.values[chosen], self.user[chosen]


_BY_PAGE: Final = """
    by_page AS (
        SELECT c.session_id,
            count(*) FILTER (WHERE q.candidates IN ('logged', 'simulated')) AS pages,
            count(*) FILTER (WHERE q.page > 1) AS further_pages,
            count(*) FILTER (WHERE q.page = 1 AND trim(q.query) <> '') AS searches,
            count(*) FILTER (WHERE coalesce(trim(q.query), '') = '') AS browsed,
            count(DISTINCT q.query) FILTER (WHERE trim(q.query) <> '') AS queries,
            avg(words.words) AS query_length
        FROM chosen c JOIN searches q USING (session_id)
            LEFT JOIN query_words words ON words.query = q.query
        GROUP BY c.session_id)"""
_BY_IMPRESSION: Final = """
    by_impression AS (
        SELECT session_id, count(*) FILTER (WHERE clicked) AS clicks,
            count(*) FILTER (WHERE carted) AS carts,
            count(*) FILTER (WHERE purchased) AS purchases,
            min(position) FILTER (WHERE {response}) AS first_position
        FROM shown GROUP BY session_id)"""
_BY_RESPONSE: Final = """
    by_response AS (
        SELECT session_id, sum(p.amount) AS bought, count(DISTINCT p.item_id) AS items,
            avg(coalesce(p.price, items.price)) AS price,
            entropy(coalesce(nullif(trim(items.category), ''), '-')) AS categories
        FROM positives p LEFT JOIN items USING (item_id) GROUP BY session_id)"""
_SELECT: Final = """
    SELECT synthetic, user_id, coalesce(pages, 0) AS pages,
        coalesce(further_pages, 0) AS further_pages, coalesce(searches, 0) AS searches,
        coalesce(browsed, 0) AS browsed, coalesce(queries, 0) AS queries, query_length,
        coalesce(clicks, 0) AS clicks, coalesce(carts, 0) AS carts,
        coalesce(CASE WHEN $outside THEN bought ELSE purchases END, 0) AS purchases,
        first_position, CASE WHEN price >= 0 THEN ln(1 + price) END AS price, categories,
        coalesce(items, 0) AS items,
        CASE WHEN ended_at >= started_at
            THEN ln(1 + (epoch(ended_at) - epoch(started_at)) / 60) END AS duration,
        hour(started_at) AS hour,
        (isodow(started_at) >= 6)::DOUBLE AS weekend
    FROM chosen JOIN sessions USING (session_id, user_id)
        LEFT JOIN by_page USING (session_id) LEFT JOIN by_impression USING (session_id)
        LEFT JOIN by_response USING (session_id)
    ORDER BY session_id"""


def read_session_features(sides: Sides, response: Response, *, outside: bool) -> SessionFeatures:
    """Read the features of all chosen sessions with one statement.

    Parameters
    ----------
    sides:
        The run and the real sessions.
    response:
        Behind the prices, categories and positions: clicked, carted or purchased.
    outside:
        Whether the real side's purchases are those of the table ``purchases``.
    """
    queries = sides.query(
        [SESSIONS_CTE],
        """SELECT DISTINCT query FROM chosen JOIN searches USING (session_id)
        WHERE trim(query) <> '' ORDER BY query""",
        {},
    )["query"].combine_chunks()
    words = [float(len(query_words(query))) for query in queries.to_pylist()]
    lengths = pa.table({"query": queries.cast(pa.string()), "words": pa.array(words, pa.float64())})
    ctes = [
        SESSIONS_CTE,
        SHOWN_CTE,
        sides.positives(response, outside=outside),
        _BY_PAGE,
        _BY_IMPRESSION.format(response=response),
        _BY_RESPONSE,
    ]
    rows = sides.query(ctes, _SELECT, {"outside": outside}, query_words=lengths)
    synthetic = rows["synthetic"].to_numpy()
    columns = {
        name: pc.fill_null(rows[name].cast(pa.float64()), np.nan).to_numpy() for name in FEATURES
    }
    names = _recorded(sides, columns, synthetic, outside=outside)
    values = (
        np.column_stack([columns[name] for name in names])
        if names
        else np.zeros((len(synthetic), 0))
    )
    return SessionFeatures(names, values, synthetic, place_users(rows, sides.users))


def _recorded(
    sides: Sides, columns: dict[str, Floats], synthetic: npt.NDArray[np.bool_], *, outside: bool
) -> tuple[str, ...]:
    """The features that both sides record."""

    def both(column: str) -> bool:
        return sides.records(column) and sides.records(column, synthetic=True)

    typed = bool((columns["queries"][~synthetic] > 0).any())
    # Where every real session has a query, the log may hold searches only.
    browsing = typed and bool((columns["browsed"][~synthetic] > 0).any())
    known = {
        "pages": both("whole"),
        "further_pages": both("whole"),
        "searches": typed,
        "queries": typed,
        "browsed": browsing,
        "clicks": both("clicked_known"),
        "carts": both("carted_known"),
        "purchases": outside or both("purchased_known"),
    }

    def measured(name: str) -> bool:
        there = ~np.isnan(columns[name])
        return bool(there[~synthetic].any() and there[synthetic].any())

    return tuple(name for name in FEATURES if known.get(name, True) and measured(name))
