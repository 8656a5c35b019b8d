"""The real pages of a log before a moment, as arrays that generators learn from."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from footfall.errors import EmptyLogError
from footfall.simulator.catalog import Catalog, utc_moment

if TYPE_CHECKING:
    from footfall.simulator.log import Log

__all__ = ["BROWSE", "QUERY", "RealPages"]

Floats: TypeAlias = npt.NDArray[np.float64]
Integers: TypeAlias = npt.NDArray[np.int64]
Flags: TypeAlias = npt.NDArray[np.bool_]

#: Kinds of pages.
BROWSE, QUERY = 0, 1
#: Longer pages are cut, so that one wrong row of a log cannot fill the memory.
_LONGEST_PAGE: Final = 200

_SESSIONS: Final = """
SELECT session_id, started_at FROM sessions
WHERE origin = 'real' AND session_id IN (
    SELECT session_id FROM searches JOIN sessions USING (session_id)
    WHERE searches.origin = 'real'
      AND ($until::TIMESTAMP IS NULL OR coalesce(searched_at, started_at) < $until::TIMESTAMP))
ORDER BY md5(session_id || '/' || $seed), session_id LIMIT $most
"""
_PAGES: Final = """
SELECT s.search_id, c.session, nullif(trim(s.query), '') AS query,
       coalesce(s.page, 1) > 1 AS further,
       coalesce(hour(c.started_at), -1)::BIGINT AS hour
FROM searches s JOIN (
    SELECT session_id, started_at, row_number() OVER (ORDER BY session_id) - 1 AS session
    FROM chosen) c USING (session_id)
WHERE s.origin = 'real'
  AND ($until::TIMESTAMP IS NULL OR coalesce(s.searched_at, c.started_at) < $until::TIMESTAMP)
ORDER BY c.session, s.step, s.page, s.search_id
"""
# A response is one of three states, so the three of a row are a number below 27.
_ROWS: Final = f"""
SELECT p.page, k.place AS item, i.position,
       coalesce(i.clicked::BIGINT, 2) * 9 + coalesce(i.carted::BIGINT, 2) * 3
           + coalesce(i.purchased::BIGINT, 2) AS response,
       i.sample_rate
FROM impressions i JOIN numbered p USING (search_id) JOIN places k USING (item_id)
QUALIFY row_number() OVER (PARTITION BY p.page ORDER BY
    (coalesce(i.clicked, false) OR coalesce(i.purchased, false)) DESC,
    i.position NULLS LAST, k.place) <= {_LONGEST_PAGE}
