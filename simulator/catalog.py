"""The shop's items as one table."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, overload

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from footfall.errors import CatalogueError
from footfall.simulator.schema import ORIGIN_REAL

if TYPE_CHECKING:
    from footfall.simulator.log import Log

__all__ = ["Catalog", "utc_moment"]

_SCHEMA: Final = pa.schema(
    [
        ("item_id", pa.string()),
        ("text", pa.string()),
        ("category", pa.string()),
        ("brand", pa.string()),
        ("price", pa.float64()),
        ("first_seen", pa.timestamp("us")),
        ("popularity", pa.int64()),
    ]
)

# A log without purchases of its own may mark impressions as purchased: then those count too.
_SQL: Final = """
WITH bought AS (
    SELECT item_id, count(*) AS times, min(purchased_at) AS first_seen,
           median(amount / quantity) FILTER (quantity > 0 AND isfinite(amount)) AS price
    FROM purchases
    WHERE origin = $origin AND ($until::TIMESTAMP IS NULL OR purchased_at < $until::TIMESTAMP)
    GROUP BY item_id
), shown AS (
    SELECT item_id, min(coalesce(shown_at, clicked_at, purchased_at)) AS first_seen,
           count(*) FILTER (
               coalesce(clicked, false)
               OR (coalesce(purchased, false) AND NOT EXISTS (FROM bought))
           ) AS times
    FROM impressions
    WHERE origin = $origin
      AND ($until::TIMESTAMP IS NULL
           OR coalesce(shown_at, clicked_at, purchased_at) < $until::TIMESTAMP)
    GROUP BY item_id
), known AS (
    SELECT item_id, text, category, brand, coalesce(items.price, bought.price) AS price,
           coalesce(items.first_seen, least(bought.first_seen, shown.first_seen)) AS first_seen,
           coalesce(bought.times, 0) + coalesce(shown.times, 0) AS popularity
    FROM items LEFT JOIN bought USING (item_id) LEFT JOIN shown USING (item_id)
), near AS (
    SELECT category, median(price) AS price FROM known
    WHERE category IS NOT NULL AND price IS NOT NULL GROUP BY category
)
SELECT item_id, text, known.category, brand,
       coalesce(known.price, near.price, (SELECT median(price) FROM known)) AS price,
       first_seen, popularity
FROM known LEFT JOIN near ON known.category = near.category ORDER BY item_id
"""


@overload
def utc_moment(moment: datetime) -> datetime: ...
@overload
def utc_moment(moment: None) -> None: ...
def utc_moment(moment: datetime | None) -> datetime | None:
    """``moment`` as the log keeps time: UTC without zone. One without zone is taken as UTC."""
    if moment is None or moment.tzinfo is None:
        return moment
    return moment.astimezone(UTC).replace(tzinfo=None)


class Catalog:
    """Items with text, category path, brand, price, first-seen time and popularity.

    Attributes
    ----------
    table:
        ``item_id``, ``text``, ``category``, ``brand``, ``price``, ``first_seen``, ``popularity``
        (purchases plus clicks), one row an item.
    item_ids:
        The ids in the table's order, an object array of shape ``(len(catalog),)``.
    """

    def __init__(self, table: pa.Table) -> None:
        self.table = table
        self.item_ids: npt.NDArray[np.object_] = np.array(
            table["item_id"].to_pylist(), dtype=object
        )
        self._place = {item_id: place for place, item_id in enumerate(self.item_ids)}

    @classmethod
    def from_table(cls, items: pa.Table) -> Catalog:
        """Make a catalogue of ``items``: ``item_id`` and ``text``, the other columns optional.

        Raises
        ------
        CatalogueError
            If there is no item, a column is missing or has values of a wrong kind, or an id or
            text is missing or an id repeated.
        """
        missing = [name for name in ("item_id", "text") if name not in items.column_names]
        if missing:
            raise CatalogueError(
                f"The catalogue lacks the column(s) {', '.join(missing)}.",
                hint="Needed: item_id and text.",
            )
        try:
            table = pa.table(
                {field.name: _column(items, field) for field in _SCHEMA}, schema=_SCHEMA
            )
        except pa.ArrowInvalid as error:
            raise CatalogueError(
                f"A column of the catalogue has values of a wrong kind: {error}",
                hint="item_id, text, category, brand: text. price: number. first_seen: timestamp.",
            ) from error
        _check(table)
        return cls(table)

    @classmethod
    def from_log(cls, log: Log, *, until: datetime | None = None) -> Catalog:
        """The items of a log, as known before ``until``, sorted by id.

        ``price`` is the item's own price, else the median unit price paid, else the median of the
        items of the same category, else that of all items, else null. ``first_seen`` is the
        item's own, else the time of its first purchase or impression. ``popularity`` counts real
        purchases and clicks. Purchases and impressions from ``until`` on are not looked at.

        Raises
        ------
        CatalogueError
            If the log has no items.
        """
        items = log.query(_SQL, {"origin": ORIGIN_REAL, "until": utc_moment(until)})
        return cls.from_table(items)

    def __len__(self) -> int:
        return len(self.item_ids)

    def __contains__(self, item_id: object) -> bool:
        return item_id in self._place

    def places(self, item_ids: Sequence[str]) -> npt.NDArray[np.int64]:
        """Row numbers of ``item_ids``, in their order.

        Raises
        ------
        CatalogueError
            If an id is not in the catalogue.
        """
        try:
            return np.fromiter(
                (self._place[item_id] for item_id in item_ids), np.int64, len(item_ids)
            )
        except KeyError as error:
            raise CatalogueError(
                f"The item {error.args[0]!r} is not in the catalogue of {len(self)} items.",
                hint="Ingest it with the other items, or let the search engine answer with ids"
                " of the catalogue.",
            ) from error

    def rows(self, item_ids: Sequence[str]) -> pa.Table:
        """Rows of ``item_ids``, in their order, repeats kept; errors as in :meth:`places`."""
        return self.table.take(pa.array(self.places(item_ids)))

    def texts(self) -> list[str]:
        """Item texts in the table's order."""
        texts: list[str] = self.table["text"].to_pylist()
        return texts

    def popularity_order(self) -> npt.NDArray[np.int64]:
        """Row numbers, most popular first; equally popular items in the table's order."""
        popularity = self.table["popularity"].to_numpy()
        order: npt.NDArray[np.int64] = np.argsort(-popularity, kind="stable")
        return order

    def subset(self, item_ids: Sequence[str]) -> Catalog:
        """A catalogue of these items only, in the order given."""
        return Catalog.from_table(self.rows(item_ids))


def _column(items: pa.Table, field: pa.Field) -> Any:
    if field.name in items.column_names:
        return items[field.name].cast(field.type)
    fill = 0 if field.name == "popularity" else None
    return pa.array([fill] * items.num_rows, field.type)


def _check(table: pa.Table) -> None:
    if not table.num_rows:
        raise CatalogueError("The catalogue is empty.", hint="Ingest a log that has items.")
    for name in ("item_id", "text"):
        if table[name].null_count:
            place = pc.index(pc.is_null(table[name]), True).as_py()
            raise CatalogueError(
                f"Row {place + 1} of the catalogue has no {name}.", hint="Give every item one."
            )
    counts = pc.value_counts(table["item_id"])
    repeated = counts.filter(pc.greater(counts.field("counts"), 1)).field("values")
    if len(repeated):
        raise CatalogueError(
            f"{len(repeated)} item id(s) of the catalogue are repeated, such as"
            f" {repeated[0].as_py()!r}.",
            hint="Keep one row for each item_id.",
        )
