"""Preferences from embeddings, tuned to the log: what a language model would be asked otherwise.

Shoppers are points among the items: the mean of what they took, newer items counting more, and the
mean of the categories that interest them. A ridge regression on the real responses says how much
each direction of the space, closeness, interest, repetition and price count. It must prove itself
on left-out people; where it adds nothing to what popularity says, all preferences are 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import sparse

from footfall.simulator.appeal_fit import ResponseRows, fit_response

__all__ = ["PairFeatures", "Preference"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Vectors = npt.NDArray[np.float32]

#: Names of the features that are one number each, after those of the directions.
_SINGLE: Final = ("taken", "interesting", "interest", "repeat", "price", "query")
#: Standard errors that the gain on left-out people must exceed.
_NEEDED_ERRORS: Final = 2.0
#: Positions beyond this one count as this one.
_LAST_POSITION: Final = 20
#: Fewest rows with a query on which it is fitted how much closeness to the query counts.
_FEWEST_QUERIES: Final = 200


@dataclass(frozen=True)
class PairFeatures:
    """What is known of pairs of a shopper and an item before the response; arrays of one length.

    Attributes
    ----------
    taken, interesting, item
        Vectors of what the shopper took, of their interests, and of the item, shape (pairs,
        dimensions).
    interest
        Logarithm of the interest in the item's category, shape (pairs,).
    repeat
        Whether the shopper took the item before.
    price
        Log price above the usual one, times the shopper's price sensitivity.
    query
        Cosine of query and item; not a number where nothing was typed.
    """

    taken: Vectors
    interesting: Vectors
    item: Vectors
    interest: Floats
    repeat: Floats
    price: Floats
    query: Floats

    def columns(self) -> Floats:
        """All features, shape (pairs, 2 * dimensions + 6); 0 where there is no query."""
        taken = (self.taken * self.item).astype(np.float64)
        interesting = (self.interesting * self.item).astype(np.float64)
        typed = np.isfinite(self.query)
        # Pages of the one kind must not differ from those of the other for being of that kind.
        mean = self.query[typed].mean() if typed.any() else 0.0
        query = np.where(typed, self.query - mean, 0.0)
        single = (taken.sum(axis=1), interesting.sum(axis=1), self.interest, self.repeat)
        return np.column_stack([taken, interesting, *single, self.price, query])


@dataclass(frozen=True)
class Preference:
    """Weights of the features; ``Preference.none(d)`` says nothing.

    Attributes
    ----------
    on_taken, on_interesting
        Of the products of the vectors, shape (dimensions,).
    on_interest, on_repeat, on_price, on_query
        Of the single features.
    informative
        Whether it adds to popularity on left-out people.
    fits_query
        Whether the log has queries enough to tell how much they count.
    gain, gain_error
        Log-likelihood an impression that it adds, on left-out people, and its standard error.
    people, impressions
        Fitted on.
    """

    on_taken: Floats
    on_interesting: Floats
    on_interest: float = 0.0
    on_repeat: float = 0.0
    on_price: float = 0.0
    on_query: float = 0.0
    informative: bool = False
    fits_query: bool = False
    gain: float = 0.0
    gain_error: float = 0.0
    people: int = 0
    impressions: int = 0

    @classmethod
    def none(cls, dimensions: int) -> Preference:
        """One that prefers nothing."""
        return cls(np.zeros(dimensions), np.zeros(dimensions))

    @staticmethod
    def fit(
        pairs: PairFeatures,
        *,
        response: Floats,
        position: Floats,
        popularity: Floats,
        slate: Ints,
        people: Ints,
        weight: Floats,
        seed: int = 0,
    ) -> tuple[Preference, Floats]:
        """Fit on real impressions.

        Parameters
        ----------
        pairs:
            Features that do not know the responses.
        response, position, popularity:
            1 or 0; 1 is the top, not a number where unknown; deviation within the slate.
        slate, people:
            Numbers from 0 of the page and the person of each row.
        weight:
            In the likelihood.
        seed:
            Of the folds of people.

        Returns
        -------
        tuple
            The preference, and the log-odds of every row by a fit on other people, relative to the
            average impression; all 0 where the preference is not informative. Shape (impressions,).
        """
        dimensions = pairs.item.shape[1]
        nothing = Preference.none(dimensions), np.zeros(len(response))
        if not len(response):
            return nothing
        columns = _within(pairs.columns(), slate)
        scale = columns.std(axis=0)
        told = columns / np.where(scale > 1e-9, scale, np.inf)
        others = sparse.hstack([_positions(position), sparse.csr_matrix(popularity[:, None])])
        rows = ResponseRows(
            features=sparse.csr_matrix(told),
            groups=_groups(dimensions),
            others=others.tocsr(),
            rival=others.tocsr(),
            response=response,
            weight=weight / weight.mean(),
            people=people,
        )
        fit = fit_response(rows, seed=seed)
        if fit is None or fit.gain <= _NEEDED_ERRORS * fit.gain_error:
            return nothing
        weights = fit.weights / np.where(scale > 1e-9, scale, np.inf)
        single = dict(zip(_SINGLE, weights[2 * dimensions :].tolist(), strict=True))
        enough = np.isfinite(pairs.query).sum() >= _FEWEST_QUERIES
        fits_query = bool(enough and single["query"] > 0)
        preference = Preference(
            on_taken=weights[:dimensions] + single["taken"],
            on_interesting=weights[dimensions : 2 * dimensions] + single["interesting"],
            on_interest=single["interest"],
            on_repeat=single["repeat"],
            on_price=single["price"],
            on_query=single["query"] if fits_query else 0.0,
            informative=True,
            fits_query=fits_query,
            gain=fit.gain,
            gain_error=fit.gain_error,
            people=len(np.unique(people)),
            impressions=len(response),
        )
        return preference, fit.out_of_fold

    def log_odds(self, pairs: PairFeatures) -> Floats:
        """Log-odds of each pair, up to a constant, shape (pairs,)."""
        weights = np.concatenate(
            [
                self.on_taken,
                self.on_interesting,
                # What closeness counts is in the weights of the directions.
                [0.0, 0.0, self.on_interest, self.on_repeat, self.on_price, self.on_query],
            ]
        )
        return np.asarray(pairs.columns() @ weights, dtype=np.float64)

    def shopper_vectors(self, taken: Vectors, interesting: Vectors) -> Vectors:
        """Vectors whose dot product with an item's is the tuned closeness, (shoppers, d)."""
        tuned = self.on_taken * taken + self.on_interesting * interesting
        return np.asarray(tuned, dtype=np.float32)

    def line(self) -> str:
        """What was found, in one line for people."""
        if not self.informative:
            return "preferences from embeddings: no clear gain on left-out people, so unused"
        return (
            f"preferences from embeddings, on {self.people:,} people and {self.impressions:,} "
            f"impressions: they add {self.gain:.4f} ± {self.gain_error:.4f} to popularity's "
            "log-likelihood an impression on left-out people"
        )


def _groups(dimensions: int) -> Ints:
    """Features that share a penalty: the directions of each kind, and each single feature."""
    sizes = [dimensions, dimensions, *(1 for _ in _SINGLE)]
    return np.repeat(np.arange(len(sizes), dtype=np.int64), sizes)


def _within(columns: Floats, slate: Ints) -> Floats:
    """Deviations within the slate; as they are where slates are mostly of one item.

    What differs between pages (who came, how much they wanted) would else be taken for taste.
    """
    sizes = np.bincount(slate)
    if sizes[sizes > 0].mean() < 2.0:
        return columns
    means = np.column_stack([np.bincount(slate, column) for column in columns.T])
    return np.asarray(columns - (means / np.maximum(sizes, 1)[:, None])[slate], dtype=np.float64)


def _positions(position: Floats) -> sparse.csr_matrix:
    """One column a position; zeros where the log has no order."""
    known = np.flatnonzero(np.isfinite(position))
    numbers = np.clip(position[known], 1, _LAST_POSITION).astype(np.int64) - 1
    shape = (len(position), _LAST_POSITION)
    return sparse.csr_matrix((np.ones(len(known)), (known, numbers)), shape=shape)
