"""How much the last visit tells about the next one, beside a shopper's stable interests.

The categories of a visit are predicted by the mixture ``(1 - w) * stable + w * last``: the user's
shares over all earlier visits, shrunk toward the population as a persona's interests are, and the
shares of the visit just before, at most eight weeks earlier. ``w`` maximises the likelihood, which
is concave in it. Every visit counts once, whatever it took, and the error is a sandwich over users
(Huber 1967): the rows of one visit and the visits of one user are not independent.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.optimize import brentq

from footfall.personas.arrow_sql import select
from footfall.personas.habits import STRENGTH
from footfall.simulator.behaviour import Rate
from footfall.simulator.rhythm import LARGEST_DRIFT, RECENT_DAYS
from footfall.simulator.taken_items import TakenItems

__all__ = ["fit_drift"]

Floats = npt.NDArray[np.float64]

#: Fewest visits that are predicted, each at least the third of its user.
_FEWEST_VISITS: Final = 50

_PAIRS: Final = """
WITH counts AS (
    SELECT "user", visit, category, count(*)::DOUBLE AS rows, min(moment) AS moment FROM taken
    WHERE category IS NOT NULL GROUP BY ALL
), visits AS (
    SELECT "user", visit, sum(rows) AS total,
           row_number() OVER of_user AS number,
           coalesce(sum(sum(rows)) OVER (of_user ROWS BETWEEN UNBOUNDED PRECEDING
                                         AND 1 PRECEDING), 0) AS before,
           lag(sum(rows)) OVER of_user AS last_total,
           (min(moment) - lag(min(moment)) OVER of_user) / 86400e6 AS days
    FROM counts GROUP BY "user", visit WINDOW of_user AS (PARTITION BY "user" ORDER BY visit)
), population AS (
    SELECT category, sum(rows) / sum(sum(rows)) OVER () AS share FROM counts GROUP BY category
), known AS (
    SELECT "user", category, rows, total, before, last_total, number, days,
           coalesce(sum(rows) OVER (of_category ROWS BETWEEN UNBOUNDED PRECEDING
                                    AND 1 PRECEDING), 0) AS own,
           CASE WHEN lag(number) OVER of_category = number - 1
                THEN lag(rows) OVER of_category ELSE 0 END AS last_rows
    FROM counts JOIN visits USING ("user", visit)
    WINDOW of_category AS (PARTITION BY "user", category ORDER BY number)
)
SELECT "user", number, rows / total AS weight,
       (own + {strength} * share) / (before + {strength}) AS stable,
       last_rows / last_total AS last
FROM known JOIN population USING (category)
WHERE number >= 3 AND days <= {recent_days} ORDER BY "user", number, category
"""


def fit_drift(taken: TakenItems) -> dict[str, Any]:
    """A rhythm's ``drift``; neutral with a note where the log has too few visits or categories."""
    pairs = select(
        _PAIRS.format(strength=STRENGTH["interests"], recent_days=RECENT_DAYS), taken=taken.table
    )
    visits = _count_visits(pairs)
    if visits < _FEWEST_VISITS:
        note = f"only {visits:,} visits, in a known category, are a user's third or later"
        return {"drift": Rate(value=0.0, note=note)}
    weight, stable, last = (pairs[name].to_numpy() for name in ("weight", "stable", "last"))
    if not np.any(np.abs(last - stable) > 1e-9):
        return {"drift": Rate(value=0.0, note="the log has one category, so no interest can drift")}
    drift = _maximise(weight, stable, last)
    mixture = (1.0 - drift) * stable + drift * last
    score = (last - stable) / mixture
    curvature = float((weight * score**2).sum())
    of_user = np.bincount(pairs["user"].to_numpy(), weights=weight * score)
    # At a bound the scores do not sum to zero; their spread around the mean is what counts.
    came = of_user[np.unique(pairs["user"].to_numpy())]
    spread = float(((came - came.mean()) ** 2).sum())
    note = f"{visits:,} visits of {len(came):,} users, each predicted from those before"
    return {
        "drift": Rate(
            value=drift,
            standard_error=float(np.sqrt(max(spread, curvature))) / curvature,
            source="fitted",
            note=note,
        )
    }


def _count_visits(pairs: pa.Table) -> int:
    return int(
        select(
            'SELECT count(*) AS visits FROM (SELECT DISTINCT "user", number FROM pairs)',
            pairs=pairs,
        )["visits"][0].as_py()
    )


def _maximise(weight: Floats, stable: Floats, last: Floats) -> float:
    """The weight of the last visit, in 0 to 0.9, where the likelihood is largest."""

    def slope(drift: float) -> float:
        mixture = (1.0 - drift) * stable + drift * last
        return float((weight * (last - stable) / mixture).sum())

    if slope(0.0) <= 0.0:
        return 0.0
    if slope(LARGEST_DRIFT) >= 0.0:
        return LARGEST_DRIFT
    return float(brentq(slope, 0.0, LARGEST_DRIFT, xtol=1e-6))
