"""What a ranker is fitted on: items shown or taken, and what the shopper had taken before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from footfall.simulator.targets.shop_items import ShopItems

__all__ = ["TrainingRows", "earlier_shares", "training_rows"]

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

#: Rows without a response for each response, where the events know responses only: half of them
#: are any items, half are drawn by popularity (mixed negative sampling; Yang et al. 2020).
_NEGATIVES: Final = 4
#: Events that a model is fitted on at most.
_MOST_EVENTS: Final = 40_000

_EVENTS: Final = """
SELECT "shopper_id", "item_id", "query", epoch_us("at") AS moment,
       coalesce("clicked", false) OR coalesce("purchased", false) AS response
FROM events WHERE "shopper_id" IS NOT NULL AND "at" IS NOT NULL
ORDER BY "shopper_id", "at", "item_id"
"""


@dataclass(frozen=True, slots=True)
class TrainingRows:
    """Rows to learn from, and the responses that make up histories.

    Attributes
    ----------
    shopper, moment, place, query
        Of every row: a number for the shopper, microseconds, the item's place, and what was typed
        (none when browsing), shape (rows,).
    response
        Whether the item was clicked or bought, shape (rows,).
    took, took_at, taken
        Of every response of the log: shopper, microseconds, the item's place, shape (responses,).
    """

    shopper: Ints
    moment: Ints
    place: Ints
    query: npt.NDArray[np.object_]
    response: Flags
    took: Ints
    took_at: Ints
    taken: Ints


def training_rows(events: pa.Table, shop: ShopItems, *, seed: int) -> TrainingRows:
    """Rows of the events, or of a part of them where there are many.

    Parameters
    ----------
    events:
        As in :data:`~footfall.simulator.targets.protocol.EVENT_SCHEMA`.
    seed:
        Of which events, and of the items that stand for what was not taken.
    """
    with duckdb.connect() as connection:
        connection.register("events", events)
        rows = connection.sql(_EVENTS).to_arrow_table()
    place = np.array([shop.place.get(each, -1) for each in rows["item_id"].to_pylist()], np.int64)
    rows = rows.filter(pa.array(place >= 0))
    place = place[place >= 0]
    shopper = np.unique(np.array(rows["shopper_id"].to_pylist(), object), return_inverse=True)[1]
    moment = rows["moment"].to_numpy().astype(np.int64)
    response = rows["response"].to_numpy(zero_copy_only=False).astype(np.bool_)
    query = np.array(rows["query"].to_pylist(), object)
    rng = np.random.default_rng(seed)
    kept = np.arange(len(place))
    if len(kept) > _MOST_EVENTS:
        kept = np.sort(rng.choice(kept, size=_MOST_EVENTS, replace=False))
    label, shown = response[kept], place[kept]
    if len(kept) and response.all():
        spare = _not_taken(rng, shop, len(kept))
        shown = np.concatenate([shown, spare.ravel()])
        label = np.concatenate([label, np.zeros(spare.size, np.bool_)])
        kept = np.concatenate([kept, np.repeat(kept, _NEGATIVES)])
    return TrainingRows(
        shopper=shopper[kept],
        moment=moment[kept],
        place=shown,
        query=query[kept],
        response=label,
        took=shopper[response],
        took_at=moment[response],
        taken=place[response],
    )


def earlier_shares(rows: TrainingRows, code: Ints) -> Floats:
    """Share of what the shopper had taken before that has the row's code, shape (rows,).

    What was taken at the same moment is not before: a basket does not explain itself.

    Parameters
    ----------
    code:
        Of every item of the shop, such as a number for its category.
    """
    width = int(code.max(initial=0)) + 1
    same = _earlier(
        rows, rows.took * width + code[rows.taken], rows.shopper * width + code[rows.place]
    )
    return np.asarray(same / np.maximum(_earlier(rows, rows.took, rows.shopper), 1))


def _earlier(rows: TrainingRows, took: Ints, asked: Ints) -> Ints:
    """How many responses of the row's group came before its moment, shape (rows,)."""
    group = np.concatenate([took, asked])
    moment = np.concatenate([rows.took_at, rows.moment])
    counts = np.concatenate([np.ones(len(took), np.int64), np.zeros(len(asked), np.int64)])
    # Rows come before the responses of their moment, so that these are not counted yet.
    order = np.lexsort((counts, moment, group))
    before = np.cumsum(counts[order]) - counts[order]
    sorted_group = group[order]
    starts = np.flatnonzero(np.r_[True, sorted_group[1:] != sorted_group[:-1]])
    lengths = np.diff(np.r_[starts, len(order)])
    found = np.empty(len(order), np.int64)
    found[order] = before - np.repeat(before[starts], lengths)
    return found[len(took) :]


def _not_taken(rng: np.random.Generator, shop: ShopItems, count: int) -> Ints:
    any_item = rng.integers(0, len(shop.ids), size=(count, _NEGATIVES // 2))
    chances: Any = (shop.popularity + 1.0) / (shop.popularity + 1.0).sum()
    popular = rng.choice(len(chances), size=(count, _NEGATIVES - _NEGATIVES // 2), p=chances)
    return np.concatenate([any_item, popular], axis=1).astype(np.int64)
