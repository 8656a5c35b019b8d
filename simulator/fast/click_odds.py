"""Log-odds of a click for any shopper and item at once.

Everything that decides a click enters its log-odds as a sum: the preference, the affinity,
popularity, price and closeness to what was typed. So the weights are brought together once, and a
page, or a catalogue, is a few sums of arrays.

The weights are fitted on deviations within real slates, where it cannot matter who came and how
much they wanted. They are applied to deviations from the *average real impression*, the same for
every page: a page of better items is clicked more. (Deviations from the page's own mean, as where a
language model compares the items of a page, would give a good page and a bad one the same clicks.)

Popularity is the exception. Who browses is drawn to what is popular in the whole shop; who typed
something wants the popular ones of that kind, so there an item is compared with its own category,
and its popularity counts only as far as it has to do with what was typed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from footfall.simulator.behaviour import Behaviour
from footfall.simulator.fast.items import Items
from footfall.simulator.fast.population import Population, history_vectors, interest_vectors
from footfall.simulator.fast.preference import Preference

__all__ = ["ClickOdds", "Reference"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Reference:
    """Units of the covariates, as they were fitted.

    Attributes
    ----------
    preference, affinity, popularity, price
        Of the average real impression.
    preference_unit, affinity_unit
        Standard deviation within real slates.
    query
        Cosine of query and item that counts as average.
    on_query
        Log-odds of a click by that cosine: where the log cannot tell it, an assumption.
    browsing_level, typed_level
        Log-odds of the average item that the baseline shows, above the fitted intercept, where
        nothing was typed and where something was. What real pages offer may be far from what a
        search engine or recommender shows, and no log says which of the two kinds is clicked more.
    """

    preference: float = 0.0
    preference_unit: float = 1.0
    affinity: float = 0.0
    affinity_unit: float = 1.0
    popularity: float = 0.0
    price: float = 0.0
    query: float = 0.0
    on_query: float = 0.0
    browsing_level: float = 0.0
    typed_level: float = 0.0


class ClickOdds:
    """Weights of one behaviour, brought together for a population and a catalogue.

    Parameters
    ----------
    behaviour, preference, reference:
        As fitted.
    items, population:
        Whom and what for.
    """

    def __init__(
        self,
        behaviour: Behaviour,
        preference: Preference,
        reference: Reference,
        items: Items,
        population: Population,
    ) -> None:
        self._preference = preference
        self._items = items
        per_preference = behaviour.on_preference.value / reference.preference_unit
        per_affinity = behaviour.on_affinity.value / reference.affinity_unit
        self._scale = np.float32(per_preference)
        self._on_repeat = per_preference * preference.on_repeat
        self._on_interest = per_preference * preference.on_interest + per_affinity
        self._on_query = per_preference * preference.on_query + reference.on_query
        dear = per_preference * preference.on_price - per_affinity
        #: Log-odds by log price above the usual one, of each shopper.
        self._on_price = behaviour.on_price.value + dear * population.price_sensitivity
        weight = behaviour.on_popularity.value
        self._browsed = weight * (items.log_popularity - reference.popularity)
        self._browsed -= reference.browsing_level
        self._typed = weight * (items.log_popularity - items.usual_popularity)
        self._typed_base = -reference.typed_level - self._on_query * reference.query
        self._average_query = max(reference.query, 1e-6)
        self._base = (
            behaviour.intercept.value
            + behaviour.intercept_shift.value
            - per_preference * reference.preference
            - per_affinity * reference.affinity
            - behaviour.on_price.value * reference.price
        )
        self._log_interest, self._kind = population.log_interest(items.categories)
        self._interesting = interest_vectors(population, items.categories, items.vectors)
        self.tuned = self._tuned(population.history, slice(None))

    def remember(self, shoppers: Ints, history: Ints) -> None:
        """Take in what these shoppers took, shapes (changed,) and (changed, HISTORY)."""
        self.tuned[shoppers] = self._tuned(history, shoppers)

    def _tuned(self, history: Ints, shoppers: Ints | slice) -> Vectors:
        taken = history_vectors(history, self._items.vectors)
        return self._scale * self._preference.shopper_vectors(taken, self._interesting[shoppers])

    def pairs(
        self, shopper: Ints, item: Ints, history: Ints, query: Vectors, typed: npt.NDArray[np.bool_]
    ) -> Floats:
        """Log-odds of a click on what was looked at, without the visit's intent, shape (pairs,).

        Parameters
        ----------
        shopper, item:
            Of each pair.
        history:
            Of all shoppers.
        query, typed:
            Vector of what each pair's shopper meant to find, and whether they typed it, shapes
            (pairs, dimensions) and (pairs,).
        """
        vectors = self._items.vectors[item]
        repeat = (history[shopper] == item[:, None]).any(axis=1)
        close = np.einsum("nd,nd->n", query, vectors)
        relevant = np.clip(close / self._average_query, 0.0, 1.0)
        searched = self._typed_base + self._on_query * close + relevant * self._typed[item]
        return np.asarray(
            self._base
            + self._on_price[shopper] * self._items.excess[item]
            + np.einsum("nd,nd->n", self.tuned[shopper], vectors)
            + self._on_interest * self._log_interest[shopper, self._kind[item]]
            + self._on_repeat * repeat
            + np.where(typed, searched, self._browsed[item]),
            dtype=np.float64,
        )

    def grid(
        self, shopper: Ints, items: Ints, query: Vectors, typed: npt.NDArray[np.bool_]
    ) -> Vectors:
        """Log-odds of every one of ``items`` on every page, repetition apart, (pages, items).

        Parameters
        ----------
        shopper, query, typed:
            Of each page, as in :meth:`pairs`.
        items:
            The same for all pages.
        """
        vectors = self._items.vectors[items]
        # Where nothing was typed the query is nothing: closeness and relevance are 0 there.
        query = np.where(typed[:, None], query, np.float32(0.0))
        found = (self.tuned[shopper] + np.float32(self._on_query) * query) @ vectors.T
        relevant = (query / np.float32(self._average_query)) @ vectors.T
        np.clip(relevant, 0.0, 1.0, out=relevant)
        relevant *= self._typed[items].astype(np.float32)
        found += relevant
        found[~typed] += self._browsed[items].astype(np.float32)
        kinds, kind = np.unique(self._kind[items], return_inverse=True)
        interest = np.float32(self._on_interest) * self._log_interest[shopper[:, None], kinds]
        found += interest[:, kind]
        excess = self._items.excess[items].astype(np.float32)
        found += self._on_price[shopper].astype(np.float32)[:, None] * excess
        found += (self._base + np.where(typed, self._typed_base, 0.0)).astype(np.float32)[:, None]
        return np.asarray(found, dtype=np.float32)
