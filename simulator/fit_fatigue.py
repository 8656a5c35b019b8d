"""Whether an item that was shown in vain is less likely to be clicked the next time.

Fitted on complete slates of the real log (``candidates`` is ``logged``, and no row was left out):
the log-odds that a visit which shows an item to a user responds to it are an intercept of the item
plus the fatigue times ``log(1 + n)``, where ``n`` earlier visits in a row showed the item in vain;
a response starts the count anew. Item intercepts have a Gaussian prior around their mean; all are
fitted together by penalised maximum likelihood (Newton's method; the Hessian is an arrow).

A user who ignored an item may never have wanted it: what is fitted holds this selection too, and
overstates how much an item tires.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

import numpy as np
import numpy.typing as npt

from footfall.simulator.behaviour import Rate, sigmoid
from footfall.simulator.catalog import utc_moment
from footfall.simulator.log import Log
from footfall.simulator.rhythm import Rhythm
from footfall.simulator.schema import ORIGIN_REAL

__all__ = ["fit_fatigue"]

Floats = npt.NDArray[np.float64]

#: Fewest repeated showings, and fewest responses to them, to fit on.
_FEWEST_SHOWN: Final = 200
_FEWEST_RESPONSES: Final = 20
#: Standard deviation of the items' log-odds under their prior.
_ITEM_DEVIATION: Final = 2.0
_STEPS: Final = 50

# A visit counts once for an item, as in a shopper's memory.
_CELLS: Final = """
WITH recorded AS (
    SELECT count(*) FILTER (clicked) > 0 AS clicks FROM impressions WHERE origin = $origin
), rows AS (
    SELECT user_id, item_id, session_id, sample_rate,
           coalesce(shown_at, searched_at, started_at) AS moment,
           CASE WHEN clicks THEN clicked ELSE purchased END AS response
    FROM impressions JOIN searches USING (search_id) JOIN sessions USING (session_id)
    CROSS JOIN recorded
    WHERE impressions.origin = $origin AND candidates = 'logged'
), shown AS (
    SELECT user_id, item_id, session_id, min(moment) AS moment, bool_or(response) AS response
    FROM rows
    WHERE response IS NOT NULL AND sample_rate = 1 AND moment IS NOT NULL
      AND ($until::TIMESTAMP IS NULL OR moment < $until::TIMESTAMP)
    GROUP BY ALL
), stretches AS (
    SELECT *, coalesce(sum(response::INTEGER) OVER (
        PARTITION BY user_id, item_id ORDER BY moment, session_id
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS stretch
    FROM shown
), counted AS (
    SELECT item_id, response, row_number() OVER (
        PARTITION BY user_id, item_id, stretch ORDER BY moment, session_id) - 1 AS in_vain
    FROM stretches
)
SELECT dense_rank() OVER (ORDER BY item_id) - 1 AS item, in_vain, count(*)::DOUBLE AS shown,
       count(*) FILTER (response)::DOUBLE AS responses
FROM counted GROUP BY item_id, in_vain ORDER BY item_id, in_vain
"""


def fit_fatigue(log: Log, *, until: datetime | None = None) -> Rate:
    """The fatigue; 0 with a note where the log does not show items again to the same users."""
    cells = log.query(_CELLS, {"origin": ORIGIN_REAL, "until": utc_moment(until)})
    item, in_vain, shown, responses = (
        cells[name].to_numpy() for name in ("item", "in_vain", "shown", "responses")
    )
    if not len(item):
        return Rhythm().fatigue
    again = in_vain > 0
    repeated, answered = shown[again].sum(), responses[again].sum()
    if repeated < _FEWEST_SHOWN or answered < _FEWEST_RESPONSES:
        note = f"only {repeated:,.0f} complete repeated showings, {answered:,.0f} with a response"
        return Rate(value=0.0, note=note)
    value, error = _fit(item, np.log1p(in_vain.astype(np.float64)), shown, responses)
    note = f"{repeated:,.0f} showings of an item seen before, {answered:,.0f} with a response"
    return Rate(value=value, standard_error=error, source="fitted", note=note)


def _fit(
    item: npt.NDArray[np.int64], exposure: Floats, shown: Floats, responses: Floats
) -> tuple[float, float]:
    """Slope and its standard error; cells of shape (cells,), ``item`` numbers them from 0."""
    mean = np.log((responses.sum() + 0.5) / (shown.sum() - responses.sum() + 0.5))
    items = np.zeros(int(item.max()) + 1)
    slope = 0.0
    precision = _ITEM_DEVIATION**-2
    information = 1.0
    for _ in range(_STEPS):
        chance = sigmoid(mean + items[item] + slope * exposure)
        residual = responses - shown * chance
        weight = shown * chance * (1.0 - chance)
        # Shared parameters: the intercept and the slope. Items are eliminated one by one.
        shared = np.column_stack([np.ones_like(exposure), exposure])
        gradient = shared.T @ residual
        hessian = shared.T @ (weight[:, None] * shared)
        of_item = np.bincount(item, weights=residual) - precision * items
        diagonal = np.bincount(item, weights=weight) + precision
        border = np.column_stack([np.bincount(item, weights=weight * c) for c in shared.T])
        schur = hessian - border.T @ (border / diagonal[:, None])
        step = np.linalg.solve(schur, gradient - border.T @ (of_item / diagonal))
        items_step = (of_item - border @ step) / diagonal
        # A long Newton step can overshoot where responses are rare.
        length = min(1.0, 2.0 / max(np.abs(step).max(), np.abs(items_step).max(), 1e-12))
        mean, slope = mean + length * step[0], slope + length * step[1]
        items += length * items_step
        information = float(schur[1, 1] - schur[0, 1] ** 2 / schur[0, 0])
        if np.abs(step).max() < 1e-8:
            break
    return float(slope), float(information**-0.5)
