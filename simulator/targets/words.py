"""Search by words: BM25 over the items' texts; popular items to those who only look around."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from footfall.simulator.catalog import Catalog
from footfall.simulator.search.bm25 import BM25Search
from footfall.simulator.targets.protocol import PageRequest
from footfall.simulator.targets.shop_items import ShopItems

__all__ = ["WordsTarget"]

#: Of each query so many items are ranked, before those that cannot be bought are left out.
_SPARE = 3


class WordsTarget:
    """BM25 for queries, popularity for browsing and for queries that nothing answers."""

    name = "bm25"

    def __init__(self) -> None:
        self._shop = ShopItems.none()
        self._search: BM25Search | None = None

    def fit(self, items: pa.Table, events: pa.Table) -> WordsTarget:
        """Index the texts; ties go to what is taken more often."""
        self._shop = ShopItems.of(items, events)
        named = items.select(["item_id", "text", "category", "brand", "price", "first_seen"])
        taken = pa.array(self._shop.popularity.astype("int64"))
        self._search = BM25Search(Catalog.from_table(named.append_column("popularity", taken)))
        return self

    def answer(self, requests: Sequence[PageRequest]) -> list[list[str]]:
        """One page a request."""
        self._shop.require(self.name)
        made: dict[tuple[str, int, int], list[str]] = {}
        pages = []
        for request in requests:
            asked = ((request.query or "").strip(), request.limit, request.offset)
            if asked not in made:
                made[asked] = self._page(*asked)
            pages.append(made[asked])
        return pages

    def _page(self, query: str, limit: int, offset: int) -> list[str]:
        found = self.found(query, limit + offset)
        if not found:
            return self._shop.popular(limit, offset)
        return found[offset : offset + limit]

    def found(self, query: str | None, wanted: int) -> list[str]:
        """Available items that share a word with the query, best first; ``wanted`` at most."""
        assert self._search is not None
        shop = self._shop
        if not (query or "").strip():
            return []
        ranked, depth = list[str](), _SPARE * wanted
        while True:
            (ranked,) = self._search.search([query or ""], limit=depth)
            kept = [item for item in ranked if shop.available[shop.place[item]]]
            if len(kept) >= wanted or len(ranked) < depth:
                return kept[:wanted]
            depth *= 2
