"""Counts per user out of the log, for likeness: one SQL statement per subject.

Both sides of a likeness are sums over users, so a half of the real users is a sum over fewer rows
of the same small table, and no statement is run twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from footfall.simulator.schema import ORIGIN_REAL

if TYPE_CHECKING:
    from footfall.simulator.log import Log

__all__ = [
    "MAX_POSITION",
    "RESPONSES",
    "SESSIONS_CTE",
    "SHOWN_CTE",
    "Counts",
    "Response",
    "SideUsers",
    "Sides",
    "Window",
    "place_users",
    "to_counts",
]

Floats: TypeAlias = npt.NDArray[np.float64]
Response: TypeAlias = Literal["clicked", "carted", "purchased"]
RESPONSES: Final[tuple[Response, ...]] = ("clicked", "carted", "purchased")
#: Positions further down are left out of the position curve.
MAX_POSITION: Final = 20

#: The sessions of both sides; parameters run, start and end.
SESSIONS_CTE: Final = f"""
    chosen AS (
        SELECT session_id, user_id, origin <> '{ORIGIN_REAL}' AS synthetic
        FROM sessions
        WHERE origin = $run OR (
            origin = '{ORIGIN_REAL}'
            AND ($start::TIMESTAMP IS NULL OR started_at >= $start::TIMESTAMP)
            AND ($end::TIMESTAMP IS NULL OR started_at < $end::TIMESTAMP)))"""
#: Their impressions. A slate that the ingest sampled or rebuilt is not whole: it says nothing about
#: what was shown.
SHOWN_CTE: Final = """
    shown AS (
        SELECT c.synthetic, c.user_id, c.session_id, q.candidates IN ('logged', 'simulated') AS
               whole, i.*
        FROM chosen c JOIN searches q USING (session_id) JOIN impressions i USING (search_id))"""


@dataclass(frozen=True, slots=True)
class Window:
    """The run that is compared, and which real sessions it is compared with."""

    run_id: str
    start: datetime | None = None
    end: datetime | None = None

    @property
    def parameters(self) -> dict[str, Any]:
        """Values of the SQL parameters."""
        return {"run": self.run_id, "start": self.start, "end": self.end}


@dataclass(frozen=True, slots=True)
class Counts:
    """Sums per user of both sides.

    ``real`` and ``made`` are sparse arrays of shape ``(users of the side, bins)``; ``labels`` names
    the bins.
    """

    real: Any
    made: Any
    labels: tuple[str, ...]

    @property
    def real_total(self) -> Floats:
        """Sum over the real users, shape ``(bins,)``."""
        return np.asarray(self.real.sum(axis=0), dtype=np.float64).reshape(-1)

    @property
    def synthetic(self) -> Floats:
        """Sum over the users of the run, shape ``(bins,)``."""
        return np.asarray(self.made.sum(axis=0), dtype=np.float64).reshape(-1)


@dataclass(frozen=True, slots=True)
class SideUsers:
    """Identifiers of the users of both sides, in the order of the counts' rows."""

    real: pa.Array
    made: pa.Array


def place_users(rows: pa.Table, users: SideUsers) -> npt.NDArray[np.int64]:
    """Index of each row's user among those of its own side, shape ``(rows,)``."""
    synthetic = rows["synthetic"].to_numpy()
    places = [
        pc.fill_null(pc.index_in(rows["user_id"], side), -1).to_numpy().astype(np.int64)
        for side in (users.real, users.made)
    ]
    return np.where(synthetic, places[1], places[0])


def to_counts(rows: pa.Table, users: SideUsers, labels: Sequence[str]) -> Counts:
    """Turn rows of (synthetic, user_id, bin, amount) into counts; ``bin`` indexes ``labels``."""
    from scipy.sparse import csr_array

    synthetic = rows["synthetic"].to_numpy()
    bins = rows["bin"].to_numpy().astype(np.int64)
    amounts = pc.fill_null(rows["amount"], 0.0).to_numpy().astype(np.float64)
    index = place_users(rows, users)
    sides = []
    for chosen, side in ((~synthetic, users.real), (synthetic, users.made)):
        cells = (amounts[chosen], (index[chosen], bins[chosen]))
        sides.append(csr_array(cells, shape=(len(side), len(labels))))
    return Counts(sides[0], sides[1], tuple(labels))


