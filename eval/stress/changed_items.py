"""Items that a scenario changes: which ones, and their prices, texts and history after it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from footfall.eval.stress.hostile_texts import ORDERS, frequent_words
from footfall.eval.stress.scenario_tables import Choice, PriceChange, TextChange
from footfall.personas.persona import Persona
from footfall.simulator.catalog import Catalog
from footfall.simulator.targets.protocol import ITEM_SCHEMA

__all__ = [
    "choose_items",
    "choose_new_items",
    "forget_items",
    "reprice",
    "rewrite_texts",
    "target_items",
    "without_items",
]

Places = npt.NDArray[np.int64]
#: Popular and unpopular items are drawn from so many times as many as are wanted.
_DRAWN_FROM: Final = 2


def choose_items(catalog: Catalog, count: int, choice: Choice, rng: np.random.Generator) -> Places:
    """Places of ``count`` different items in catalogue order, fewer where there are fewer."""
    count = min(count, len(catalog))
    if choice == "any":
        pool = np.arange(len(catalog))
    else:
        popularity = catalog.table["popularity"].to_numpy(zero_copy_only=False).astype(np.float64)
        # Equally popular items are in chance order.
        order = np.lexsort((rng.random(len(catalog)), np.nan_to_num(popularity)))
        pool = (order[::-1] if choice == "popular" else order)[: _DRAWN_FROM * count]
    return np.sort(rng.choice(pool, size=count, replace=False)).astype(np.int64)


def choose_new_items(catalog: Catalog, share: float, rng: np.random.Generator) -> frozenset[str]:
    """Ids of about a share of the items. Items of one text go together.

    What a shopper took is known by its text, so one of two items with the same text cannot be
    forgotten alone.
    """
    texts, group = np.unique(np.asarray(catalog.texts(), dtype=object), return_inverse=True)
    sizes = np.bincount(group, minlength=len(texts))
    order = rng.permutation(len(texts))
    taken = order[np.cumsum(sizes[order]) <= share * len(catalog)]
    return frozenset(catalog.item_ids[np.isin(group, taken)].tolist())


def reprice(catalog: Catalog, change: PriceChange, rng: np.random.Generator) -> Catalog:
    """Some items at another price; those without a price stay without."""
    places = choose_items(catalog, round(change.share * len(catalog)), change.items, rng)
    prices = catalog.table["price"].to_numpy(zero_copy_only=False).astype(np.float64)
    prices[places] *= change.factor
    return _with_column(catalog, "price", pa.array(prices, pa.float64(), from_pandas=True))


def rewrite_texts(
    catalog: Catalog, change: TextChange, rng: np.random.Generator
) -> tuple[Catalog, list[str]]:
    """Some items with more in their texts, and the ids of those."""
    places = choose_items(catalog, change.items, change.choose, rng)
    texts = catalog.texts()
    orders: Sequence[str] = (change.phrases or ORDERS) if change.orders else ()
    words = frequent_words(catalog, change.words) if change.words else []
    first = int(rng.integers(len(orders))) if orders else 0
    for number, place in enumerate(places.tolist()):
        added = [orders[(first + number) % len(orders)]] if orders else []
        texts[place] = " ".join([texts[place], *added, *words])
    changed = _with_column(catalog, "text", pa.array(texts, pa.string()))
    return changed, catalog.item_ids[places].tolist()


def _with_column(catalog: Catalog, name: str, values: pa.Array) -> Catalog:
    table = catalog.table
    return Catalog(
        table.set_column(table.column_names.index(name), table.schema.field(name), values)
    )


def target_items(catalog: Catalog, available: npt.NDArray[np.bool_]) -> pa.Table:
    """The items as a target is given them, in catalogue order.

    ``available`` has shape (items,).
    """
    names = [name for name in ITEM_SCHEMA.names if name != "available"]
    table = catalog.table.select(names).append_column("available", pa.array(available, pa.bool_()))
    return table.cast(ITEM_SCHEMA)


def without_items(events: pa.Table, item_ids: Collection[str]) -> pa.Table:
    """The events of all other items."""
    if not item_ids:
        return events
    known: Any = pc.is_in(events["item_id"], pa.array(sorted(item_ids), pa.string()))
    return events.filter(pc.invert(known))


def forget_items(
    personas: Sequence[Persona], catalog: Catalog, item_ids: Collection[str]
) -> list[Persona]:
    """Shoppers who never took the items; nothing else of them changes."""
    gone = {
        text
        for item_id, text in zip(catalog.item_ids.tolist(), catalog.texts(), strict=True)
        if item_id in item_ids
    }
    changed = []
    for persona in personas:
        kept = tuple(text for text in persona.history if text not in gone)
        same = len(kept) == len(persona.history)
        changed.append(persona if same else persona.model_copy(update={"history": kept}))
    return changed
