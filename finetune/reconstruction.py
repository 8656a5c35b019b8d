"""Pages of which a log kept the response only, filled up with what may have stood beside it.

Half of the other candidates are drawn by popularity at that time, half from the best BM25 answers
to the query, all among the items that were there by then. What comes out is *reconstructed*: no
shopper is known to have seen it, and every figure from it must say so. BM25 as a scorer is at a
disadvantage on such pages, since half of the wrong candidates are its own answers.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from footfall.simulator.catalog import Catalog, utc_moment
from footfall.simulator.search.bm25 import BM25Search
from footfall.simulator.search.protocol import SearchEngine

if TYPE_CHECKING:
    from footfall.finetune.tuning_events import Response
    from footfall.simulator.log import Log

__all__ = ["Reconstruction"]

Floats: TypeAlias = npt.NDArray[np.float64]

#: Pieces of equal length in which popularity and availability are known.
_WINDOWS: Final = 64
#: Items first responded to in these windows count as there from the start.
_OPENING: Final = 8
#: Best BM25 answers that the neighbours are drawn from.
_NEIGHBOURS: Final = 20

_RESPONSES: Final = """
SELECT item_id, coalesce({response}_at, shown_at, searched_at, started_at) AS moment
FROM impressions JOIN searches USING (search_id) JOIN sessions USING (session_id)
WHERE impressions.origin = 'real' AND {response}
  AND ($end::TIMESTAMP IS NULL OR moment < $end::TIMESTAMP)
"""
_WINDOWED: Final = """
WITH span AS (
    SELECT min(moment) AS first, greatest(epoch_us(max(moment)) - epoch_us(min(moment)), 1) AS us
    FROM answered
)
SELECT item_id, coalesce(least($windows - 1,
           ((epoch_us(moment) - epoch_us(first)) * $windows) // us), 0)::INTEGER AS part,
       count(*) AS times
FROM answered, span GROUP BY ALL
"""


class Reconstruction:
    """Draws candidates for one response at a time.

    An item is there from its own ``first_seen`` on; where the log does not tell, from the window
    (a 64th of the log) of its first response on, and from the start if that lies in the first
    eighth, because then it may have been there before the log began. Popularity is the number of
    responses before the window, plus one.

    Parameters
    ----------
    log:
        The log.
    catalog:
        The items.
    response:
        What counts as a response.
    end:
        Nothing from this moment on is looked at.
    """

    def __init__(
        self, log: Log, catalog: Catalog, *, response: Response, end: datetime | None
    ) -> None:
        self._catalog = catalog
        self._search: SearchEngine = BM25Search(catalog)
        self._found: dict[str, npt.NDArray[np.int64]] = {}
        answered = log.query(_RESPONSES.format(response=response), {"end": utc_moment(end)})
        rows = log.query(_WINDOWED, {"windows": _WINDOWS}, answered=answered)
        # Responses to items that the catalogue lacks cannot be drawn.
        known = np.array([item in catalog for item in rows["item_id"].to_pylist()], dtype=bool)
        places = catalog.places(
            [
                item
                for item, is_known in zip(rows["item_id"].to_pylist(), known, strict=True)
                if is_known
            ]
        )
        parts = rows["part"].to_numpy()[known]
        counts = np.zeros((_WINDOWS, len(catalog)))
        np.add.at(counts, (parts, places), rows["times"].to_numpy()[known])
        self._before = np.cumsum(counts, axis=0) - counts
        first = np.where(counts.any(axis=0), (counts > 0).argmax(axis=0), _WINDOWS)
        self._first_part = np.where(first < _OPENING, 0, first)
        self._moments = answered["moment"].drop_null().to_numpy().astype("datetime64[us]")
        seen = catalog.table["first_seen"].to_numpy(zero_copy_only=False)
        own = log.query("SELECT item_id, first_seen FROM items ORDER BY item_id")
        stated = dict(zip(own["item_id"].to_pylist(), own["first_seen"].to_pylist(), strict=True))
        self._stated = np.array(
            [stated.get(item) is not None for item in catalog.item_ids], dtype=bool
        )
        self._first_seen = seen.astype("datetime64[us]")

    def part(self, at: datetime | None) -> int:
        """The window in which a moment lies; the first where no time is known."""
        if at is None or not len(self._moments):
            return 0
        first, last = self._moments.min(), self._moments.max()
        share = (np.datetime64(at, "us") - first) / max(last - first, np.timedelta64(1, "us"))
        return int(np.clip(share * _WINDOWS, 0, _WINDOWS - 1))

    def available(self, at: datetime | None) -> npt.NDArray[np.bool_]:
        """Which items were there, shape (catalogue,)."""
        if at is None:
            return np.ones(len(self._catalog), dtype=bool)
        here = self._first_part <= self.part(at)
        stated = self._first_seen <= np.datetime64(at, "us")
        return np.asarray(np.where(self._stated, stated, here), dtype=bool)

    def draw(
        self,
        query: str | None,
        at: datetime | None,
        count: int,
        rng: np.random.Generator,
        *,
        exclude: Collection[str],
    ) -> list[str]:
        """Up to ``count`` item ids without repeats, none of ``exclude``.

        Half of them answer the query by words where enough items do; the rest is popular.
        """
        open_places = self.available(at)
        open_places[self._catalog.places([item for item in exclude if item in self._catalog])] = (
            False
        )
        neighbours = [place for place in self._neighbours(query) if open_places[place]]
        wanted = min(count // 2, len(neighbours))
        chosen = [int(place) for place in rng.permutation(neighbours)[:wanted]]
        open_places[chosen] = False
        pool = np.flatnonzero(open_places)
        # Weighted draw without replacement: the largest log-weights plus Gumbel noise.
        noise = rng.gumbel(size=len(pool))
        keys = np.log1p(self._before[self.part(at)][pool]) + noise
        popular = pool[np.argsort(-keys, kind="stable")[: count - wanted]]
        ids: list[str] = self._catalog.item_ids[[*chosen, *popular]].tolist()
        return ids

    def _neighbours(self, query: str | None) -> npt.NDArray[np.int64]:
        if query is None:
            return np.zeros(0, dtype=np.int64)
        if query not in self._found:
            (ids,) = self._search.search([query], limit=_NEIGHBOURS)
            self._found[query] = self._catalog.places(ids)
        return self._found[query]
