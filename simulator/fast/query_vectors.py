"""Vectors of what shoppers meant to type, each distinct query once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from footfall.simulator.fast.vectors import TextVectors

__all__ = ["QueryVectors"]

#: Vectors that there is room for at first.
_FIRST_ROOM = 1024


class QueryVectors:
    """Remembers the vectors of queries; ``place`` 0 is nothing typed.

    Parameters
    ----------
    encoder:
        Of the catalogue.
    """

    def __init__(self, encoder: TextVectors) -> None:
        self._encoder = encoder
        self._places: dict[str, int] = {}
        self._waiting: list[str] = []
        self._vectors = np.zeros((_FIRST_ROOM, encoder.dimensions), dtype=np.float32)

    def place(self, query: str) -> int:
        """Number of a query."""
        found = self._places.get(query)
        if found is None:
            found = self._places[query] = len(self._places) + 1
            self._waiting.append(query)
        return found

    def of(self, places: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Vectors of these queries, shape (places, dimensions)."""
        if self._waiting:
            first = len(self._places) - len(self._waiting) + 1
            needed = len(self._places) + 1
            if needed > len(self._vectors):
                more = np.zeros((2 * needed, self._vectors.shape[1]), dtype=np.float32)
                more[: len(self._vectors)] = self._vectors
                self._vectors = more
            self._vectors[first:needed] = self._encoder.encode(self._waiting)
            self._waiting = []
        return self._vectors[places]
