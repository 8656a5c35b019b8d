"""The best page that the catalogue has for a shopper and a need."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

from footfall.personas.habits import interest_category
from footfall.simulator.behaviour import sigmoid
from footfall.simulator.fast.click_odds import ClickOdds
from footfall.simulator.fast.items import Items
from footfall.simulator.fast.population import Population

__all__ = ["IdealPages"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Vectors = npt.NDArray[np.float32]

#: Candidates of each group, the most popular ones.
_OF_GROUP: Final = 300
#: Groups that interest a shopper most.
_GROUPS: Final = 3


class IdealPages:
    """Discounted gain of the best pages.

    A catalogue may have 100,000 items, so not all of them are looked at: candidates are the 300
    most popular items of the need's category (where something was typed), of the shopper's three
    strongest interests and of the shop, the needed item, and all that the shopper took before. A
    page can therefore be better than the ideal one, by items that nobody would have thought of.

    Parameters
    ----------
    items, population:
        What there is, and for whom.
    limit:
        Items on a page.
    """

    def __init__(self, items: Items, population: Population, limit: int) -> None:
        self._limit = limit
        self._group = items.categories.group
        place = {name: number for number, name in enumerate(items.categories.group_names)}
        best = np.argsort(-items.log_popularity, kind="stable")
        order = best[np.argsort(self._group[best], kind="stable")]
        starts = np.searchsorted(self._group[order], np.arange(len(place) + 1))
        pieces = pairwise(starts.tolist())
        self._candidates = [order[start : min(end, start + _OF_GROUP)] for start, end in pieces]
        # The last group is the shop's most popular items.
        self._candidates.append(best[:_OF_GROUP])
        self._interesting = _interesting(population, place)
        self._discount = 1.0 / np.log2(np.arange(2, limit + 2))

    def gains(
        self,
        odds: ClickOdds,
        shopper: Ints,
        needed: Ints,
        history: Ints,
        query: Vectors,
        typed: npt.NDArray[np.bool_],
    ) -> Floats:
        """Discounted gain of each page's ideal, shape (pages,).

        Parameters
        ----------
        odds:
            Log-odds of a click.
        shopper, needed, query, typed:
            Of each page.
        history:
            Of all shoppers.
        """
        groups = np.column_stack(
            [
                np.where(typed, self._group[needed], -1),
                self._interesting[shopper],
                np.full(len(shopper), len(self._candidates) - 1),
            ]
        )
        groups[:, 1:-1][groups[:, 1:-1] == groups[:, :1]] = -1
        found, rows = self._own(odds, shopper, needed, history, query, typed)
        size = (len(shopper), groups.shape[1] * self._limit)
        best, places = np.full(size, -np.inf, dtype=np.float32), np.full(size, -1, dtype=np.int64)
        for group in np.unique(groups[groups >= 0]).tolist():
            pages, slot = np.nonzero(groups == group)
            candidates = self._candidates[group]
            scores = odds.grid(shopper[pages], candidates, query[pages], typed[pages])
            kept = min(self._limit, len(candidates))
            top = np.argpartition(-scores, kept - 1, axis=1)[:, :kept]
            columns = slot[:, None] * self._limit + np.arange(kept)
            best[pages[:, None], columns] = np.take_along_axis(scores, top, axis=1)
            places[pages[:, None], columns] = candidates[top]
        scores = np.hstack([found, best])
        rows = np.hstack([rows, places])
        scores[_repeated(rows)] = -np.inf
        # Where the catalogue has fewer items than a page holds, the rest has no gain.
        negated = np.sort(np.partition(-scores, self._limit - 1, axis=1)[:, : self._limit])
        gains = sigmoid(-negated.astype(np.float64))
        return np.asarray(gains @ self._discount, dtype=np.float64)

    def _own(
        self,
        odds: ClickOdds,
        shopper: Ints,
        needed: Ints,
        history: Ints,
        query: Vectors,
        typed: npt.NDArray[np.bool_],
    ) -> tuple[Vectors, Ints]:
        """Log-odds and rows of the needed item and of all that the shopper took."""
        rows = np.column_stack([needed, history[shopper]])
        rows[:, 1:][rows[:, 1:] == rows[:, :1]] = -1
        page, column = np.nonzero(rows >= 0)
        found = np.full(rows.shape, -np.inf, dtype=np.float32)
        item = rows[page, column]
        found[page, column] = odds.pairs(shopper[page], item, history, query[page], typed[page])
        return found, rows


def _interesting(population: Population, place: dict[str, int]) -> Ints:
    """Groups of each shopper's strongest interests, -1 for none, shape (shoppers, 3)."""
    groups = np.array([place.get(interest_category(name), -1) for name in population.names], int)
    if not len(groups):
        return np.full((len(population), _GROUPS), -1, dtype=np.int64)
    weights = np.where(groups >= 0, population.interests[:, :-1], 0.0)
    order = np.argsort(-weights, axis=1, kind="stable")[:, :_GROUPS]
    found = np.where(np.take_along_axis(weights, order, axis=1) > 0.0, groups[order], -1)
    # Two interests may lie in one group.
    for column in range(1, found.shape[1]):
        same = (found[:, :column] == found[:, column : column + 1]).any(axis=1)
        found[same, column] = -1
    return found.astype(np.int64)


def _repeated(rows: Ints) -> npt.NDArray[np.bool_]:
    """Whether an item stands further left in the same row, too; shape of ``rows``."""
    order = np.argsort(rows, axis=1, kind="stable")
    ordered = np.take_along_axis(rows, order, axis=1)
    same = np.zeros(rows.shape, dtype=np.bool_)
    same[:, 1:] = ordered[:, 1:] == ordered[:, :-1]
    found = np.empty_like(same)
    np.put_along_axis(found, order, same, axis=1)
    return found
