"""Means over rows with an interval that knows that one user's rows go together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from footfall.errors import EmptyLogError
from footfall.eval.intervals import DEFAULT_RESAMPLES, UserResamples, percentiles

__all__ = ["UserMean", "user_mean"]

Floats: TypeAlias = npt.NDArray[np.float64]


class UserMean(BaseModel):
    """A mean and its 95 % interval over users."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    value: float = Field(description="Weighted mean over the rows.")
    low: float | None = Field(description="Lower bound; null where too few resamples are defined.")
    high: float | None = Field(description="Upper bound.")
    rows: int = Field(description="Rows.")
    users: int = Field(description="Distinct users.")


def user_mean(
    values: npt.ArrayLike,
    user_ids: Sequence[str],
    *,
    weights: npt.ArrayLike | None = None,
    resamples: int = DEFAULT_RESAMPLES,
    seed: int = 0,
) -> UserMean:
    """Mean of ``values`` (rows,) with a cluster bootstrap over users.

    The same users in the same order and the same seed give the same resamples, so that the mean of
    differences of two measures is their paired comparison.

    Raises
    ------
    EmptyLogError
        If there is no row.
    """
    table = np.asarray(values, dtype=np.float64)
    if not table.size:
        raise EmptyLogError("There is nothing to take a mean of.", hint="Measure more rows.")
    each = np.ones(len(table)) if weights is None else np.asarray(weights, dtype=np.float64)
    users, place = np.unique(np.asarray(user_ids, dtype=str), return_inverse=True)
    sums = np.bincount(place, weights=table * each, minlength=len(users))
    sizes = np.bincount(place, weights=each, minlength=len(users))
    draws = UserResamples(len(users), resamples=resamples, seed=seed)
    means = np.empty(resamples)
    for columns, drawn in draws.batches():
        means[columns] = (sums @ drawn) / np.maximum(sizes @ drawn, 1e-300)
    interval = percentiles(means)
    return UserMean(
        value=float(sums.sum() / sizes.sum()),
        low=interval.low,
        high=interval.high,
        rows=len(table),
        users=len(users),
    )