def _session_columns(response: Response) -> str:
    return f"""
        sum(CASE WHEN {response} THEN 1 / sample_rate END) AS {response}_total,
        sum(CASE WHEN {response} AND whole THEN 1 / sample_rate END) AS {response}_whole,
        sum(CASE WHEN {response} IS NOT NULL AND whole THEN 1 / sample_rate END)
            AS {response}_shown,
        bool_or({response} IS NOT NULL) AS {response}_known,
        bool_or({response}) AS {response}_any"""


def _user_columns(response: Response) -> str:
    # A session in which nothing was shown had no response; it still counts as a session.
    known = f"(coalesce({response}_known, true))"
    return f"""
        sum({response}_total) AS {response}_total,
        sum({response}_whole) AS {response}_whole,
        sum({response}_shown) AS {response}_shown,
        count(*) FILTER (WHERE {known}) AS {response}_sessions,
        count(*) FILTER (WHERE {response}_any) AS {response}_any,
        bool_or({response}_known) AS {response}_known"""


class Sides:
    """Reads the counts of one run and of the real log.

    Parameters
    ----------
    log:
        The open log.
    window:
        The run and the real sessions.
    """

    def __init__(self, log: Log, window: Window) -> None:
        self._log = log
        self.window = window
        self.per_user = self._per_user()
        made = self.per_user["synthetic"]
        self.users = SideUsers(
            self.per_user.filter(pc.invert(made))["user_id"].combine_chunks(),
            self.per_user.filter(made)["user_id"].combine_chunks(),
        )

    def sessions(self, *, synthetic: bool = False) -> npt.NDArray[np.int64]:
        """Sessions of each user of a side, shape ``(users,)``."""
        side = self.per_user.filter(pc.equal(self.per_user["synthetic"], synthetic))
        return np.asarray(side["sessions"].to_numpy(), dtype=np.int64)

    def query(
        self, ctes: Sequence[str], select: str, extra: Mapping[str, Any], **tables: pa.Table
    ) -> pa.Table:
        """Run a statement over the chosen sessions; ``extra`` are further parameters."""
        sql = f"WITH {', '.join(ctes)} {select}"
        return self._log.query(sql, {**self.window.parameters, **extra}, **tables)

    def _per_user(self) -> pa.Table:
        """One row per side and user: sessions, slates, impressions and responses."""
        by_session = f"""
            by_session AS (
                SELECT session_id, count(DISTINCT search_id) FILTER (WHERE whole) AS slates,
                    bool_or(whole) AS whole,
                    sum(CASE WHEN whole THEN 1 / sample_rate END) AS impressions,
                    {", ".join(_session_columns(response) for response in RESPONSES)}
                FROM shown GROUP BY session_id)"""
        select = f"""
            SELECT synthetic, user_id, count(*) AS sessions,
                sum(slates) AS slates, sum(impressions) AS impressions,
                count(*) FILTER (WHERE coalesce(whole, true)) AS whole_sessions,
                bool_or(whole) AS whole,
                {", ".join(_user_columns(response) for response in RESPONSES)}
            FROM chosen LEFT JOIN by_session USING (session_id)
            GROUP BY synthetic, user_id ORDER BY synthetic, user_id"""
        return self.query([SESSIONS_CTE, SHOWN_CTE, by_session], select, {})

    def records(self, column: str, *, synthetic: bool = False) -> bool:
        """Whether a side has any value of a ``..._known`` or ``whole`` column."""
        side = self.per_user.filter(pc.equal(self.per_user["synthetic"], synthetic))
        return bool(pc.any(pc.fill_null(side[column], False)).as_py())

    def ratio(self, upper: str, lower: str) -> Counts:
        """Counts with two bins, numerator and denominator, from the per-user columns."""
        parts = [
            pa.table(
                {
                    "synthetic": self.per_user["synthetic"],
                    "user_id": self.per_user["user_id"],
                    "bin": pa.array(np.full(self.per_user.num_rows, number)),
                    "amount": self.per_user[column].cast(pa.float64()),
                }
            )
            for number, column in enumerate((upper, lower))
        ]
        return to_counts(pa.concat_tables(parts), self.users, (upper, lower))

    def positions(self, response: Response) -> Counts:
        """Bins: positives at positions 1, 2, ..., then impressions at positions 1, 2, ..."""
        select = f"""
            SELECT synthetic, user_id, position - 1 + {MAX_POSITION} * part AS bin,
                sum(CASE WHEN part = 1 OR {response} THEN 1 / sample_rate ELSE 0 END) AS amount
            FROM shown, (VALUES (0), (1)) AS parts (part)
            WHERE whole AND position BETWEEN 1 AND {MAX_POSITION} AND {response} IS NOT NULL
            GROUP BY ALL ORDER BY ALL"""
        labels = [str(place + 1) for place in range(MAX_POSITION)] * 2
        return to_counts(self.query([SESSIONS_CTE, SHOWN_CTE], select, {}), self.users, labels)

    def positives(self, response: Response, *, outside: bool) -> str:
        """CTE of the items responded to: of impressions, else (``outside``) of purchases."""
        from_impressions = f"""
            SELECT synthetic, user_id, session_id, item_id, price, 1 / sample_rate AS amount
            FROM shown WHERE {response}"""
        from_purchases = """
            SELECT false AS synthetic, c.user_id, c.session_id, p.item_id,
                CASE WHEN p.quantity > 0 THEN p.amount / p.quantity END AS price, 1.0 AS amount
            FROM chosen c JOIN purchases p USING (session_id) WHERE NOT c.synthetic"""
        if not outside:
            return f"positives AS ({from_impressions})"
        return f"positives AS ({from_impressions} AND synthetic UNION ALL {from_purchases})"

    def has_purchases(self) -> bool:
        """Whether purchases beside the impressions belong to chosen real sessions."""
        select = "SELECT count(*) AS n FROM chosen JOIN purchases USING (session_id) "
        found = self.query([SESSIONS_CTE], select + "WHERE NOT synthetic", {})
        return bool(found["n"][0].as_py())

    def outside_purchases(self) -> tuple[Counts, Counts]:
        """Purchases per session and sessions with a purchase, the real side from ``purchases``."""
        select = """
            SELECT c.synthetic, c.user_id, count(*)::DOUBLE AS sessions,
                sum(bought)::DOUBLE AS total, count(bought)::DOUBLE AS buying
            FROM chosen c LEFT JOIN (
                SELECT session_id, sum(amount) AS bought FROM positives GROUP BY session_id
            ) USING (session_id)
            GROUP BY ALL ORDER BY ALL"""
        ctes = [SESSIONS_CTE, SHOWN_CTE, self.positives("purchased", outside=True)]
        rows = self.query(ctes, select, {})
        found = []
        for column in ("total", "buying"):
            parts = [
                rows.select(["synthetic", "user_id"])
                .append_column("bin", pa.array(np.full(rows.num_rows, number)))
                .append_column("amount", rows[name])
                for number, name in enumerate((column, "sessions"))
            ]
            found.append(to_counts(pa.concat_tables(parts), self.users, (column, "sessions")))
        return found[0], found[1]

    def categories(self, response: Response, *, outside: bool) -> Counts:
        """Bins: top-level categories of the items responded to."""
        select = """
            SELECT synthetic, user_id, sum(p.amount) AS amount,
                coalesce(nullif(trim(split_part(category, ' > ', 1)), ''), '–') AS label
            FROM positives p LEFT JOIN items USING (item_id) GROUP BY ALL ORDER BY ALL"""
        ctes = [SESSIONS_CTE, SHOWN_CTE, self.positives(response, outside=outside)]
        rows = self.query(ctes, select, {})
        encoded = rows["label"].combine_chunks().dictionary_encode()
        rows = rows.append_column("bin", encoded.indices)
        return to_counts(rows, self.users, encoded.dictionary.to_pylist())

    def prices(self, response: Response, *, outside: bool) -> tuple[Counts, Counts]:
        """Mean price (two bins: sum, count) and tenths of the real prices of the items."""
        priced = """
            priced AS (
                SELECT synthetic, user_id, p.amount, coalesce(p.price, items.price) AS price
                FROM positives p LEFT JOIN items USING (item_id)
                WHERE coalesce(p.price, items.price) IS NOT NULL),
            edges AS (
                SELECT coalesce(quantile_cont(price, [.1, .2, .3, .4, .5, .6, .7, .8, .9]), [])
                    AS edges FROM priced WHERE NOT synthetic)"""
        ctes = [SESSIONS_CTE, SHOWN_CTE, self.positives(response, outside=outside), priced]
        tenths = """
            SELECT synthetic, user_id, len(list_filter(edges, lambda edge: edge < price)) AS bin,
                sum(amount) AS amount
            FROM priced, edges GROUP BY ALL ORDER BY ALL"""
        mean = """
            SELECT synthetic, user_id, part AS bin,
                sum(CASE part WHEN 0 THEN amount * price ELSE amount END) AS amount
            FROM priced, (VALUES (0), (1)) AS parts (part) GROUP BY ALL ORDER BY ALL"""
        labels = [str(number) for number in range(10)]
        return (
            to_counts(self.query(ctes, mean, {}), self.users, ("price", "items")),
            to_counts(self.query(ctes, tenths, {}), self.users, labels),
        )

    def new_items(self, response: Response, until: datetime, *, outside: bool) -> Counts:
        """Two bins: responses to items without any real response before ``until``, and all."""
        known = f"""
            known AS (
                SELECT DISTINCT i.item_id FROM impressions i JOIN searches q USING (search_id)
                WHERE i.origin = '{ORIGIN_REAL}' AND (clicked OR purchased)
                    AND coalesce(shown_at, searched_at) < $until::TIMESTAMP
                UNION SELECT item_id FROM purchases
                WHERE origin = '{ORIGIN_REAL}' AND purchased_at < $until::TIMESTAMP)"""
        select = """
            SELECT synthetic, user_id, part AS bin,
                sum(CASE WHEN part = 1 OR known.item_id IS NULL THEN p.amount ELSE 0 END) AS amount
            FROM (VALUES (0), (1)) AS parts (part), positives p
                LEFT JOIN known ON p.item_id = known.item_id
            GROUP BY ALL ORDER BY ALL"""
        ctes = [SESSIONS_CTE, SHOWN_CTE, self.positives(response, outside=outside), known]
        rows = self.query(ctes, select, {"until": until})
        return to_counts(rows, self.users, ("new", "all"))

    def queries(self) -> pa.Table:
        """One row per query typed: synthetic, user (its index within its side), query."""
        select = """
            SELECT DISTINCT synthetic, user_id, session_id, query
            FROM chosen JOIN searches USING (session_id)
            WHERE trim(query) <> '' ORDER BY ALL"""
        rows = self.query([SESSIONS_CTE], select, {})
        user = place_users(rows, self.users)
        return pa.table({"synthetic": rows["synthetic"], "user": user, "query": rows["query"]})

    def response_texts(self, response: Response, *, outside: bool) -> pa.Table:
        """One row per item responded to: synthetic, user, text."""
        select = """
            SELECT synthetic, user_id, items.text AS text
            FROM positives p JOIN items USING (item_id)
            WHERE trim(items.text) <> '' ORDER BY ALL"""
        ctes = [SESSIONS_CTE, SHOWN_CTE, self.positives(response, outside=outside)]
        rows = self.query(ctes, select, {})
        user = place_users(rows, self.users)
        return pa.table({"synthetic": rows["synthetic"], "user": user, "text": rows["text"]})
