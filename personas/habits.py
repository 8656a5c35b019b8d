"""Habits of users as numbers, measured on a log.

All habits are shrunk toward the population, so that a user with little history gets nearly the
population's value and a user without any gets exactly that. With ``n`` observations, the
population's value ``p`` and a strength ``m`` (:data:`STRENGTH`), a share ``x / n`` becomes
``(x + m p) / (n + m)``: the posterior mean under a Beta or Dirichlet prior.

``interests``
    Share of a user's rows per category path cut to its first :data:`INTEREST_DEPTH` levels; ``p``
    is the population's share of that category, strength 5. The 20 heaviest are kept and scaled to
    sum to one. Without data: the population's 20 heaviest.
``price_sensitivity``
    One minus the mean price percentile of a user's rows. The percentile is the mid-rank of the
    paid price among everybody's rows of the same full category (0 cheapest, 1 dearest), where a
    category has two prices at least. 0.5 pays what others pay; ``p`` = 0.5, strength 10. Package
    sizes in one category count as dearer and cheaper, which the log cannot tell apart.
``brand_loyalty``
    Probability that a row repeats the brand of the user's previous row in the same full category;
    rows of unknown brand are skipped. ``p`` is the population's probability (0.5 when there is no
    such pair at all), strength 5.
``exploration``
    Share of rows after the user's first session whose product (text and brand) the user had not
    taken before that row. The first session is left out because there everything is new. ``p`` is
    the population's share (0.3 when nobody came twice), strength 10.
``activity``
    Sessions a week: ``(s - 1 + 4 r) / (w + 4)`` with ``s`` sessions over ``w`` weeks between the
    first and the last, and ``r`` the population's ``sum(s - 1) / sum(w)`` (1 where unknown).
    A Gamma prior worth four weeks; ``s - 1`` because both ends of the span are sessions.
``patience``
    Result pages a session: ``(pages + 2 m) / (sessions + m)``, strength ``m`` = 5, when a table of
    pages is given; else the prior, 2 pages.

A row without a session id is its own session at its own time.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from footfall.errors import DataError, EmptyLogError
from footfall.personas.arrow_sql import select

__all__ = [
    "ACTIVITY_PRIOR",
    "BRAND_LOYALTY_PRIOR",
    "EXPLORATION_PRIOR",
    "HISTORY_COLUMNS",
    "INTEREST_DEPTH",
    "INTEREST_LIMIT",
    "PATIENCE_PRIOR",
    "PRICE_SENSITIVITY_PRIOR",
    "STRENGTH",
    "Habits",
    "check_histories",
    "interest_category",
    "measure_habits",
]

HISTORY_COLUMNS: Final = (
    "user_id",
    "text",
    "category",
    "brand",
    "price",
    "occurred_at",
    "session_id",
)
INTEREST_DEPTH: Final = 2
INTEREST_LIMIT: Final = 20
PRICE_SENSITIVITY_PRIOR: Final = 0.5
BRAND_LOYALTY_PRIOR: Final = 0.5
EXPLORATION_PRIOR: Final = 0.3
ACTIVITY_PRIOR: Final = 1.0
PATIENCE_PRIOR: Final = 2.0
#: Strength of the population's value, in rows (activity: weeks; patience: sessions).
STRENGTH: Final = {
    "interests": 5.0,
    "price_sensitivity": 10.0,
    "brand_loyalty": 5.0,
    "exploration": 10.0,
    "activity": 4.0,
    "patience": 5.0,
}
_SEPARATOR: Final = " > "


def interest_category(category: str) -> str:
    """The category path cut to the depth at which interests are kept."""
    return _SEPARATOR.join(category.split(_SEPARATOR)[:INTEREST_DEPTH])


class Habits:
    """Habits of all users of a log.

    Attributes
    ----------
    users:
        One row a user, sorted by ``user_id``: ``user_id``, ``price_sensitivity``,
        ``brand_loyalty``, ``exploration``, ``activity``, ``patience``, ``rows``.
    interests:
        ``user_id``, ``category``, ``weight``: at most 20 rows a user, sorted by user, heaviest
        first.
    population:
        The population's value of each number, for somebody without history.
    population_interests:
        The population's heaviest categories and their weights, which sum to one.
    """

    def __init__(
        self,
        users: pa.Table,
        interests: pa.Table,
        population: dict[str, float],
        population_interests: dict[str, float],
    ) -> None:
        self.users = users
        self.interests = interests
        self.population = population
        self.population_interests = population_interests


def measure_habits(histories: pa.Table, pages: pa.Table | None = None) -> Habits:
    """Measure the habits of every user in ``histories``.

    Parameters
    ----------
    histories:
        One row per purchase or click, with the columns :data:`HISTORY_COLUMNS`.
    pages:
        Optional: ``user_id``, ``pages`` (result pages seen in all), ``sessions``.

    Raises
    ------
    DataError
        If a column is missing.
    EmptyLogError
        If there is no row.
    """
    check_histories(histories)
    events = _code_events(histories)
    numbers = select(_NUMBERS_SQL, events=events.table)
    population = _population(numbers)
    users = _shrink(numbers, population, events.users, pages)
    interests, common = _interests(events)
    return Habits(users, interests, population, common)


def check_histories(histories: pa.Table) -> None:
    """Raise where ``histories`` lacks columns or rows."""
    missing = [name for name in HISTORY_COLUMNS if name not in histories.column_names]
    if missing:
        raise DataError(
            f"The histories lack the column(s) {', '.join(missing)}.",
            hint=f"Needed: {', '.join(HISTORY_COLUMNS)}.",
        )
    if not histories.num_rows or histories["user_id"].null_count == histories.num_rows:
        raise EmptyLogError(
            "There is no history: the log has no purchases and no clicks.",
            hint="Ingest a log with purchases or clicks, or invent personas with Faker.",
        )


class _Events:
    """Histories with every text replaced by its rank, so that SQL sorts small numbers."""

    def __init__(self, table: pa.Table, users: pa.Array, interests: pa.Array) -> None:
        self.table = table
        self.users = users
        self.interests = interests


def _rank_code(column: pa.ChunkedArray) -> tuple[pa.Array, pa.Array]:
    """Codes (null where the value is null) and the sorted distinct values they stand for.

    Ranks and not places of first appearance: results must not depend on the order of the rows.
    """
    encoded = column.cast(pa.string()).dictionary_encode().combine_chunks()
    if isinstance(encoded, pa.ChunkedArray):  # no chunk at all
        encoded = pa.array([], pa.string()).dictionary_encode()
    order = pc.sort_indices(encoded.dictionary)
    rank = np.empty(len(order), dtype=np.int32)
    rank[order.to_numpy()] = np.arange(len(order), dtype=np.int32)
    return pc.take(pa.array(rank), encoded.indices), encoded.dictionary.take(order)


def _code_events(histories: pa.Table) -> _Events:
    histories = histories.filter(pc.is_valid(histories["user_id"]))
    codes = {}
    values = {}
    for name in ("user_id", "text", "category", "brand", "session_id"):
        codes[name], values[name] = _rank_code(histories[name])
    paths = [interest_category(path) for path in values["category"].to_pylist()]
    interest, names = _rank_code(pa.chunked_array([pa.array(paths, pa.string())]))
    codes["interest"] = pc.take(interest, codes["category"])
    codes["price"] = histories["price"].cast(pa.float64())
    codes["occurred_at"] = histories["occurred_at"].cast(pa.timestamp("us"))
    return _Events(pa.table(codes), values["user_id"], names)


# Sums per user; the population's values are sums over this table.
_NUMBERS_SQL: Final = """
WITH keyed AS (
    SELECT *, coalesce(session_id, -1 - epoch_us(occurred_at), -1) AS session FROM events
), prices AS (
    SELECT category, price, count(*) AS rows FROM events
    WHERE category IS NOT NULL AND price IS NOT NULL AND isfinite(price) GROUP BY ALL
), percentiles AS (
    SELECT category, price,
           (sum(rows) OVER (PARTITION BY category ORDER BY price) - rows / 2)
               / sum(rows) OVER (PARTITION BY category) AS percentile
    FROM prices QUALIFY count(*) OVER (PARTITION BY category) > 1
), paid AS (
    -- In one order: sums of floating-point numbers depend on it.
    SELECT user_id, count(*) AS priced, sum(percentile ORDER BY percentile) AS percentile
    FROM events JOIN percentiles USING (category, price) GROUP BY user_id
), pairs AS (
    SELECT user_id, count(*) AS pairs, count(*) FILTER (brand = last_brand) AS repeats
    FROM (
        SELECT user_id, brand, lag(brand) OVER (
            PARTITION BY user_id, category ORDER BY occurred_at NULLS FIRST, session, text, brand
        ) AS last_brand
        FROM keyed WHERE brand IS NOT NULL AND category IS NOT NULL
    ) WHERE last_brand IS NOT NULL GROUP BY user_id
), sessions AS (
    SELECT user_id, session, min(occurred_at) AS started FROM keyed GROUP BY ALL
), spans AS (
    SELECT user_id, count(*) AS sessions,
           coalesce(epoch_us(max(started)) - epoch_us(min(started)), 0) / 604800e6 AS weeks
    FROM sessions GROUP BY user_id
), first_sessions AS (
    SELECT DISTINCT ON (user_id) user_id, session FROM sessions
    ORDER BY user_id, started NULLS FIRST, session
), products AS (
    SELECT user_id, text, brand, count(*) AS rows, bool_or(f.session IS NOT NULL) AS at_first,
           count(*) FILTER (f.session IS NULL) AS later_rows
    FROM keyed LEFT JOIN first_sessions AS f USING (user_id, session) GROUP BY ALL
), novelty AS (
    SELECT user_id, sum(rows) AS rows, sum(later_rows) AS later_rows,
           count(*) FILTER (NOT at_first) AS new_rows
    FROM products GROUP BY user_id
)
SELECT user_id, rows::DOUBLE AS rows, later_rows::DOUBLE AS later_rows,
       new_rows::DOUBLE AS new_rows, sessions::DOUBLE AS sessions, weeks,
       coalesce(priced, 0)::DOUBLE AS priced, coalesce(percentile, 0)::DOUBLE AS percentile,
       coalesce(pairs, 0)::DOUBLE AS pairs, coalesce(repeats, 0)::DOUBLE AS repeats
