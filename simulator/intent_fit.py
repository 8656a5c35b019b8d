"""How often and how unevenly visits respond: fitted so that sessions do as the log's do.

The mean of a session's responses is met by the shift of the click curve, the share of sessions with
one by the spread of intent, and how far the sessions of one shopper go together by the shopper's
share of that spread. Where the log cannot tell the chance of leaving after a purchase from its
pages, it comes nearest to two further moments: how the responses vary, and how many categories they
are spread over, because who stays has other needs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from scipy.optimize import brentq, minimize_scalar, root

from footfall.simulator.behaviour import Floats
from footfall.simulator.expected_sessions import ExpectedSessions
from footfall.simulator.response_target import ResponseTarget

__all__ = ["IntentFit", "solve_intent", "solve_of_shopper"]

#: Shift and spread are looked for between these log-odds.
_WIDEST_SHIFT: Final = 6.0
_WIDEST_SPREAD: Final = 4.0
#: The chance of leaving is looked for between these, first at so many places.
_LEAST_LEAVING, _MOST_LEAVING = 0.05, 0.95
_GRID: Final = 10
#: Below it the moments hardly tell the spread's sign.
_SMALLEST_SPREAD: Final = 0.05
_FLAT: Final = 1e-6


@dataclass(frozen=True, slots=True)
class IntentFit:
    """The numbers at which sessions do as the log's.

    ``leaving`` is the chance of leaving after a purchase; ``fits_leaving`` says whether it was
    fitted.
    """

    shift: float
    spread: float
    leaving: float
    fits_leaving: bool = False


def solve_intent(
    tried: ExpectedSessions, target: ResponseTarget, *, leaving: float | None = None
) -> IntentFit:
    """Shift, spread and leaving at which the expected moments are the target's.

    Where there are none, the nearest are taken.

    Parameters
    ----------
    tried:
        Sessions of the pages tried out.
    target:
        Moments of the real sessions.
    leaving:
        Chance of leaving after a purchase, where it is known already.
    """
    prior = tried.behaviour.leave_after_purchase
    if leaving is not None:
        return _at(tried, target, leaving)
    if prior.source == "fitted" or target.variance is None or target.response != "purchased":
        return _at(tried, target, prior.value)

    def distance(rate: float) -> float:
        return _distance(tried.leaving_after_purchase(rate), target, _at(tried, target, rate))

    grid = np.linspace(_LEAST_LEAVING, _MOST_LEAVING, _GRID)
    found_at = [distance(float(rate)) for rate in grid]
    if np.ptp(found_at) < _FLAT:  # nothing tells: sessions of one page, say
        return _at(tried, target, prior.value)
    best = int(np.argmin(found_at))
    near = (grid[max(best - 1, 0)], grid[min(best + 1, _GRID - 1)])
    found = minimize_scalar(distance, bounds=near, method="bounded", options={"xatol": 5e-3})
    return replace(_at(tried, target, float(found.x)), fits_leaving=True)


def _distance(tried: ExpectedSessions, target: ResponseTarget, fit: IntentFit) -> float:
    """Sum of the squared relative differences between expected and real moments."""
    moments = tried.moments(fit.shift, fit.spread)
    pairs = (
        (moments.square - moments.mean**2, target.variance),
        (moments.responding, target.responding),
        (tried.categories(fit.shift, fit.spread), target.categories),
    )
    return float(sum((value / real - 1.0) ** 2 for value, real in pairs if real))


def solve_of_shopper(tried: ExpectedSessions, fit: IntentFit, covariance: float) -> float:
    """Share of the spread's variance between shoppers at which two sessions go together so."""
    tried = tried.leaving_after_purchase(fit.leaving)

    def excess(share: float) -> float:
        return tried.covariance(fit.shift, fit.spread, share) - covariance

    if fit.spread == 0.0 or excess(0.0) >= 0:
        return 0.0
    if excess(1.0) <= 0:
        return 1.0
    return float(brentq(excess, 0.0, 1.0, xtol=1e-3))


def _at(tried: ExpectedSessions, target: ResponseTarget, leaving: float) -> IntentFit:
    """Shift and spread at one chance of leaving after a purchase."""
    tried = tried.leaving_after_purchase(leaving)
    responding = target.responding
    if responding is None:
        return IntentFit(_shift(tried, target.per_session, 0.0), 0.0, leaving)

    def missing(numbers: Floats) -> list[float]:
        moments = tried.moments(float(numbers[0]), float(numbers[1]))
        return [moments.mean - target.per_session, moments.responding - responding]

    # Ten times as fast as one bracket within the other, which is for what it cannot solve.
    fast = root(missing, (-1.0, 1.0), options={"xtol": 1e-6})
    shift, spread = (float(number) for number in fast.x)
    if fast.success and abs(shift) < _WIDEST_SHIFT and _SMALLEST_SPREAD < spread < _WIDEST_SPREAD:
        return IntentFit(shift, spread, leaving)

    def excess(spread: float) -> float:
        shift = _shift(tried, target.per_session, spread)
        return tried.moments(shift, spread).responding - responding

    # Of sessions with one mean, the more they differ the more of them have no response.
    if excess(0.0) <= 0:
        spread = 0.0
    elif excess(_WIDEST_SPREAD) >= 0:
        spread = _WIDEST_SPREAD
    else:
        spread = float(brentq(excess, 0.0, _WIDEST_SPREAD, xtol=1e-3))
    return IntentFit(_shift(tried, target.per_session, spread), spread, leaving)


def _shift(tried: ExpectedSessions, per_session: float, spread: float) -> float:
    def excess(shift: float) -> float:
        return tried.moments(shift, spread).mean - per_session

    if excess(-_WIDEST_SHIFT) >= 0:
        return -_WIDEST_SHIFT
    if excess(_WIDEST_SHIFT) <= 0:
        return _WIDEST_SHIFT
    return float(brentq(excess, -_WIDEST_SHIFT, _WIDEST_SHIFT, xtol=1e-4))
