"""The same most popular items for everybody."""

from __future__ import annotations

from collections.abc import Sequence

from footfall.personas.persona import Persona
from footfall.simulator.catalog import Catalog
from footfall.simulator.search.ranking import check_page

__all__ = ["PopularityRecommender"]


class PopularityRecommender:
    """Most purchases and clicks first; equally popular items in the catalogue's order."""

    name = "popularity"

    def __init__(self, catalog: Catalog) -> None:
        self._ids: list[str] = catalog.item_ids[catalog.popularity_order()].tolist()

    def recommend(
        self, personas: Sequence[Persona], *, limit: int, offset: int = 0
    ) -> list[list[str]]:
        """The same list of item ids for each persona."""
        check_page(limit, offset)
        page = self._ids[offset : offset + limit]
        return [list(page) for _ in personas]
