"""Fit of the position curve: the chance that the item at position ``k`` is looked at.

Clicks fall with position for two reasons: fewer people look, and the better items stand higher.
The position-based model (Craswell et al. 2008) keeps them apart: ``P(click) = look[k] *
relevance``. Three ways are tried, the first that tells enough is taken:

1. *Within pairs.* Of an item that one query showed at several positions, relevance stays and the
   position changes (the natural interventions of Agarwal et al. 2019). Given how many clicks a
   pair got, their spread over positions depends on ``look`` alone: the conditional likelihood of
   a multiplicative model (Hausman, Hall and Griliches 1984; consistent whatever the relevances,
   Wooldridge 1999). It assumes that an item's place under a query does not follow the person.
2. *Beside covariates.* Relevance through what is known of the item (popularity, affinity, price,
   appeal), fitted together with ``look``. What the covariates miss stays in the curve.
3. *Clicks by position*, relevance not separated.

All are made monotone, and position 1 is the unit.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.optimize import minimize
from scipy.sparse import csr_array
from sklearn.isotonic import IsotonicRegression

from footfall.simulator.behaviour import Floats, Rate, sigmoid
from footfall.simulator.catalog import utc_moment
from footfall.simulator.fit_clicks import COVARIATES, FitData
from footfall.simulator.log import Log

__all__ = ["fit_looks", "look_of_rows"]

#: Fewest shown rows at a position for its rate to be fitted.
_MINIMUM_SHOWN = 200
#: Largest standard error of a log look with which a way counts as telling enough.
_LARGEST_ERROR = 0.3
#: Most steps of the logarithm of look; a chance of 0.0003 is as good as none.
_DEEPEST = 8.0

_SHOWN_SQL = """
SELECT query, item_id, position, sum(1 / sample_rate) AS shown,
       count(*) FILTER (response) AS clicked
FROM (
    SELECT query, item_id, position, sample_rate,
           CASE WHEN $clicks THEN clicked ELSE purchased END AS response
    FROM impressions LEFT JOIN searches USING (search_id)
    WHERE impressions.origin = 'real' AND position BETWEEN 1 AND $last
      AND ($until IS NULL OR shown_at < $until)
) WHERE response IS NOT NULL GROUP BY query, item_id, position
"""

_POSITIONS_SQL = f"""
SELECT position, sum(shown) AS shown, sum(clicked)::DOUBLE AS clicked
FROM ({_SHOWN_SQL}) GROUP BY position ORDER BY position
"""

#: Only pairs with a click and several positions tell positions apart.
_PAIRS_SQL = f"""
SELECT dense_rank() OVER (ORDER BY query, item_id) - 1 AS pair, position, shown,
       clicked::DOUBLE AS clicked
