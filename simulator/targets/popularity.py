"""What everybody takes, to everybody: the target that others have to beat."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from footfall.simulator.targets.protocol import PageRequest
from footfall.simulator.targets.shop_items import ShopItems

__all__ = ["PopularityTarget"]


class PopularityTarget:
    """The items clicked and bought most often; queries are not read."""

    name = "popularity"

    def __init__(self) -> None:
        self._shop = ShopItems.none()

    def fit(self, items: pa.Table, events: pa.Table) -> PopularityTarget:
        """Count the events of each item."""
        self._shop = ShopItems.of(items, events)
        return self

    def answer(self, requests: Sequence[PageRequest]) -> list[list[str]]:
        """The same page for everybody."""
        self._shop.require(self.name)
        made: dict[tuple[int, int], list[str]] = {}
        for request in requests:
            asked = (request.limit, request.offset)
            if asked not in made:
                made[asked] = self._shop.popular(*asked)
        return [made[request.limit, request.offset] for request in requests]
