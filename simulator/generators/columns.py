"""Tables of numbers and categories as matrices that a network can learn, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

__all__ = ["TableCodec", "normal_scores"]

Floats: TypeAlias = npt.NDArray[np.float64]
Matrix: TypeAlias = npt.NDArray[np.float32]
Columns: TypeAlias = Mapping[str, npt.NDArray[np.int64] | Floats]

#: A column of numbers with at most so many different values is one of categories.
_FEW_VALUES: Final = 16
#: Values that a column's distribution is kept by.
_GRID: Final = 2001


@dataclass(frozen=True, slots=True)
class _Category:
    """One column for each value; the others have none."""

    values: Floats

    @property
    def width(self) -> int:
        return len(self.values)

    def encode(self, column: Floats) -> Floats:
        hits: Floats = (column[:, None] == self.values).astype(np.float64)
        return hits

    def decode(self, matrix: Floats) -> Floats:
        found: Floats = self.values[matrix.argmax(axis=1)]
        return found


@dataclass(frozen=True, slots=True)
class _Number:
    """The normal score of the value's rank: modes and tails of any shape become one bell."""

    grid: Floats
    width: Final = 1

    def encode(self, column: Floats) -> Floats:
        return normal_scores(self.grid, column)[:, None]

    def decode(self, matrix: Floats) -> Floats:
        place = np.minimum(
            (ndtr(matrix[:, 0]) * len(self.grid)).astype(np.int64), len(self.grid) - 1
        )
        found: Floats = self.grid[place]
        return found


def normal_scores(grid: Floats, values: Floats) -> Floats:
    """Standard normal quantile of the mean rank of ``values`` in the sorted ``grid``."""
    rank = (np.searchsorted(grid, values) + np.searchsorted(grid, values, side="right")) / 2
    scores: Floats = ndtri(np.clip(rank / len(grid), 0.5 / len(grid), 1 - 0.5 / len(grid)))
    return scores


class TableCodec:
    """How the columns of a table become those of a matrix.

    Numbers become the normal score of their rank, so that a value drawn back is one that the table
    has, as often as there; columns of few values, and those named as categories, become one column
    for each value. A column with one value needs none.

    Parameters
    ----------
    columns:
        The table, name to values of shape ``(rows,)``.
    categories:
        Columns whose numbers are only names.

    Attributes
    ----------
    numbers:
        Columns of the matrix that hold normal scores.
    blocks:
        Begin and end of the columns of each category.
    width:
        Columns of the matrix.
    """

    def __init__(self, columns: Columns, *, categories: frozenset[str] = frozenset()) -> None:
        self._parts: dict[str, _Category | _Number] = {}
        self._constants: dict[str, float] = {}
        self.numbers: list[int] = []
        self.blocks: list[tuple[int, int]] = []
        self.width = 0
        for name, column in columns.items():
            values = np.asarray(column, np.float64)
            distinct = np.unique(values)
            if len(distinct) <= 1:
                self._constants[name] = float(distinct[0]) if len(distinct) else 0.0
                continue
            if name in categories or len(distinct) <= _FEW_VALUES:
                self._parts[name] = _Category(distinct)
                self.blocks.append((self.width, self.width + len(distinct)))
            else:
                shares = (np.arange(_GRID) + 0.5) / _GRID
                grid = np.quantile(values, shares, method="inverted_cdf")
                self._parts[name] = _Number(grid.astype(np.float64))
                self.numbers.append(self.width)
            self.width += self._parts[name].width

    def encode(self, columns: Columns) -> Matrix:
        """The matrix, shape ``(rows, width)``; a category that was never seen is all zeros."""
        rows = len(next(iter(columns.values())))
        parts = [
            part.encode(np.asarray(columns[name], np.float64)) for name, part in self._parts.items()
        ]
        matrix: Matrix = np.concatenate([np.zeros((rows, 0)), *parts], axis=1).astype(np.float32)
        return matrix

    def decode(self, matrix: Matrix) -> dict[str, Floats]:
        """The table, name to values of shape ``(rows,)``."""
        found = {name: np.full(len(matrix), value) for name, value in self._constants.items()}
        first = 0
        for name, part in self._parts.items():
            found[name] = part.decode(matrix[:, first : first + part.width].astype(np.float64))
            first += part.width
        return found
