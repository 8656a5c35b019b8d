"""What the built-in targets know of a shop: its items by place, and how often each was taken."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Self

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from footfall.errors import TargetError

__all__ = ["ShopItems", "taken_pairs"]

_TAKEN = """
SELECT shopper_id, item_id, count(*)::DOUBLE AS times FROM events
WHERE coalesce(purchased, false) OR coalesce(clicked, false)
GROUP BY ALL ORDER BY ALL
"""


def taken_pairs(events: pa.Table) -> pa.Table:
    """``shopper_id``, ``item_id`` and ``times``: how often who clicked or bought what."""
    with duckdb.connect() as connection:
        connection.register("events", events)
        return connection.sql(_TAKEN).to_arrow_table()


class ShopItems:
    """Items in the order of their table.

    Attributes
    ----------
    ids:
        Item ids, object array of shape (items,).
    available:
        Which can be bought, shape (items,).
    popularity:
        How often each was clicked or bought, shape (items,).
    order:
        Places of the available items, most popular first; equally popular ones in the table's
        order.
    """

    def __init__(
        self,
        ids: npt.NDArray[np.object_],
        available: npt.NDArray[np.bool_],
        popularity: npt.NDArray[np.float64],
    ) -> None:
        self.ids = ids
        self.available = available
        self.popularity = popularity
        order = np.argsort(-popularity, kind="stable")
        self.order: npt.NDArray[np.int64] = order[available[order]]
        self.place = {item_id: place for place, item_id in enumerate(ids.tolist())}

    @classmethod
    def of(cls, items: pa.Table, events: pa.Table) -> Self:
        """From what a target may learn from."""
        ids = np.array(items["item_id"].to_pylist(), dtype=object)
        known = items["available"].to_numpy(zero_copy_only=False)
        available = np.array([value is None or bool(value) for value in known.tolist()], bool)
        taken = taken_pairs(events)
        place = {item_id: number for number, item_id in enumerate(ids.tolist())}
        places = np.array([place.get(each, -1) for each in taken["item_id"].to_pylist()], int)
        times = taken["times"].to_numpy()
        popularity = np.bincount(places[places >= 0], times[places >= 0], minlength=len(ids))
        return cls(ids, available, popularity.astype(np.float64))

    @classmethod
    def none(cls) -> Self:
        """A shop without items: what a target knows before it has learned."""
        return cls(np.array([], object), np.array([], bool), np.array([], float))

    def page(self, places: Sequence[int] | npt.NDArray[Any]) -> list[str]:
        """Ids of places, in their order."""
        found: list[str] = self.ids[places].tolist()
        return found

    def popular(self, limit: int, offset: int) -> list[str]:
        """The most popular available items."""
        return self.page(self.order[offset : offset + limit])

    def filled(self, page: Sequence[str], length: int) -> list[str]:
        """A page of ``length`` ids: what is popular follows what it holds."""
        found = list(page[:length])
        if len(found) < length:
            held = set(found)
            spare = self.popular(length + len(held), 0)
            found += [item_id for item_id in spare if item_id not in held]
        return found[:length]

    def places_of(self, item_ids: Iterable[str]) -> list[int]:
        """Places of those ids that the shop has."""
        place = self.place
        return [place[item_id] for item_id in item_ids if item_id in place]

    def require(self, name: str) -> None:
        """Refuse to answer before anything was learned.

        Raises
        ------
        TargetError
            If there is no item.
        """
        if not len(self.ids):
            raise TargetError(
                f"The target {name} has not learned any item.", hint="Call its `fit` first."
            )
