"""How the demand of each top-level category changes with the months.

Counted are visits that took something of the category. Were there no seasons, a category's ``n``
visits would fall on the months as all categories' visits do; the factor of a month is what was
counted over that expectation ``E``. Factors are Gamma distributed around 1 with shape and rate
``k``, so that counts are negative binomial; ``k`` maximises their likelihood, and the factor is the
posterior mean ``(n + k) / (E + k)``: few visits, or months that differ no more than chance would
have them, leave it near 1. Months that the log does not reach keep 1. A log of one year cannot tell
a season from a trend.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar
from scipy.special import gammaln

from footfall.personas.arrow_sql import select
from footfall.simulator.behaviour import Rate
from footfall.simulator.taken_items import TakenItems

__all__ = ["fit_season"]

Floats = npt.NDArray[np.float64]

#: Fewest visits that took something of a known category.
_FEWEST_VISITS: Final = 200
#: Range of the Gamma's shape: factors that differ by half on average, to not at all.
_SMALLEST_SHAPE: Final = 4.0
_LARGEST_SHAPE: Final = 1e6

_MONTHS: Final = """
SELECT top, month(make_timestamp(moment)) AS month, count(*)::DOUBLE AS visits
FROM (
    SELECT top, "user", visit, min(moment) AS moment FROM taken WHERE top IS NOT NULL GROUP BY ALL
) GROUP BY ALL ORDER BY top, month
"""


def fit_season(taken: TakenItems) -> dict[str, Any]:
    """A rhythm's ``season`` and ``season_deviation``; neutral with a note where there is none."""
    rows = select(_MONTHS, taken=taken.table)
    counts = np.zeros((len(taken.tops), 12))
    counts[rows["top"].to_numpy(), rows["month"].to_numpy() - 1] = rows["visits"].to_numpy()
    visits, months = int(counts.sum()), int((counts.sum(axis=0) > 0).sum())
    if visits < _FEWEST_VISITS or months < 2 or len(taken.tops) < 2:
        note = (
            f"{visits:,} visits in {months} months of the year and {len(taken.tops)} top-level"
            " categories show no season"
        )
        return {"season_deviation": Rate(value=0.0, note=note)}
    expected = counts.sum(axis=1, keepdims=True) * counts.sum(axis=0) / visits
    shape, error = _fit_shape(counts[expected > 0], expected[expected > 0])
    factors = (counts + shape) / (expected + shape)
    note = f"{visits:,} visits in {months} months of the year, {len(taken.tops)} categories"
    return {
        "season_deviation": Rate(
            value=float(shape**-0.5), standard_error=error, source="fitted", note=note
        ),
        "season": {
            name: tuple(row) for name, row in zip(taken.tops, factors.tolist(), strict=True)
        },
    }


def _fit_shape(counts: Floats, expected: Floats) -> tuple[float, float]:
    """The Gamma's shape, and the standard error of ``shape ** -0.5``."""

    def loss(log_shape: float) -> float:
        shape = np.exp(log_shape)
        terms = (
            gammaln(counts + shape)
            - gammaln(shape)
            + shape * np.log(shape / (shape + expected))
            + counts * np.log(expected / (shape + expected))
        )
        return -float(terms.sum())

    bounds = (np.log(_SMALLEST_SHAPE), np.log(_LARGEST_SHAPE))
    best = float(minimize_scalar(loss, bounds=bounds, method="bounded").x)
    step = 0.05
    curvature = (loss(best + step) - 2.0 * loss(best) + loss(best - step)) / step**2
    deviation = float(np.exp(-0.5 * best))
    # Where the likelihood is flat the factors do not differ: the error is the deviation itself.
    error = 0.5 * deviation / np.sqrt(curvature) if curvature > 0.25 else deviation
    return float(np.exp(best)), float(error)
