"""How often real sessions respond to what they are shown, and how unevenly."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np
import numpy.typing as npt

from footfall.simulator.behaviour import Floats
from footfall.simulator.catalog import utc_moment
from footfall.simulator.log import Log

__all__ = ["ResponseTarget", "read_response_target", "shopper_covariance"]

#: Parts of the users that are left out in turn for a standard error.
_PARTS: Final = 20
#: Fewest pairs of sessions of one shopper to tell shoppers from visits.
_FEWEST_PAIRS: Final = 50

# A session in which nothing was shown had no response: it counts like every other one, here and
# where runs are compared with the log. One that goes on at `until` is left out.
_BY_USER: Final = """
WITH shown AS (
    SELECT session_id, clicked, purchased, coalesce(searched_at, shown_at) AS moment,
           greatest(searched_at, shown_at, clicked_at, purchased_at) AS last,
           coalesce(category, '') AS category
    FROM impressions JOIN searches USING (search_id) LEFT JOIN items USING (item_id)
    WHERE impressions.origin = 'real'
), kind AS (
    SELECT count(*) FILTER (clicked) > 0 AS clicks FROM shown
    WHERE $until IS NULL OR moment < $until
), each AS (
    SELECT session_id, any_value(sessions.user_id) AS user_id,
           coalesce(any_value(started_at), min(moment)) AS moment, max(last) AS last,
           count(*) FILTER (CASE WHEN clicks THEN clicked ELSE purchased END) AS responses,
           count(DISTINCT category) FILTER (
               CASE WHEN clicks THEN clicked ELSE purchased END) AS categories,
           count(shown.session_id) AS rows,
           count(CASE WHEN clicks THEN clicked ELSE purchased END) AS known
    FROM sessions LEFT JOIN shown USING (session_id) CROSS JOIN kind
    WHERE sessions.origin = 'real' GROUP BY session_id
)
SELECT user_id, (SELECT clicks FROM kind) AS clicks, count(*) AS sessions,
       sum(responses) AS responses, sum(responses * responses) AS squares,
       sum(categories) AS categories,
       count(*) FILTER (responses > 0) AS responding, count(*) FILTER (known > 0) AS known
FROM each
WHERE (known > 0 OR rows = 0) AND ($until IS NULL OR greatest(moment, last) < $until)
  AND ($since IS NULL OR moment >= $since)
GROUP BY user_id ORDER BY user_id
"""


@dataclass(frozen=True, slots=True)
class ResponseTarget:
    """Responses of real sessions on what they were shown.

    Attributes
    ----------
    response
        ``clicked`` or ``purchased``.
    per_session, standard_error
        Mean number of responses a session; the error is between users.
    sessions
        How many there are.
    responding, responding_error
        Share of sessions with a response at all; ``None`` where it is not to be met.
    variance
        Of the responses of a session; ``None`` where it is not to be met.
    categories
        Mean number of different categories among the responses of a session; ``None`` where it is
        not to be met.
    covariance, covariance_error
        Between the responses of two sessions of one shopper; ``None`` where too few came back.
    """

    response: str
    per_session: float
    standard_error: float
    sessions: int
    responding: float | None = None
    responding_error: float = 0.0
    variance: float | None = None
    categories: float | None = None
    covariance: float | None = None
    covariance_error: float = 0.0


def read_response_target(
    log: Log, *, since: datetime | None = None, until: datetime | None = None
) -> ResponseTarget | None:
    """Responses of real sessions, clicks where the log records them and purchases otherwise.

    ``None`` where the log cannot tell: it records no response, or only sessions that have one.
    """
    table = log.query(_BY_USER, {"since": utc_moment(since), "until": utc_moment(until)})
    if not table.num_rows:
        return None
    sessions, responses, squares, responding = (
        table[name].to_numpy().astype(np.float64)
        for name in ("sessions", "responses", "squares", "responding")
    )
    total = sessions.sum()
    known = table["known"].to_numpy().sum()
    if not responses.sum() or responding.sum() == known:
        return None
    covariance, covariance_error = shopper_covariance(sessions, responses, squares)
    return ResponseTarget(
        response="clicked" if table["clicks"][0].as_py() else "purchased",
        per_session=float(responses.sum() / total),
        standard_error=_ratio_error(responses, sessions),
        sessions=int(total),
        responding=float(responding.sum() / total),
        responding_error=_ratio_error(responding, sessions),
        variance=float(squares.sum() / total - (responses.sum() / total) ** 2),
        categories=float(table["categories"].to_numpy().astype(np.float64).sum() / total),
        covariance=covariance,
        covariance_error=covariance_error,
    )


def _ratio_error(upper: Floats, lower: Floats) -> float:
    """Standard error of a ratio of sums over users (linearised, Cochran 1977, section 2.11)."""
    ratio = upper.sum() / lower.sum()
    users = len(upper)
    if users < 2:
        return 0.0
    deviations = upper - ratio * lower
    return float(np.sqrt((deviations**2).sum() * users / (users - 1)) / lower.sum())


def shopper_covariance(
    sessions: Floats, responses: Floats, squares: Floats
) -> tuple[float | None, float]:
    """Covariance of the responses of two sessions of one shopper, and its standard error.

    The standard error leaves out each twentieth of the shoppers in turn. Fewer than 50 pairs of
    sessions tell nothing.

    Parameters
    ----------
    sessions, responses, squares:
        Of each shopper: number of sessions, sum of their responses, and sum of the squares of
        their responses.
    """
    if (sessions * (sessions - 1)).sum() < 2 * _FEWEST_PAIRS:
        return None, 0.0
    sums = np.column_stack(
        [sessions, responses, squares, sessions**2, responses**2, sessions * responses]
    )
    parts = np.arange(len(sums)) % _PARTS
    without = np.array([_covariance(sums[parts != part].sum(axis=0)) for part in range(_PARTS)])
    error = np.sqrt((_PARTS - 1) / _PARTS * np.nansum((without - np.nanmean(without)) ** 2))
    return _covariance(sums.sum(axis=0)), float(error)


def _covariance(sums: npt.NDArray[np.float64]) -> float:
    sessions, responses, squares, sessions_squared, responses_squared, products = sums
    pairs = sessions_squared - sessions
    if pairs <= 0:
        return float("nan")
    # Who comes often is in many pairs: the mean is that of the pairs, too.
    mean = (products - responses) / pairs
    return float((responses_squared - squares) / pairs - mean**2)
