"""Personas as arrays: habits, interests, and what they took before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from footfall.personas.persona import Persona
from footfall.simulator.fast.items import Categories

__all__ = ["HISTORY", "Population", "history_vectors", "interest_vectors", "text_rows"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

#: Items that are remembered as taken, of each shopper.
HISTORY: Final = 24
#: Interest assumed in a category that the persona has never bought from, as in the affinity.
_UNKNOWN_INTEREST: Final = 0.002
#: The newest item of a history counts twice as much as the one so many places before it.
_HALVED_AFTER: Final = 6.0


def text_rows(texts: Sequence[str]) -> dict[str, int]:
    """Row of each text in a catalogue; of items with the same text, the first one."""
    return {text: row for row, text in reversed(list(enumerate(texts)))}


@dataclass(frozen=True)
class Population:
    """Columns of a population, all in its order.

    Attributes
    ----------
    patience, price_sensitivity, exploration
        As in :class:`~footfall.personas.persona.Persona`, shape (shoppers,).
    names, interests
        Category paths that anybody is interested in, and the weight of each, shape (shoppers,
        names + 1); the last column is 0, for items of none of them.
    history
        Rows in the catalogue of the items taken, newest last, padded with -1 in front, shape
        (shoppers, HISTORY).
    """

    patience: Floats
    price_sensitivity: Floats
    exploration: Floats
    names: tuple[str, ...]
    interests: npt.NDArray[np.float32]
    history: Ints

    @classmethod
    def of(cls, personas: Sequence[Persona], rows: Mapping[str, int]) -> Population:
        """From personas, and the row of each item text (:func:`text_rows`)."""
        place: dict[str, int] = {}
        for persona in personas:
            for name in persona.interests:
                place.setdefault(name, len(place))
        interests = np.zeros((len(personas), len(place) + 1), dtype=np.float32)
        history = np.full((len(personas), HISTORY), -1, dtype=np.int64)
        for number, persona in enumerate(personas):
            columns = [place[name] for name in persona.interests]
            interests[number, columns] = list(persona.interests.values())
            taken = [rows[text] for text in persona.history if text in rows][-HISTORY:]
            if taken:
                history[number, -len(taken) :] = taken
        return cls(
            patience=np.array([each.patience for each in personas]),
            price_sensitivity=np.array([each.price_sensitivity for each in personas]),
            exploration=np.array([each.exploration for each in personas]),
            names=tuple(place),
            interests=interests,
            history=history,
        )

    def __len__(self) -> int:
        return len(self.patience)

    def log_interest(self, categories: Categories) -> tuple[npt.NDArray[np.float32], Ints]:
        """Logarithm of the interest in every kind of item, and the kind of each item.

        An item's interest is the largest of its path's and of those above it.

        Returns
        -------
        tuple
            Shape (shoppers, kinds), and shape (items,) of places in it.
        """
        place = {name: number for number, name in enumerate(self.names)}
        nothing = len(self.names)
        column = np.array([*(place.get(name, nothing) for name in categories.names), nothing])
        if not categories.above.shape[1]:
            kinds, kind = np.full((1, 1), nothing), np.zeros(len(categories.path), dtype=np.int64)
        else:
            kinds, kind = np.unique(column[categories.above], axis=0, return_inverse=True)
        best = np.zeros((len(self), len(kinds)), dtype=np.float32)
        for level in range(kinds.shape[1]):
            np.maximum(best, self.interests[:, kinds[:, level]], out=best)
        return np.log(np.maximum(best, _UNKNOWN_INTEREST)), kind.reshape(-1).astype(np.int64)


def history_vectors(history: Ints, vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Mean vector of what each shopper took, newer items counting more; length one or zero.

    Parameters
    ----------
    history:
        Rows of items, -1 for none, newest last, shape (shoppers, HISTORY).
    vectors:
        Of the items, shape (items, dimensions).
    """
    age = np.arange(history.shape[1])[::-1]
    weight = np.where(history >= 0, 0.5 ** (age / _HALVED_AFTER), 0.0).astype(np.float32)
    found = np.einsum("sh,shd->sd", weight, vectors[np.maximum(history, 0)])
    return _unit(found)


def interest_vectors(
    population: Population, categories: Categories, vectors: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Mean vector of the categories of interest, by weight; length one or zero.

    Shape (shoppers, dimensions).
    """
    places, starts = categories.members
    centres = np.zeros((len(population.names) + 1, vectors.shape[1]), dtype=np.float32)
    for number, name in enumerate(population.names):
        found = categories.place.get(name)
        if found is not None:
            centres[number] = vectors[places[starts[found] : starts[found + 1]]].mean(axis=0)
    return _unit(population.interests @ _unit(centres))


def _unit(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-6), dtype=np.float32)