FROM (
    SELECT *, sum(clicked) OVER pairs AS clicks, count(*) OVER pairs AS positions
    FROM ({_SHOWN_SQL}) WHERE position <= $known
    WINDOW pairs AS (PARTITION BY query, item_id)
) WHERE clicks > 0 AND positions > 1
"""


def fit_looks(
    log: Log,
    data: FitData,
    *,
    clicks: bool,
    until: datetime | None = None,
    page_size: int = 10,
) -> tuple[Rate, ...] | None:
    """Chance of looking at positions 1, 2, ..., or ``None`` where the log does not tell.

    The curve ends before the first position that is shown too rarely.

    Parameters
    ----------
    log, until:
        Real impressions before this moment.
    data:
        Rows with covariates, for the second way; their positions are those of ``log``.
    clicks:
        Whether clicks are the response; purchases otherwise.
    page_size:
        Last position of interest.
    """
    parameters = {"clicks": clicks, "last": page_size, "until": utc_moment(until)}
    rows = log.query(_POSITIONS_SQL, parameters)
    shown, clicked = rows["shown"].to_numpy(), rows["clicked"].to_numpy()
    position = rows["position"].to_numpy()
    often = (position == np.arange(1, len(position) + 1)) & (shown >= _MINIMUM_SHOWN)
    known = int(np.argmin(np.append(often, False)))
    if known < 2 or clicked[0] == 0:
        return None
    ways: list[Callable[[], tuple[Rate, ...] | None]] = [
        lambda: _within_pairs(log.query(_PAIRS_SQL, {**parameters, "known": known}), known),
        lambda: _beside_covariates(data, known),
    ]
    for way in ways:
        if (found := way()) is not None:
            return found
    return _clicks_by_position(shown[:known], clicked[:known])


def look_of_rows(look: tuple[Rate, ...], data: FitData) -> Floats:
    """Chance of having looked at each row, shape (impressions,).

    Where the log has no order, the mean over the positions that a slate of that length has.
    """
    values = np.asarray([rate.value for rate in look])
    known = np.isfinite(data.position)
    index = np.clip(np.where(known, data.position, 1).astype(int) - 1, 0, len(values) - 1)
    if data.slate is None:
        unknown: Floats = np.full(len(known), values.mean())
    else:
        lengths = np.bincount(data.slates())
        longest = int(lengths.max(initial=1))
        padded = np.append(values, np.full(max(0, longest - len(values)), values[-1]))
        means = np.cumsum(padded) / np.arange(1, len(padded) + 1)
        unknown = means[lengths[data.slates()] - 1]
    return np.where(known, values[index], unknown)


def _within_pairs(pairs: pa.Table, known: int) -> tuple[Rate, ...] | None:
    """Monotone conditional maximum likelihood over pairs of a query and an item."""
    if not pairs.num_rows:
        return None
    pair = pairs["pair"].to_numpy()
    place = pairs["position"].to_numpy() - 1
    shown, clicked = pairs["shown"].to_numpy(), pairs["clicked"].to_numpy()
    total = np.bincount(pair, clicked)

    def spread(logs: Floats) -> Floats:
        """Share of a pair's clicks expected at each of its positions."""
        parts = shown * np.exp(logs[place])
        return np.asarray(parts / np.bincount(pair, parts)[pair])

    def loss(steps: Floats) -> tuple[float, Floats]:
        share = spread(_logs(steps))
        slopes = np.bincount(place, clicked - total[pair] * share, minlength=known)
        return -float(clicked @ np.log(share)), _by_steps(slopes)

    steps = _minimum(loss, known)
    share = spread(_logs(steps))
    shape = (len(total), known)
    expected = csr_array((share * np.sqrt(total[pair]), (pair, place)), shape=shape)
    inner = (expected.T @ expected).toarray()
    information = np.diag(np.bincount(place, total[pair] * share, minlength=known)) - inner
    residual = csr_array((clicked - total[pair] * share, (pair, place)), shape=shape)
    errors = _log_errors(information[1:, 1:], (residual.T @ residual).toarray()[1:, 1:])
    note = (
        f"conditional likelihood of {int(total.sum()):,} responses to {len(total):,} pairs of "
        "query and item shown at several positions; relevance is separated"
    )
    return _rates(_logs(steps), errors, note)


