"""Numeric features on one scale, with the training rows' mean and spread.

Values outside the training rows' range count as its ends. A new item has no response, and where
every item of the training rows has hundreds its popularity lies many standard deviations below
theirs: what a model says so far out it has learned nowhere, and says with great confidence.

Beside the popularity stands whether there is any. What is new is taken oftener or more seldom than
the least popular of what is not: one slope for both would have to go through the new items, which
lie far out, and be wrong among all others. So the popularity is that of items with history, and
those without count as the least popular of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from footfall.errors import DataError
from footfall.finetune.example_table import FEATURE_NAMES, Examples

__all__ = ["HAS_HISTORY", "Standardiser", "with_derived"]

#: Read off ``popularity_log``: 1 where an item has a response in the training part.
HAS_HISTORY: Final = "has_history"

#: Standardised values beyond this are cut, so that one odd price does not decide alone.
_LIMIT = 8.0


class Standardiser(BaseModel):
    """Mean, spread and range of each numeric feature on the training rows.

    Beside those asked for stand the ones that are read off them (:func:`with_derived`).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    names: tuple[str, ...] = Field(description="Features, in order.")
    mean: tuple[float, ...] = Field(description="Mean of each feature.")
    spread: tuple[float, ...] = Field(description="Standard deviation of each; 1 where constant.")
    low: tuple[float, ...] | None = Field(None, description="Smallest value of each.")
    high: tuple[float, ...] | None = Field(None, description="Largest value of each.")

    @classmethod
    def fit(cls, examples: Examples, names: Sequence[str] = FEATURE_NAMES) -> Standardiser:
        """Mean, standard deviation and range of some numeric columns over the rows.

        Raises
        ------
        DataError
            If a value is not finite.
        """
        named = with_derived(names)
        values = _finite(examples, named)
        columns = list(values.T)
        if HAS_HISTORY in named and columns[-1].any():
            # Of the items that have one: the others count as the least popular of these.
            place = named.index("popularity_log")
            columns[place] = columns[place][columns[-1] > 0]
        spread = [float(column.std()) for column in columns]
        return cls(
            names=named,
            mean=tuple(float(column.mean()) for column in columns),
            spread=tuple(s if s > 1e-9 else 1.0 for s in spread),
            low=tuple(float(column.min()) for column in columns),
            high=tuple(float(column.max()) for column in columns),
        )

    def apply(self, examples: Examples) -> np.ndarray[Any, Any]:
        """Standardised features, float32, shape (rows, features).

        Raises
        ------
        DataError
            If a value is not finite.
        """
        values = _finite(examples, self.names)
        if self.low is not None and self.high is not None:
            values = np.clip(values, np.asarray(self.low), np.asarray(self.high))
        scaled = (values - np.asarray(self.mean)) / np.asarray(self.spread)
        limited: np.ndarray[Any, Any] = np.clip(scaled, -_LIMIT, _LIMIT)
        return limited.astype(np.float32)


def with_derived(names: Sequence[str]) -> tuple[str, ...]:
    """Features that are asked for and, last, what is read off them."""
    return (*names, HAS_HISTORY) if "popularity_log" in names else tuple(names)


def _finite(examples: Examples, names: Sequence[str]) -> np.ndarray[Any, Any]:
    values = np.zeros((len(examples), len(names)))
    for place, name in enumerate(names):
        values[:, place] = (
            examples.column("popularity_log") > 0 if name == HAS_HISTORY else examples.column(name)
        )
    bad = ~np.isfinite(values)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise DataError(
            f"Example {examples.column('example_id')[row]!r}: the feature "
            f"{names[column]} is not a finite number."
        )
    return values
