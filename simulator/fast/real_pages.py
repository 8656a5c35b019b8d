"""Real slates as arrays to fit on, described as the crowd describes its own pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from footfall.personas.persona import Persona
from footfall.simulator.fast.items import Categories, UsualPrices
from footfall.simulator.fast.population import Population, history_vectors, interest_vectors
from footfall.simulator.fast.preference import PairFeatures
from footfall.simulator.fast.vectors import TextVectors
from footfall.simulator.fit_clicks import row_weights
from footfall.simulator.real_slates import RealSlate

__all__ = ["RealPages"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class RealPages:
    """Impressions of real slates with a known response; all arrays of shape (impressions,).

    Attributes
    ----------
    pairs
        What was known of shopper and item before.
    response, position, weight
        As in :class:`~footfall.simulator.fit_clicks.FitData`.
    popularity, price
        log(1 + purchases and clicks) before, and log price above the usual one.
    affinity
        Log interest less what the price costs a price-sensitive shopper.
    slate, people
        Numbers from 0.
    """

    pairs: PairFeatures
    response: Floats
    position: Floats
    weight: Floats
    popularity: Floats
    price: Floats
    affinity: Floats
    slate: Ints
    people: Ints

    def __len__(self) -> int:
        return len(self.response)

    @classmethod
    def of(
        cls,
        slates: Sequence[RealSlate],
        place: dict[str, int],
        rows: dict[str, int],
        categories: Categories,
        vectors: npt.NDArray[np.float32],
        encoder: TextVectors,
        usual: UsualPrices,
        *,
        page_size: int,
    ) -> RealPages:
        """From slates; impressions of items that the catalogue lacks are left out.

        Parameters
        ----------
        slates:
            Their personas must not know the responses.
        place, rows:
            Row in the catalogue of each item id, and of each text.
        categories, vectors:
            Of the catalogue's items.
        encoder:
            For the queries.
        usual:
            What items of a category cost.
        page_size:
            Items on a simulated page.
        """
        of_slate = np.repeat(np.arange(len(slates)), [len(each.rows) for each in slates])
        item = np.array([place.get(each, -1) for slate in slates for each in slate.item_ids], int)
        response = _joined([slate.responses for slate in slates])
        kept = (item >= 0) & np.isfinite(response)
        persons, of_person = _people(slates)
        population = Population.of(persons, rows)
        shopper, item, slate = of_person[of_slate[kept]], item[kept], of_slate[kept]
        details = [row for each in slates for row in each.rows]
        prices = np.array([row["price"] or np.nan for row in details], dtype=np.float64)
        paths = [row.get("category") for row in details]
        price = usual.excess(prices, paths)[kept]
        log_interest, kind = population.log_interest(categories)
        interest = log_interest[shopper, kind[item]].astype(np.float64)
        dear = price * population.price_sensitivity[shopper]
        pairs = PairFeatures(
            taken=history_vectors(population.history, vectors)[shopper],
            interesting=interest_vectors(population, categories, vectors)[shopper],
            item=vectors[item],
            interest=interest,
            repeat=(population.history[shopper] == item[:, None]).any(axis=1).astype(np.float64),
            price=dear,
            query=_closeness([each.query for each in slates], slate, vectors[item], encoder),
        )
        numbers = np.unique(slate, return_inverse=True)[1].astype(np.int64)
        rates = _joined([slate.sample_rates for slate in slates])[kept]
        return cls(
            pairs=pairs,
            response=response[kept],
            position=_joined([slate.positions for slate in slates])[kept],
            weight=row_weights(response[kept], rates, numbers, page_size=page_size),
            popularity=np.log1p([float(row["popularity"] or 0.0) for row in details])[kept],
            price=price,
            affinity=interest - dear,
            slate=numbers,
            people=np.unique(shopper, return_inverse=True)[1].astype(np.int64),
        )

    def within(self, values: Floats) -> Floats:
        """Deviations from the slate's mean, shape (impressions,)."""
        sizes = np.maximum(np.bincount(self.slate), 1)
        return np.asarray(values - (np.bincount(self.slate, values) / sizes)[self.slate])


def _people(slates: Sequence[RealSlate]) -> tuple[list[Persona], Ints]:
    """Everybody who saw a slate, once, and the number of each slate's person."""
    persons = {slate.persona.persona_id: slate.persona for slate in slates}
    place = {name: number for number, name in enumerate(persons)}
    numbers = [place[slate.persona.persona_id] for slate in slates]
    return list(persons.values()), np.asarray(numbers, dtype=np.int64)


def _closeness(
    queries: Sequence[str | None],
    slate: Ints,
    vectors: npt.NDArray[np.float32],
    encoder: TextVectors,
) -> Floats:
    """Cosine of each row's query and item; not a number where nothing was typed."""
    told = encoder.encode([query or "" for query in queries]) if queries else None
    if told is None:
        return np.zeros(0)
    typed = np.array([query is not None for query in queries])
    found = np.einsum("nd,nd->n", told[slate], vectors).astype(np.float64)
    return np.where(typed[slate], found, np.nan)


def _joined(parts: Sequence[Sequence[float]]) -> Floats:
    return np.asarray([value for part in parts for value in part], dtype=np.float64)
