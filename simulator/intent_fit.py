"""How often and how unevenly visits respond: fitted so that sessions do as the log's do.

Three moments of the responses of a session (mean, share of sessions with one, variance) are met by
as many numbers: the shift of the click curve, the spread of intent, and, where the log cannot tell
it from its pages, the chance of leaving after a purchase. A fourth, how far the sessions of one
shopper go together, says how much of the spread is the shopper's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from scipy.optimize import brentq

from footfall.simulator.expected_sessions import ExpectedSessions
from footfall.simulator.response_target import ResponseTarget

__all__ = ["WIDEST_SHIFT", "WIDEST_SPREAD", "IntentFit", "solve_intent", "solve_of_shopper"]

#: Shift and spread are looked for between these log-odds.
WIDEST_SHIFT: Final = 6.0
WIDEST_SPREAD: Final = 4.0
#: Steps away from the prior in which the chance of leaving is looked for, and its bounds.
_STEP: Final = 0.1
_LEAST_LEAVING, _MOST_LEAVING = 0.05, 0.95


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

    Where there are none, the nearest are taken. Of several chances of leaving that meet the
    variance, that next to the prior is taken.

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

    def excess(rate: float) -> float:
        fit = _at(tried, target, rate)
        mean, _, square = tried.leaving_after_purchase(rate).moments(fit.shift, fit.spread)
        return square - mean**2 - (target.variance or 0.0)

    tried_out = {prior.value: excess(prior.value)}
    low = high = prior.value
    while low > _LEAST_LEAVING or high < _MOST_LEAVING:
        steps = ((low, max(low - _STEP, _LEAST_LEAVING)), (high, min(high + _STEP, _MOST_LEAVING)))
        for last, rate in steps:
            if rate == last:
                continue
            tried_out[rate] = excess(rate)
            if tried_out[rate] * tried_out[last] > 0:
                continue
            root = float(brentq(excess, min(rate, last), max(rate, last), xtol=1e-3))
            fit = _at(tried, target, root)
            # With the spread at its bound the share of sessions with a response is not met.
            if fit.spread < WIDEST_SPREAD:
                return replace(fit, fits_leaving=True)
        low, high = (rate for _, rate in steps)
    nearest = min(
        tried_out, key=lambda rate: (_at_bound(tried, target, rate), abs(tried_out[rate]))
    )
    return replace(_at(tried, target, nearest), fits_leaving=nearest != prior.value)


def solve_of_shopper(tried: ExpectedSessions, fit: IntentFit, covariance: float) -> float:
    """Share of the spread's variance between shoppers at which two sessions go together so."""
    tried = tried.leaving_after_purchase(fit.leaving)

    def excess(share: float) -> float:
        return tried.covariance(fit.shift, fit.spread, share) - covariance

    if excess(0.0) >= 0:
        return 0.0
    if excess(1.0) <= 0:
        return 1.0
    return float(brentq(excess, 0.0, 1.0, xtol=1e-3))


def _at_bound(tried: ExpectedSessions, target: ResponseTarget, leaving: float) -> bool:
    return _at(tried, target, leaving).spread >= WIDEST_SPREAD


def _at(tried: ExpectedSessions, target: ResponseTarget, leaving: float) -> IntentFit:
    """Shift and spread at one chance of leaving after a purchase."""
    tried = tried.leaving_after_purchase(leaving)
    responding = target.responding
    if responding is None:
        return IntentFit(_shift(tried, target.per_session, 0.0), 0.0, leaving)

    def excess(spread: float) -> float:
        shift = _shift(tried, target.per_session, spread)
        return tried.moments(shift, spread)[1] - responding

    # Of sessions with one mean, the more they differ the more of them have no response.
    if excess(0.0) <= 0:
        spread = 0.0
    elif excess(WIDEST_SPREAD) >= 0:
        spread = WIDEST_SPREAD
    else:
        spread = float(brentq(excess, 0.0, WIDEST_SPREAD, xtol=1e-3))
    return IntentFit(_shift(tried, target.per_session, spread), spread, leaving)


def _shift(tried: ExpectedSessions, per_session: float, spread: float) -> float:
    def excess(shift: float) -> float:
        return tried.moments(shift, spread)[0] - per_session

    if excess(-WIDEST_SHIFT) >= 0:
        return -WIDEST_SHIFT
    if excess(WIDEST_SHIFT) <= 0:
        return WIDEST_SHIFT
    return float(brentq(excess, -WIDEST_SHIFT, WIDEST_SHIFT, xtol=1e-4))