FROM novelty JOIN spans USING (user_id) LEFT JOIN paid USING (user_id)
LEFT JOIN pairs USING (user_id) ORDER BY user_id
"""

_INTERESTS_SQL: Final = """
WITH counts AS (
    SELECT user_id, interest, count(*)::DOUBLE AS rows FROM events
    WHERE interest IS NOT NULL GROUP BY ALL
), totals AS (
    SELECT user_id, sum(rows) AS total FROM counts GROUP BY user_id
), population AS (
    SELECT interest, sum(rows) / sum(sum(rows)) OVER () AS share FROM counts GROUP BY interest
), common AS (
    SELECT interest FROM population ORDER BY share DESC, interest LIMIT {limit}
), candidates AS (
    SELECT user_id, interest, rows FROM counts
    UNION ALL
    SELECT user_id, interest, 0 FROM totals, common
), weights AS (
    SELECT user_id, interest, (sum(rows) + {strength} * any_value(share))
               / (any_value(total) + {strength}) AS weight
    FROM candidates JOIN population USING (interest) JOIN totals USING (user_id)
    GROUP BY user_id, interest
    QUALIFY row_number() OVER (PARTITION BY user_id ORDER BY weight DESC, interest) <= {limit}
)
SELECT user_id, interest, weight / sum(weight) OVER (PARTITION BY user_id) AS weight
FROM weights ORDER BY user_id, weight DESC, interest
"""

_COMMON_SQL: Final = """
WITH heaviest AS (
    SELECT interest, count(*) AS rows FROM events WHERE interest IS NOT NULL
    GROUP BY interest ORDER BY rows DESC, interest LIMIT {limit}
)
SELECT interest, rows / sum(rows) OVER () AS weight FROM heaviest ORDER BY weight DESC, interest
"""


def _sum(numbers: pa.Table, column: str) -> float:
    return float(pc.sum(numbers[column]).as_py() or 0.0)


def _ratio(numbers: pa.Table, part: str, whole: str, prior: float) -> float:
    total = _sum(numbers, whole)
    return _sum(numbers, part) / total if total > 0 else prior


def _population(numbers: pa.Table) -> dict[str, float]:
    weeks = _sum(numbers, "weeks")
    returns = _sum(numbers, "sessions") - numbers.num_rows
    return {
        "price_sensitivity": PRICE_SENSITIVITY_PRIOR,
        "brand_loyalty": _ratio(numbers, "repeats", "pairs", BRAND_LOYALTY_PRIOR),
        "exploration": _ratio(numbers, "new_rows", "later_rows", EXPLORATION_PRIOR),
        "activity": returns / weeks if weeks > 0 and returns > 0 else ACTIVITY_PRIOR,
        "patience": PATIENCE_PRIOR,
    }


def _shrink(
    numbers: pa.Table, population: dict[str, float], names: pa.Array, pages: pa.Table | None
) -> pa.Table:
    value = {name: numbers[name].to_numpy() for name in numbers.column_names}

    def shrunk(habit: str, part: np.ndarray, whole: np.ndarray) -> pa.Array:
        strength = STRENGTH[habit]
        return pa.array((part + strength * population[habit]) / (whole + strength))

    cheap = value["priced"] - value["percentile"]
    users = pa.table(
        {
            "user_id": pc.take(names, numbers["user_id"]),
            "price_sensitivity": shrunk("price_sensitivity", cheap, value["priced"]),
            "brand_loyalty": shrunk("brand_loyalty", value["repeats"], value["pairs"]),
            "exploration": shrunk("exploration", value["new_rows"], value["later_rows"]),
            "activity": shrunk("activity", value["sessions"] - 1, value["weeks"]),
            "rows": numbers["rows"].cast(pa.int64()),
        }
    )
    return _add_patience(users, pages)


def _add_patience(users: pa.Table, pages: pa.Table | None) -> pa.Table:
    if pages is None:
        patience = pa.array(np.full(users.num_rows, PATIENCE_PRIOR))
        return users.append_column("patience", patience)
    strength = STRENGTH["patience"]
    return select(
        f"SELECT users.*, (coalesce(pages, 0) + {strength * PATIENCE_PRIOR})"
        f" / (coalesce(sessions, 0) + {strength}) AS patience"
        " FROM users LEFT JOIN pages USING (user_id) ORDER BY user_id",
        users=users,
        pages=pages,
    )


def _interests(events: _Events) -> tuple[pa.Table, dict[str, float]]:
    sql = _INTERESTS_SQL.format(limit=INTEREST_LIMIT, strength=STRENGTH["interests"])
    rows = select(sql, events=events.table)
    table = pa.table(
        {
            "user_id": pc.take(events.users, rows["user_id"]),
            "category": pc.take(events.interests, rows["interest"]),
            "weight": rows["weight"],
        }
    )
    common = select(_COMMON_SQL.format(limit=INTEREST_LIMIT), events=events.table)
    names = pc.take(events.interests, common["interest"]).to_pylist()
    return table, dict(zip(names, common["weight"].to_pylist(), strict=True))
