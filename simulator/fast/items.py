"""A catalogue as arrays: what a crowd that reads no texts needs to know of every item."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from footfall.personas.habits import interest_category
from footfall.simulator.catalog import Catalog
from footfall.simulator.fast.draws import text_keys
from footfall.simulator.needs import category_prefixes

__all__ = ["POPULARITY_EXPONENT", "Categories", "Items", "UsualPrices", "described"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

#: As in the need book: popular items are needed more, but less than in proportion.
POPULARITY_EXPONENT: Final = 0.75
#: Fewest priced items of a category whose mean price says what is usual in it.
_FEWEST_PRICES: Final = 3


class Categories:
    """Paths of a catalogue and the places of the items below them.

    Attributes
    ----------
    names
        All paths and their ancestors, in order of first appearance.
    place
        Number of each name.
    path
        Number of every item's own path, -1 where it has none, shape (items,).
    group
        Number among :attr:`group_names` of every item's path cut to the depth of interests.
    """

    def __init__(self, paths: Sequence[str | None]) -> None:
        self.place: dict[str, int] = {}
        distinct = {path: number for number, path in enumerate(dict.fromkeys(paths))}
        above = [
            [self.place.setdefault(name, len(self.place)) for name in category_prefixes(path)]
            for path in distinct
        ]
        self.names = tuple(self.place)
        depth = max((len(each) for each in above), default=0)
        padded = [each + [-1] * (depth - len(each)) for each in above]
        code = np.fromiter((distinct[path] for path in paths), np.int64, len(paths))
        #: Numbers of the path and its ancestors, root first, -1 where none, shape (items, depth).
        self.above: Ints = np.asarray(padded, dtype=np.int64).reshape(len(above), depth)[code]
        self.path: Ints = np.array([each[-1] if each else -1 for each in above], np.int64)[code]
        groups: dict[str, int] = {}
        numbers = [
            groups.setdefault(interest_category(path or ""), len(groups)) for path in distinct
        ]
        self.group_names = tuple(groups)
        self.group: Ints = np.asarray(numbers, dtype=np.int64)[code]

    @cached_property
    def members(self) -> tuple[Ints, Ints]:
        """Items below every name: their places, and where each name's begin; one start more."""
        rows, columns = np.nonzero(self.above >= 0)
        names = self.above[rows, columns]
        order = np.lexsort((rows, names))
        starts = np.searchsorted(names[order], np.arange(len(self.names) + 1))
        return rows[order], starts.astype(np.int64)


@dataclass(frozen=True, slots=True)
class UsualPrices:
    """What items of a category usually cost: mean log prices by category path, and of all."""

    by_category: dict[str, float]
    overall: float

    @classmethod
    def of(cls, prices: Floats, paths: Sequence[str | None]) -> UsualPrices:
        """From the priced items; categories of fewer than three of them have no price of theirs."""
        logs = _log_prices(prices)
        known = np.isfinite(logs)
        if not known.any():
            return cls({}, 0.0)
        place: dict[str, int] = {}
        code = np.fromiter((place.setdefault(p or "", len(place)) for p in paths), np.int64)
        counts = np.bincount(code[known], minlength=len(place))
        sums = np.bincount(code[known], logs[known], minlength=len(place))
        usual = {
            name: float(sums[number] / counts[number])
            for name, number in place.items()
            if name and counts[number] >= _FEWEST_PRICES
        }
        return cls(usual, float(logs[known].mean()))

    def excess(self, prices: Floats, paths: Sequence[str | None]) -> Floats:
        """Log price above the usual one, shape (items,); 0 where no price is known."""
        usual = [self.by_category.get(path or "", self.overall) for path in paths]
        return np.nan_to_num(_log_prices(prices) - np.asarray(usual, dtype=np.float64))


@dataclass(frozen=True)
class Items:
    """Columns of a catalogue, all in its order.

    Attributes
    ----------
    ids, keys
        Item ids, and what their random numbers are looked up by, shape (items,).
    vectors
        Of text and category, shape (items, dimensions), each of length one or zero.
    log_popularity, usual_popularity
        log(1 + purchases and clicks), and what it is on average among items of the category as
        they are needed.
    prices, excess
        In the log's currency (not a number where unknown), and log price above what is usual in
        the category.
    categories
        Their paths.
    """

    ids: npt.NDArray[np.object_]
    keys: npt.NDArray[np.uint64]
    vectors: npt.NDArray[np.float32]
    log_popularity: Floats
    usual_popularity: Floats
    prices: Floats
    excess: Floats
    categories: Categories

    @classmethod
    def of(
        cls,
        catalog: Catalog,
        vectors: npt.NDArray[np.float32],
        usual: UsualPrices,
        log_popularity: Floats | None = None,
    ) -> Items:
        """From a catalogue, the vectors of its items, and what items usually cost.

        ``log_popularity`` is the catalogue's own where it is not given.
        """
        table = catalog.table
        paths: list[str | None] = table["category"].to_pylist()
        prices = table["price"].to_numpy(zero_copy_only=False).astype(np.float64)
        if log_popularity is None:
            popularity = table["popularity"].to_numpy(zero_copy_only=False).astype(np.float64)
            log_popularity = np.log1p(np.nan_to_num(popularity))
        categories = Categories(paths)
        # Items are needed by this weight (:mod:`footfall.simulator.needs`).
        weight = np.exp(POPULARITY_EXPONENT * log_popularity)
        total = np.bincount(categories.group, weight * log_popularity)
        mean: Floats = total / np.bincount(categories.group, weight)
        return cls(
            ids=catalog.item_ids,
            keys=text_keys(catalog.item_ids.tolist()),
            vectors=vectors,
            log_popularity=log_popularity,
            usual_popularity=mean[categories.group],
            prices=prices,
            excess=usual.excess(prices, paths),
            categories=categories,
        )

    def __len__(self) -> int:
        return len(self.ids)


def described(catalog: Catalog) -> list[str]:
    """Text and category of each item: what its vector is made of."""
    texts: list[Any] = catalog.table["text"].to_pylist()
    paths: list[Any] = catalog.table["category"].to_pylist()
    return [f"{text} {path}" if path else text for text, path in zip(texts, paths, strict=True)]


def _log_prices(prices: Floats) -> Floats:
    known = np.isfinite(prices) & (prices > 0)
    return np.where(known, np.log(np.where(known, prices, 1.0)), np.nan)
