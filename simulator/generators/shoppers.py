"""Who the shoppers of generated sessions are.

A generator makes sessions of nobody. Each is given to one of a population of personas by Bayes'
rule: who comes often, and whose interests lie in the categories that the session responded to (or
was shown, where it responded to nothing), is the likelier.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from footfall.personas import PersonaModel, invent_personas
from footfall.personas.habits import interest_category
from footfall.personas.persona import Persona
from footfall.simulator.catalog import Catalog
from footfall.simulator.histories import read_demographics, read_histories, read_pages
from footfall.simulator.language import catalog_language

if TYPE_CHECKING:
    from footfall.simulator.log import Log

__all__ = ["ShopperOdds", "population"]

Floats: TypeAlias = npt.NDArray[np.float64]
Integers: TypeAlias = npt.NDArray[np.int64]

_SEPARATOR: Final = " > "
_K_ANONYMITY: Final = 5
_SEGMENTS: Final = 12
#: Share of interest that everybody has in everything, so that no session is without a shopper.
_FLOOR: Final = 0.01
#: Cells (sessions x personas) weighed at once: 32 MB of doubles.
_CELLS: Final = 4_000_000


def population(log: Log, count: int, *, until: datetime | None, seed: int) -> list[Persona]:
    """Personas fitted on the log before ``until``, k-anonymous with k = 5.

    Where fewer than five people have a history nothing of theirs may be told: personas are then
    invented.
    """
    histories = read_histories(log, until=until)
    locale = catalog_language(log, until=until).default_locale()
    people = pc.count_distinct(histories["user_id"]).as_py() if histories.num_rows else 0
    if people < _K_ANONYMITY:
        return invent_personas(count, locale=locale, seed=seed)
    model = PersonaModel(
        segments=max(1, min(_SEGMENTS, people // _K_ANONYMITY)),
        k_anonymity=_K_ANONYMITY,
        locale=locale,
        seed=seed,
    )
    pages = read_pages(log, until=until)
    return model.fit(histories, read_demographics(log), pages=pages).sample(count)


class ShopperOdds:
    """How likely each persona is the shopper of a session.

    Parameters
    ----------
    personas:
        The population.
    catalog:
        Gives the items' categories.
    """

    def __init__(self, personas: Sequence[Persona], catalog: Catalog) -> None:
        categories = [
            interest_category(text) if text else ""
            for text in catalog.table["category"].to_pylist()
        ]
        self._names, codes = np.unique(np.array(categories, dtype=object), return_inverse=True)
        self._category: Integers = codes.astype(np.int64)
        self._interest = _interests(personas, [str(name) for name in self._names])
        self._activity = np.array([persona.activity for persona in personas])
        self._catalog = catalog

    def draw(self, block: pa.Table, generator: np.random.Generator) -> Integers:
        """Index of a persona for every session of a block, in the order of the sessions."""
        sessions, place = np.unique(block["session"].to_numpy(), return_inverse=True)
        shown = block["item_id"].is_valid().to_numpy()
        item = np.zeros(len(place), dtype=np.int64)
        item[shown] = self._catalog.places(block["item_id"].drop_null().to_pylist())
        responded = np.zeros(len(place), dtype=np.bool_)
        for name in ("clicked", "carted", "purchased"):
            responded |= block[name].fill_null(False).to_numpy()
        # A response outweighs whatever was only shown.
        weights = np.where(responded, 1.0, 1e-6) * shown
        mix = np.zeros((len(sessions), len(self._names)))
        np.add.at(mix, (place, self._category[item]), weights)
        mix /= np.maximum(mix.sum(axis=1, keepdims=True), 1e-12)
        chosen = np.empty(len(sessions), dtype=np.int64)
        step = max(1, _CELLS // len(self._activity))
        for first in range(0, len(sessions), step):
            odds = (mix[first : first + step] @ self._interest.T + _FLOOR) * self._activity
            cumulated = np.cumsum(odds, axis=1)
            wanted = generator.random((len(odds), 1)) * cumulated[:, -1:]
            places = (cumulated <= wanted).sum(axis=1)
            chosen[first : first + step] = np.minimum(places, len(self._activity) - 1)
        return chosen


def _interests(personas: Sequence[Persona], names: list[str]) -> Floats:
    """Share of each persona's interest under each category, shape ``(personas, categories)``.

    Averaged over the steps of the category's path, as the classifier's category affinity is.
    """
    prefixes = [_prefixes(name) for name in names]
    number = {prefix: n for n, prefix in enumerate(sorted({p for each in prefixes for p in each}))}
    mass = np.zeros((len(personas), len(number)))
    for row, persona in enumerate(personas):
        for category, weight in persona.interests.items():
            for prefix in _prefixes(category):
                if prefix in number:
                    mass[row, number[prefix]] += weight
    interest = np.zeros((len(personas), len(names)))
    for column, each in enumerate(prefixes):
        if each:
            interest[:, column] = mass[:, [number[prefix] for prefix in each]].mean(axis=1)
    return interest


def _prefixes(category: str) -> list[str]:
    steps = category.split(_SEPARATOR) if category else []
    return [_SEPARATOR.join(steps[:depth]) for depth in range(1, len(steps) + 1)]
