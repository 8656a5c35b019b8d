"""Any available items: the target that any other has to beat by far."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from footfall.simulator.targets.protocol import PageRequest
from footfall.simulator.targets.shop_items import ShopItems

__all__ = ["RandomTarget"]


class RandomTarget:
    """Available items in an order drawn for each shopper and query; the next page goes on in it.

    Parameters
    ----------
    seed:
        Of the orders.
    """

    name = "random"

    def __init__(self, *, seed: int = 0) -> None:
        self.seed = seed
        self._shop = ShopItems.none()

    def fit(self, items: pa.Table, events: pa.Table) -> RandomTarget:
        """Learn which items there are."""
        self._shop = ShopItems.of(items, events)
        return self

    def answer(self, requests: Sequence[PageRequest]) -> list[list[str]]:
        """A part of each one's order."""
        self._shop.require(self.name)
        return [self._shop.page(self._places(request)) for request in requests]

    def _places(self, request: PageRequest) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        key = f"{self.seed}/{request.shopper_id}/{request.query}/{request.at.date()}"
        digest = hashlib.blake2b(key.encode(), digest_size=16).digest()
        rng = np.random.default_rng(list(digest))
        order = self._shop.order
        end = min(request.offset + request.limit, len(order))
        if end <= request.offset:
            return order[:0]
        # The first draws without replacement are those of any longer page, too.
        keys = rng.permutation(len(order))[request.offset : end]
        return order[keys]