ORDER BY p.page, i.position NULLS LAST, k.place
"""


@dataclass(frozen=True, slots=True)
class RealPages:
    """Pages of real sessions in order, and the items that they showed.

    Attributes
    ----------
    session, kind, query, further, hour:
        Shape ``(pages,)``: number of the session, ``BROWSE`` or ``QUERY``, place in ``queries``
        (-1 without), whether it continues the list of the page before, hour of the session's
        start (-1 unknown).
    page, item, position, response, sample_rate:
        Shape ``(rows,)``: number of the page, place in the catalogue, position from 1 (0 unknown),
        place in ``responses``, and the probability that the log kept such a row.
    queries:
        Distinct queries.
    responses:
        What a row may record: ``clicked``, ``carted``, ``purchased``; ``None`` where unknown.
    """

    session: Integers
    kind: Integers
    query: Integers
    further: Flags
    hour: Integers
    page: Integers
    item: Integers
    position: Integers
    response: Integers
    sample_rate: Floats
    queries: list[str]
    responses: list[tuple[bool | None, bool | None, bool | None]]

    @classmethod
    def read(
        cls,
        log: Log,
        catalog: Catalog,
        *,
        until: datetime | None,
        most_sessions: int,
        seed: int = 0,
    ) -> RealPages:
        """Pages before ``until`` of at most ``most_sessions`` sessions, by a hash of their id.

        Where ``until`` is given, pages of unknown time are left out. Items that the catalogue
        lacks are left out too.

        Raises
        ------
        EmptyLogError
            If there is no such page, or no page shows anything.
        """
        moment = {"until": utc_moment(until)}
        chosen = log.query(_SESSIONS, {**moment, "most": most_sessions, "seed": str(seed)})
        pages = log.query(_PAGES, moment, chosen=chosen)
        numbered = pa.table(
            {"search_id": pages["search_id"], "page": np.arange(pages.num_rows, dtype=np.int64)}
        )
        places = pa.table(
            {
                "item_id": catalog.table["item_id"],
                "place": np.arange(len(catalog), dtype=np.int64),
            }
        )
        rows = log.query(_ROWS, numbered=numbered, places=places)
        if not rows.num_rows:
            raise EmptyLogError(
                f"{log.path}: no real page of results"
                + ("." if until is None else f" is known to lie before {until.isoformat()}."),
                hint="Generators learn from pages: name a later --until, or none at all in a log "
                "without times.",
            )
        return cls._of(pages, rows)

    @classmethod
    def _of(cls, pages: pa.Table, rows: pa.Table) -> RealPages:
        coded = pages["query"].combine_chunks().dictionary_encode()
        query = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
        found, response = np.unique(_numbers(rows, "response"), return_inverse=True)
        return cls(
            session=_numbers(pages, "session"),
            kind=np.where(query >= 0, QUERY, BROWSE).astype(np.int64),
            query=query,
            further=pages["further"].to_numpy().astype(np.bool_),
            hour=_numbers(pages, "hour"),
            page=_numbers(rows, "page"),
            item=_numbers(rows, "item"),
            position=rows["position"].fill_null(0).to_numpy().astype(np.int64),
            response=response.astype(np.int64),
            sample_rate=rows["sample_rate"].to_numpy().astype(np.float64),
            queries=coded.dictionary.to_pylist(),
            responses=[_decoded(int(number)) for number in found],
        )

    def __len__(self) -> int:
        return len(self.session)

    @property
    def sizes(self) -> Integers:
        """Items that each page shows, shape ``(pages,)``."""
        return np.bincount(self.page, minlength=len(self)).astype(np.int64)

    @property
    def responding(self) -> Flags:
        """Which of ``responses`` are one: something clicked, put in the cart or bought."""
        return np.array([any(flags) for flags in self.responses], dtype=np.bool_)

    @property
    def responded(self) -> Flags:
        """Whether each page led to a response, shape ``(pages,)``."""
        hits = self.page[self.responding[self.response]]
        return np.bincount(hits, minlength=len(self)) > 0

    @property
    def first(self) -> Flags:
        """Whether each page opens its session, shape ``(pages,)``."""
        return np.append(True, self.session[1:] != self.session[:-1])[: len(self)]

    @property
    def continues(self) -> Flags:
        """Whether each page is a further one of the list before it, shape ``(pages,)``."""
        same = np.append(False, self.query[1:] == self.query[:-1])[: len(self)]
        flags: Flags = self.further & same & ~self.first
        return flags

    def kept_shares(self) -> Floats:
        """Of each response, the sample rate that stands for its rows, shape ``(responses,)``.

        The harmonic mean: so many rows, each counted as one over it, stand for as many shown
        items as the log's own.
        """
        kinds = len(self.responses)
        rows = np.bincount(self.response, minlength=kinds)
        shown = np.bincount(self.response, 1.0 / self.sample_rate, minlength=kinds)
        shares: Floats = rows / shown
        return shares


def _numbers(table: pa.Table, name: str) -> Integers:
    values: Any = table[name].to_numpy()
    numbers: Integers = values.astype(np.int64)
    return numbers


def _decoded(number: int) -> tuple[bool | None, bool | None, bool | None]:
    states = (False, True, None)
    return states[number // 9], states[number // 3 % 3], states[number % 3]
