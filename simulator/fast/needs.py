"""What brings many shoppers at once, drawn as :class:`~footfall.simulator.needs.NeedBook` does.

The distribution is that of the book without memory and season: by interest in a category and
popularity within it; with half the persona's exploration, from the whole catalogue.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

from footfall.simulator.fast.draws import uniforms
from footfall.simulator.fast.items import POPULARITY_EXPONENT, Items
from footfall.simulator.fast.population import Population
from footfall.simulator.rhythm import top_category

__all__ = ["FastNeeds"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

#: Draws until an item is taken that the visit has needed before.
_TRIES: Final = 8
_STREAM: Final = 20


class FastNeeds:
    """Draws needs of visits.

    Parameters
    ----------
    items, population:
        What there is, and who needs it.
    demand:
        Factors of top-level categories; 1 where it has none.
    """

    def __init__(
        self, items: Items, population: Population, demand: Mapping[str, float] | None = None
    ) -> None:
        factors = demand or {}
        categories = items.categories
        factor = np.array([factors.get(top_category(name), 1.0) for name in categories.names])
        none = factors.get("", 1.0)
        top = categories.above[:, 0] if categories.above.shape[1] else np.full(len(items), -1)
        of_item = np.where(top >= 0, np.append(factor, none)[top], none)
        weights = np.exp(POPULARITY_EXPONENT * items.log_popularity) * of_item
        if weights.sum() <= 0.0:
            weights = np.ones(len(items))
        self._everything = np.cumsum(weights)
        self._places, self._starts = categories.members
        self._members = np.concatenate([[0.0], np.cumsum(weights[self._places])])
        # Interests in categories that the shop has, by demand, as sums along each shopper's row.
        known = [categories.place.get(name, -1) for name in population.names]
        self._names = np.asarray(known, dtype=np.int64)
        of_name = np.where(self._names >= 0, np.append(factor, none)[self._names], 0.0)
        told = population.interests[:, :-1] * of_name
        self._interests = np.cumsum(told, axis=1, dtype=np.float64)
        self._explores = population.exploration / 2.0

    def draw(self, seed: int, number: Ints, count: Ints, shopper: Ints, avoid: Ints) -> Ints:
        """Rows of the items that visits need, shape (visits,).

        Parameters
        ----------
        seed:
            Of the crowd.
        number, count:
            Of each visit, and how many needs it had before: what the draw is looked up by.
        shopper:
            Of each visit.
        avoid:
            Items that the visit has needed already, -1 for none, shape (visits, any).
        """
        found = np.full(len(number), -1, dtype=np.int64)
        open_ = np.arange(len(number))
        for attempt in range(_TRIES):
            chance = [
                uniforms(seed, _STREAM + part, number[open_], count[open_], attempt)
                for part in range(3)
            ]
            found[open_] = self._once(shopper[open_], *chance)
            again = (avoid[open_] == found[open_][:, None]).any(axis=1)
            open_ = open_[again]
            if not len(open_):
                break
        return found

    def _once(self, shopper: Ints, explores: Floats, category: Floats, member: Floats) -> Ints:
        outside = np.searchsorted(self._everything, member * self._everything[-1], side="right")
        outside = np.minimum(outside, len(self._everything) - 1)
        if not len(self._names) or not len(self._places):
            return np.asarray(outside, dtype=np.int64)
        interests = self._interests[shopper]
        total = interests[:, -1]
        column = (interests <= (category * total)[:, None]).sum(axis=1)
        name = np.maximum(self._names[np.minimum(column, len(self._names) - 1)], 0)
        start, end = self._starts[name], self._starts[name + 1]
        low, high = self._members[start], self._members[end]
        found = np.searchsorted(self._members, low + member * (high - low), side="right") - 1
        inside = self._places[np.clip(found, start, end - 1)]
        anywhere = (total <= 0.0) | (explores < self._explores[shopper]) | (high <= low)
        return np.where(anywhere, outside, inside).astype(np.int64)
