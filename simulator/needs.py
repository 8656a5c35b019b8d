"""What brings a shopper to the shop: an item in mind, drawn from the persona's interests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from footfall.errors import CatalogueError
from footfall.personas.persona import Persona
from footfall.simulator.catalog import Catalog

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
    """Draws needs in proportion to interest in a category and popularity within it."""

    def __init__(self, catalog: Catalog) -> None:
        table = catalog.table
        if table.num_rows == 0:
            raise CatalogueError("The catalogue is empty.", hint="Ingest items first.")
        self._item_ids = table["item_id"].to_pylist()
        self._texts = table["text"].to_pylist()
        self._categories = table["category"].to_pylist()
        popularity = np.nan_to_num(
            table["popularity"].to_numpy(zero_copy_only=False).astype(np.float64)
        )
        self._weights = (1.0 + popularity) ** _POPULARITY_EXPONENT
        members: dict[str, list[int]] = {}
        for index, category in enumerate(self._categories):
            for prefix in category_prefixes(category):
                members.setdefault(prefix, []).append(index)
        self._members = {name: np.asarray(indices) for name, indices in members.items()}
        self._everything = np.arange(len(self._item_ids))

    def draw(self, persona: Persona, rng: np.random.Generator) -> Need:
        """Draw one need; with probability ``exploration / 2`` from outside the interests."""
        members = self._everything
        known = [name for name in persona.interests if name in self._members]
        if known and rng.random() >= persona.exploration / 2.0:
            weights = np.asarray([persona.interests[name] for name in known])
            if weights.sum() > 0:
                members = self._members[known[_draw(weights, rng)]]
        index = int(members[_draw(self._weights[members], rng)])
        return Need(self._item_ids[index], self._categories[index] or "", self._texts[index])


def _draw(weights: npt.NDArray[np.float64], rng: np.random.Generator) -> int:
    total = np.cumsum(weights)
    place = int(np.searchsorted(total, rng.random() * total[-1], side="right"))
    return min(place, len(total) - 1)
