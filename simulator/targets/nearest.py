"""The nearest items by dot product, exactly, for many shoppers at once."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = ["NearestItems"]

#: Items whose best score is looked at first, before any one of them is.
_BLOCK: Final = 64


class NearestItems:
    """Finds the highest dot products.

    Scores are compared block by block: as many blocks as items are wanted, those with the highest
    best item, hold all of the highest items. Only their items are sorted, which is several times
    faster than choosing among all.

    Parameters
    ----------
    vectors:
        Of the items, shape (items, dimensions). Of equal scores the earlier item comes first.
    """

    def __init__(self, vectors: npt.NDArray[np.float32]) -> None:
        self._count, dimensions = vectors.shape
        self._blocks = -(-self._count // _BLOCK)
        self._padded = np.zeros((self._blocks * _BLOCK, dimensions), np.float32)
        self._padded[: self._count] = vectors

    def best(self, wanted: npt.NDArray[np.float32], depth: int) -> npt.NDArray[np.int64]:
        """Rows of the best items of each vector, shape (vectors, at most ``depth``), best first.

        Parameters
        ----------
        wanted:
            Shape (vectors, dimensions).
        """
        depth = min(depth, self._count)
        if not depth:
            return np.zeros((len(wanted), 0), np.int64)
        scores = wanted @ self._padded.T
        scores[:, self._count :] = -np.inf
        blocks = scores.reshape(len(wanted), self._blocks, _BLOCK).max(axis=2)
        held = min(depth, self._blocks)
        # Stable sorting of the negative: of equal blocks the earlier ones, as of equal items.
        best = np.sort(np.argsort(-blocks, axis=1, kind="stable")[:, :held], axis=1)
        items = (best[:, :, None] * _BLOCK + np.arange(_BLOCK)).reshape(len(wanted), -1)
        among = np.take_along_axis(scores, items, axis=1)
        order = np.argsort(-among, axis=1, kind="stable")[:, :depth]
        return np.take_along_axis(items, order, axis=1)
