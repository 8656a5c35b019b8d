"""Any available items: the target that any other has to beat by far."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from footfall.errors import SettingError
from footfall.simulator.fast.draws import text_keys, uniforms
from footfall.simulator.targets.protocol import PageRequest
from footfall.simulator.targets.shop_items import ShopItems

__all__ = ["RandomTarget"]

#: Stream of random numbers, and rounds of the permutation.
_STREAM: Final = 61
_ROUNDS: Final = 4


class RandomTarget:
    """Available items in an order drawn for each shopper, query and day.

    The next page goes on in the same order, and no order is ever written down: a place on a page is
    turned into an item by a Feistel network, walked until it ends inside the shop (Black and
    Rogaway, "Ciphers with arbitrary finite domains", 2002).

    Parameters
    ----------
    seed:
        Of the orders.

    Raises
    ------
    SettingError
        If the seed is no whole number.
    """

    name = "random"

    def __init__(self, *, seed: int = 0) -> None:
        if not isinstance(seed, int):
            raise SettingError(f"seed is {seed!r}.", hint="Use a whole number.")
        self.seed = seed
        self._shop = ShopItems.none()

    def fit(self, items: pa.Table, events: pa.Table) -> RandomTarget:
        """Learn which items there are."""
        self._shop = ShopItems.of(items, events)
        return self

    def answer(self, requests: Sequence[PageRequest]) -> list[list[str]]:
        """A part of each one's order."""
        shop = self._shop
        shop.require(self.name)
        count = len(shop.order)
        spans = [
            range(min(each.offset, count), min(each.offset + each.limit, count))
            for each in requests
        ]
        sizes = [len(span) for span in spans]
        keys = text_keys([f"{each.shopper_id}/{each.query}/{each.at.date()}" for each in requests])
        places = np.fromiter((place for span in spans for place in span), np.int64, sum(sizes))
        drawn = shop.page(shop.order[self._permuted(places, np.repeat(keys, sizes), count)])
        ends = np.cumsum(sizes).tolist()
        return [drawn[end - size : end] for end, size in zip(ends, sizes, strict=True)]

    def _permuted(
        self, places: npt.NDArray[np.int64], keys: npt.NDArray[Any], count: int
    ) -> npt.NDArray[np.int64]:
        """Another place below ``count`` for each, by the permutation of its key."""
        half = max(1, (max(count - 1, 1).bit_length() + 1) // 2)
        found = places.copy()
        outside = np.arange(len(places))
        while len(outside):
            left, right = found[outside] >> half, found[outside] & ((1 << half) - 1)
            for turn in range(_ROUNDS):
                mixed = uniforms(self.seed, _STREAM, keys[outside], right, turn)
                left, right = right, left ^ (mixed * (1 << half)).astype(np.int64)
            found[outside] = (left << half) | right
            outside = outside[found[outside] >= count]
        return found
