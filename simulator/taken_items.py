"""Who took which item on which visit: the events that the rhythm of a shop is fitted on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from footfall.personas.habits import interest_category
from footfall.simulator.catalog import utc_moment
from footfall.simulator.log import Log
from footfall.simulator.rhythm import top_category
from footfall.simulator.schema import ORIGIN_REAL

__all__ = ["TakenItems", "read_taken_items"]

_PURCHASES: Final = """
    SELECT user_id, item_id, session_id, purchased_at AS moment
    FROM purchases WHERE origin = $origin
"""
_IMPRESSIONS: Final = """
    SELECT user_id, item_id, session_id,
           coalesce({time}, shown_at, searched_at, started_at) AS moment
    FROM impressions JOIN searches USING (search_id) JOIN sessions USING (session_id)
    WHERE impressions.origin = $origin AND {response}
"""
_SOURCES: Final[tuple[tuple[Literal["purchases", "clicks"], str], ...]] = (
    ("purchases", _PURCHASES),
    ("purchases", _IMPRESSIONS.format(time="purchased_at", response="purchased")),
    ("clicks", _IMPRESSIONS.format(time="clicked_at", response="clicked")),
)
# One row for a user, item and visit: a quantity of two is no second need. Rows without a session
# make one visit of each moment.
_TAKEN: Final = """
SELECT user_id, item_id, visit, epoch_us(min(moment)) AS moment
FROM (
    SELECT user_id, item_id, coalesce(session_id, 'at ' || CAST(moment AS VARCHAR)) AS visit, moment
    FROM ({source})
    WHERE moment IS NOT NULL AND ($until::TIMESTAMP IS NULL OR moment < $until::TIMESTAMP)
) GROUP BY user_id, item_id, visit
"""


@dataclass(frozen=True, slots=True)
class TakenItems:
    """Items taken by real users at known times.

    Attributes
    ----------
    table:
        One row for a user, item and visit, all integers: ``user``, ``item``, ``visit`` (numbered
        from 0 within the user, in time order), ``moment`` (microseconds since 1970), ``top`` and
        ``category`` (codes into the tuples below; null where the item has no category).
    response:
        What taking means here: ``purchases``, or ``clicks`` in a log without purchases.
    tops, categories:
        Top-level categories, and paths cut to the depth at which interests are kept.
    """

    table: pa.Table
    response: Literal["purchases", "clicks"]
    tops: tuple[str, ...]
    categories: tuple[str, ...]


def read_taken_items(log: Log, *, until: datetime | None = None) -> TakenItems | None:
    """Read what real users took before ``until``; None where nothing has a time.

    Purchases; else impressions that were bought; else impressions that were clicked.
    """
    parameters = {"origin": ORIGIN_REAL, "until": utc_moment(until)}
    for response, source in _SOURCES:
        rows = log.query(_TAKEN.format(source=source), parameters)
        if rows.num_rows:
            return _code(log, rows, response)
    return None


def _code(log: Log, rows: pa.Table, response: Literal["purchases", "clicks"]) -> TakenItems:
    user, _ = _ranks(rows["user_id"])
    visit, _ = _ranks(rows["visit"])
    item, item_ids = _ranks(rows["item_id"])
    moment = rows["moment"].to_numpy()
    paths = _paths(log, item_ids)
    top, tops = _category_codes([top_category(path) for path in paths])
    category, categories = _category_codes([interest_category(path or "") for path in paths])
    order = np.lexsort((item, visit, moment, user))
    user, visit, item, moment = user[order], visit[order], item[order], moment[order]
    table = pa.table(
        {
            "user": user,
            "item": item,
            "visit": _visit_numbers(user, visit, moment),
            "moment": moment,
            "top": pc.take(top, pa.array(item)),
            "category": pc.take(category, pa.array(item)),
        }
    )
    return TakenItems(table, response, tops, categories)


def _ranks(column: pa.ChunkedArray) -> tuple[npt.NDArray[np.int32], pa.Array]:
    """Codes by the values' order, so that the fit does not depend on the order of the rows."""
    encoded = column.combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    order = pc.sort_indices(encoded.dictionary).to_numpy()
    rank = np.empty(len(order), dtype=np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    return rank[encoded.indices.to_numpy()], encoded.dictionary.take(pa.array(order))


def _paths(log: Log, item_ids: pa.Array) -> list[str | None]:
    """Category paths of ``item_ids``, in their order; None where unknown."""
    items = log.query("SELECT item_id, category FROM items")
    place = pc.index_in(item_ids, value_set=items["item_id"])
    paths: list[str | None] = pc.take(items["category"], place).to_pylist()
    return paths


def _category_codes(names: list[str]) -> tuple[pa.Array, tuple[str, ...]]:
    """Codes of each item's category (null where it is empty), and the sorted categories."""
    known = sorted(set(names) - {""})
    place = {name: number for number, name in enumerate(known)}
    return pa.array([place.get(name) for name in names], pa.int32()), tuple(known)


def _visit_numbers(
    user: npt.NDArray[np.int32], visit: npt.NDArray[np.int32], moment: npt.NDArray[np.int64]
) -> npt.NDArray[np.int32]:
    """Number of each row's visit within its user, by the visit's first moment, then its id."""
    pairs = user.astype(np.int64) * (int(visit.max()) + 1) + visit
    _, first, inverse = np.unique(pairs, return_index=True, return_inverse=True)
    # Rows are sorted by user and time, so a visit's first row has its first moment.
    order = np.lexsort((visit[first], moment[first], user[first]))
    users = user[first][order]
    starts = np.flatnonzero(np.append(True, users[1:] != users[:-1]))
    within = np.arange(len(users)) - np.repeat(starts, np.diff(np.append(starts, len(users))))
    number = np.empty(len(users), dtype=np.int32)
    number[order] = within
    return number[inverse]