def _beside_covariates(data: FitData, known: int) -> tuple[Rate, ...] | None:
    """Look and relevance together, relevance being a logistic function of the covariates."""
    columns = [data.covariate(name) for name in COVARIATES]
    columns = [column for column in columns if np.any(column != 0)]
    usable = np.isfinite(data.position)
    if not columns or not usable.any():
        return None
    place = np.clip(data.position[usable].astype(int) - 1, 0, known - 1)
    if len(np.unique(place)) < known:
        return None
    response = data.response[usable]
    weight = np.ones(len(place)) if data.weight is None else data.weight[usable]
    design = np.column_stack([np.ones(len(place)), *(column[usable] for column in columns)])
    ridge = np.append(0.01, np.ones(len(columns)))

    def parts(values: Floats) -> tuple[Floats, Floats, Floats]:
        relevance = sigmoid(design @ values[known - 1 :])
        chance = np.clip(np.exp(_logs(values[: known - 1]))[place] * relevance, 1e-12, 1 - 1e-9)
        # Derivative of the row's log-likelihood by log(chance).
        slopes = weight * np.where(response > 0, 1.0, -chance / (1 - chance))
        return relevance, chance, slopes

    def loss(values: Floats) -> tuple[float, Floats]:
        relevance, chance, slopes = parts(values)
        weights = values[known - 1 :]
        likelihood = weight @ np.where(response > 0, np.log(chance), np.log1p(-chance))
        by_place = np.bincount(place, slopes, minlength=known)
        by_weight = design.T @ (slopes * (1 - relevance)) - ridge * weights
        total = likelihood - 0.5 * ridge @ weights**2
        return -float(total), np.append(_by_steps(by_place), -by_weight)

    found = _minimum(loss, known, extra=design.shape[1])
    relevance, chance, slopes = parts(found)
    seen = np.eye(known)[place][:, 1:]
    jacobian = np.column_stack([seen, design * (1 - relevance)[:, None]])
    information = (jacobian * (weight * chance / (1 - chance))[:, None]).T @ jacobian
    scores = jacobian * slopes[:, None]
    prior = np.diag(np.append(np.zeros(known - 1), ridge))
    errors = _log_errors(information + prior, scores.T @ scores + prior)[: known - 1]
    note = (
        f"fitted with relevance through {len(columns)} covariate(s) on {len(place):,} "
        "impressions; relevance that they do not show is not separated"
    )
    return _rates(_logs(found[: known - 1]), errors, note)


def _clicks_by_position(shown: Floats, clicked: Floats) -> tuple[Rate, ...]:
    """Click rate by position relative to the first, by isotonic least squares."""
    rate = clicked / shown
    smooth = IsotonicRegression(increasing=False).fit_transform(
        np.arange(len(shown)), rate, sample_weight=shown
    )
    error = np.sqrt(np.maximum(rate * (1 - rate), 1e-12) / shown) / smooth[0]
    note = f"responses by position on {int(shown.sum()):,} impressions; relevance is not separated"
    return tuple(
        Rate(value=float(value / smooth[0]), standard_error=float(e), source="fitted", note=note)
        for value, e in zip(smooth, error, strict=True)
    )


def _logs(steps: Floats) -> Floats:
    """Logarithms of look at all positions from the falls between neighbours, all at least 0."""
    return np.append(0.0, -np.cumsum(steps))


def _by_steps(by_place: npt.NDArray[Any]) -> Floats:
    """Gradient of the loss by the falls, from that of the likelihood by the logarithms."""
    return np.asarray(np.cumsum(by_place[:0:-1])[::-1])


def _minimum(
    loss: Callable[[Floats], tuple[float, Floats]], known: int, *, extra: int = 0
) -> Floats:
    """Falls (first) and other parameters of the least loss; a fall below 0 is not allowed."""
    bounds = [(0.0, _DEEPEST)] * (known - 1) + [(None, None)] * extra
    start = np.append(np.full(known - 1, 0.1), np.zeros(extra))
    options = {"ftol": 1e-14, "gtol": 1e-8, "maxiter": 2000, "maxfun": 20_000}
    fit = minimize(loss, x0=start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    return np.asarray(fit.x, dtype=np.float64)


def _log_errors(information: npt.NDArray[np.float64], meat: npt.NDArray[np.float64]) -> Floats:
    """Standard errors, the larger of model's and sandwich; infinite where nothing is told."""
    if np.linalg.matrix_rank(information) < len(information):
        return np.full(len(information), np.inf)
    bread = np.linalg.inv(information)
    variance = np.maximum(np.diag(bread), np.diag(bread @ meat @ bread))
    return np.asarray(np.sqrt(variance), dtype=np.float64)


def _rates(logs: Floats, errors: Floats, note: str) -> tuple[Rate, ...] | None:
    """Rates of all positions by the delta method, or ``None`` where an error is too large."""
    if not np.all(errors <= _LARGEST_ERROR):
        return None
    values = np.exp(logs)
    return tuple(
        Rate(value=float(value), standard_error=float(value * e), source="fitted", note=note)
        for value, e in zip(values, np.append(0.0, errors), strict=True)
    )
