"""Bootstrap by user: percentile intervals that know that one shopper's rows go together.

Users, not rows, are drawn with replacement (the cluster bootstrap), because the rows of one user
are alike. Every table of a comparison sees the same drawn users, so differences are paired. Where
a model was trained with several seeds, the seeds are drawn with replacement too.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from footfall.errors import SettingError

__all__ = ["DEFAULT_RESAMPLES", "Interval", "UserResamples", "mean_over_seeds", "percentiles"]

Floats: TypeAlias = npt.NDArray[np.float64]

DEFAULT_RESAMPLES: Final = 1000
#: Cells (users x resamples) of one batch of weights: 32 MB of doubles.
_BATCH_CELLS: Final = 4_000_000
#: Below this share of usable resamples no interval is given.
_USABLE_SHARE: Final = 0.5


@dataclass(frozen=True, slots=True)
class Interval:
    """Bounds of a percentile interval; ``None`` where too few resamples were defined."""

    low: float | None
    high: float | None


class UserResamples:
    """The same resampled users for everything that is compared.

    Parameters
    ----------
    user_count:
        How many users there are.
    resamples:
        How many times to draw ``user_count`` users with replacement; at least 20.
    seed:
        Seed of the draws.

    Raises
    ------
    SettingError
        If ``resamples`` is below 20.
    """

    def __init__(self, user_count: int, *, resamples: int = DEFAULT_RESAMPLES, seed: int) -> None:
        if resamples < 20:
            raise SettingError(
                f"resamples = {resamples} is too few for an interval.", hint="Use 1000."
            )
        self.user_count = user_count
        self.resamples = resamples
        self._seed = seed

    def batches(self) -> Iterator[tuple[slice, Floats]]:
        """Columns and weights of shape ``(users, columns)``; the same at every call.

        A user's weight is how often it was drawn.
        """
        generator = np.random.default_rng(self._seed)
        users = self.user_count
        size = max(1, min(self.resamples, _BATCH_CELLS // max(users, 1)))
        for start in range(0, self.resamples, size):
            count = min(size, self.resamples - start)
            drawn = generator.integers(0, max(users, 1), size=(users, count))
            cells = np.bincount((drawn * count + np.arange(count)).reshape(-1), None, users * count)
            yield slice(start, start + count), cells.reshape(users, count).astype(np.float64)

    def seed_counts(self, seeds: int) -> Floats:
        """How often each seed is drawn, shape ``(seeds, resamples)``; columns sum to ``seeds``."""
        generator = np.random.default_rng((self._seed, 1))
        drawn = generator.multinomial(seeds, np.full(seeds, 1 / seeds), size=self.resamples)
        return drawn.T.astype(np.float64)


def mean_over_seeds(values: Floats, counts: Floats) -> Floats:
    """Mean of the drawn seeds per resample.

    ``values`` and ``counts`` have the shape ``(seeds, resamples)``. A resample is ``nan`` where
    a drawn seed's value is.
    """
    products = np.where(counts > 0, values * counts, 0.0)
    return np.asarray(products.sum(axis=0) / counts.sum(axis=0), dtype=np.float64)


def percentiles(values: Floats, level: float = 0.95) -> Interval:
    """Percentile interval over the resamples that are defined.

    ``values`` has the shape ``(resamples,)``. Both bounds are ``None`` where fewer than half of
    the resamples are defined.
    """
    defined = values[~np.isnan(values)]
    if not len(defined) or len(defined) < _USABLE_SHARE * len(values):
        return Interval(None, None)
    tail = (1 - level) / 2
    low, high = np.quantile(defined, [tail, 1 - tail])
    return Interval(float(low), float(high)) if math.isfinite(low) else Interval(None, None)
