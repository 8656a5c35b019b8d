"""What brings a shopper to the shop: an item in mind.

Either something taken before is due again, or the item is drawn from the persona's interests, the
season, and the popularity of the items. Nothing is needed that was taken lately and is not due, nor
what the visit has met already.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from footfall.errors import CatalogueError
from footfall.personas.persona import Persona
from footfall.simulator.catalog import Catalog
from footfall.simulator.rhythm import Rhythm, top_category

if TYPE_CHECKING:
    from footfall.simulator.memory import Memory

__all__ = ["CATEGORY_SEPARATOR", "Need", "NeedBook", "category_prefixes"]

CATEGORY_SEPARATOR = " > "
#: Popular items are needed more often, but less than in proportion (word2vec's noise exponent).
_POPULARITY_EXPONENT = 0.75


@dataclass(frozen=True, slots=True)
class Need:
    """An item in mind: ``wanted`` is its text, which the shopper puts into a query."""

    item_id: str
    category: str
    wanted: str


def category_prefixes(category: str | None) -> list[str]:
    """The path itself and all its ancestors: ``a > b`` gives ``["a", "a > b"]``."""
    if not category:
        return []
    parts = category.split(CATEGORY_SEPARATOR)
    return [CATEGORY_SEPARATOR.join(parts[: depth + 1]) for depth in range(len(parts))]


class NeedBook:
    """Draws needs: what is due again, or by interest in a category and popularity within it.

    ``demand`` holds factors of top-level categories by which they are needed more or less often;
    1 where it has none.
    """

    def __init__(self, catalog: Catalog, *, demand: Mapping[str, float] | None = None) -> None:
        table = catalog.table
        if table.num_rows == 0:
            raise CatalogueError("The catalogue is empty.", hint="Ingest items first.")
        self._item_ids = table["item_id"].to_pylist()
        self._place = {item_id: index for index, item_id in enumerate(self._item_ids)}
        self._texts = table["text"].to_pylist()
        self._categories = table["category"].to_pylist()
        popularity = np.nan_to_num(
            table["popularity"].to_numpy(zero_copy_only=False).astype(np.float64)
        )
        self._popularity_weights = (1.0 + popularity) ** _POPULARITY_EXPONENT
        members: dict[str, list[int]] = {}
        for index, category in enumerate(self._categories):
            for prefix in category_prefixes(category):
                members.setdefault(prefix, []).append(index)
        self._members = {name: np.asarray(indices) for name, indices in members.items()}
        self._tops = [name for name in self._members if name == top_category(name)]
        self._everything = np.arange(len(self._item_ids))
        self._without_category = np.flatnonzero([not name for name in self._categories])
        self._set_demand(demand or {})

    def with_demand(self, demand: Mapping[str, float]) -> NeedBook:
        """The same items, needed by other factors; nothing else is made anew."""
        other = copy(self)
        other._set_demand(demand)
        return other

    def _set_demand(self, demand: Mapping[str, float]) -> None:
        self._demand = dict(demand)
        self._weights = self._popularity_weights.copy()
        for name in self._tops:
            self._weights[self._members[name]] *= self._factor(name)
        self._weights[self._without_category] *= self._factor(None)
        # Weights of the month that was asked for last: visits of one time ask for the same.
        self._season_factors: tuple[float, ...] = ()
        self._season_weights: npt.NDArray[np.float64] = self._weights

    def draw(
        self,
        persona: Persona,
        rng: np.random.Generator,
        *,
        memory: Memory | None = None,
        moment: datetime | None = None,
        rhythm: Rhythm | None = None,
        avoid: frozenset[str] = frozenset(),
    ) -> Need:
        """Draw one need.

        With the rhythm's replenishment share an item that is due, in proportion to its hazard, if
        any is. Otherwise by interest and season; with probability ``exploration / 2`` from outside
        the interests.

        Parameters
        ----------
        persona:
            The shopper on this visit (:meth:`footfall.simulator.memory.Memory.persona_at`).
        rng:
            Source of chance.
        memory:
            What was taken before. It needs ``moment``.
        moment:
            Time of the visit.
        rhythm:
            How much the past and the season count; the memory's own where not given.
        avoid:
            Items that this visit has needed already. They are needed again only if the catalogue
            has nothing else.
        """
        excluded = avoid
        if memory is not None and moment is not None:
            rhythm = rhythm or memory.rhythm
            due = self._draw_due(memory, moment, rhythm, avoid, rng)
            if due is not None:
                return self._need(due)
            excluded = avoid | memory.not_due(moment)
        season = (rhythm, moment) if rhythm and moment and rhythm.season else None
        for leave_out in dict.fromkeys((excluded, avoid, frozenset[str]())):
            index = self._draw_interesting(persona, rng, self._places(leave_out), season)
            if index is not None:
                return self._need(index)
        raise AssertionError("a catalogue with items always has one to draw")

    def _draw_due(
        self,
        memory: Memory,
        moment: datetime,
        rhythm: Rhythm,
        avoid: frozenset[str],
        rng: np.random.Generator,
    ) -> int | None:
        share = rhythm.replenishment.value
        if share <= 0.0 or rng.random() >= share:
            return None
        items, hazards = memory.due_weights(moment)
        usable = [
            number
            for number, item_id in enumerate(items)
            if item_id not in avoid and item_id in self._place
        ]
        factors = [self._factor(self._categories[self._place[items[n]]]) for n in usable]
        weights = hazards[usable] * np.asarray(factors)
        if not usable or weights.sum() <= 0.0:
            return None
        return self._place[items[usable[_draw(weights, rng)]]]

    def _factor(self, category: str | None) -> float:
        return self._demand.get(top_category(category), 1.0)

    def _draw_interesting(
        self,
        persona: Persona,
        rng: np.random.Generator,
        left_out: npt.NDArray[np.int64],
        season: tuple[Rhythm, datetime] | None,
    ) -> int | None:
        """A place in the catalogue, or None if nothing is left; each category is tried once."""
        known = {
            name: weight * self._factor(name)
            for name, weight in persona.interests.items()
            if weight > 0 and name in self._members
        }
        if season is not None:
            known = {
                name: weight * season[0].season_factor(name, season[1])
                for name, weight in known.items()
            }
        if known and rng.random() >= persona.exploration / 2.0:
            while known:
                name = list(known)[_draw(np.asarray(list(known.values())), rng)]
                index = self._draw_member(self._members[name], left_out, rng)
                if index is not None:
                    return index
                del known[name]
        weights = self._weights if season is None else self._seasonal_weights(*season)
        return self._draw_member(self._everything, left_out, rng, weights)

    def _draw_member(
        self,
        members: npt.NDArray[np.int64],
        left_out: npt.NDArray[np.int64],
        rng: np.random.Generator,
        all_weights: npt.NDArray[np.float64] | None = None,
    ) -> int | None:
        weights = (self._weights if all_weights is None else all_weights)[members]
        # Both are in ascending order; indexing by `members` has made a copy.
        places = np.searchsorted(members, left_out)
        places = places[places < len(members)]
        weights[places[np.isin(members[places], left_out)]] = 0.0
        if weights.sum() <= 0.0:
            return None
        return int(members[_draw(weights, rng)])

    def _seasonal_weights(self, rhythm: Rhythm, moment: datetime) -> npt.NDArray[np.float64]:
        factors = tuple(rhythm.season_factor(name, moment) for name in self._tops)
        if factors != self._season_factors:
            self._season_weights = self._weights.copy()
            for name, factor in zip(self._tops, factors, strict=True):
                self._season_weights[self._members[name]] *= factor
            self._season_factors = factors
        return self._season_weights

    def _places(self, item_ids: frozenset[str]) -> npt.NDArray[np.int64]:
        places = [self._place[item_id] for item_id in item_ids if item_id in self._place]
        return np.asarray(sorted(places), dtype=np.int64)

    def _need(self, index: int) -> Need:
        return Need(self._item_ids[index], self._categories[index] or "", self._texts[index])


def _draw(weights: npt.NDArray[np.float64], rng: np.random.Generator) -> int:
    total = np.cumsum(weights)
    place = int(np.searchsorted(total, rng.random() * total[-1], side="right"))
    return min(place, len(total) - 1)
