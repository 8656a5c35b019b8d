"""A few sessions tried out before a run: to meet the log's responses, and to say what it costs.

The click curve is fitted on real slates. Simulated slates are other slates (what the search engine
finds for a simulated query), and a shopper sees as many of them as they please, so the same curve
can give more or fewer responses a session than the log has, and spread them more evenly. The pilot
finds the shift of the curve's intercept, how much visits differ in their inclination to respond,
and how soon shoppers leave with what they bought, at which the moments of a session's responses are
expected to be the log's (the method of simulated moments, McFadden 1989; :mod:`.intent_fit`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from time import monotonic
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from footfall.personas.persona import Persona
from footfall.progress import track
from footfall.simulator.arrivals import Arrivals
from footfall.simulator.behaviour import Floats, Rate
from footfall.simulator.crowd import Crowd, FinishedVisit
from footfall.simulator.engines.protocol import Engine
from footfall.simulator.expected_sessions import ExpectedSessions
from footfall.simulator.intent_fit import IntentFit, solve_intent, solve_of_shopper
from footfall.simulator.response_target import ResponseTarget
from footfall.simulator.schedule import Schedule
from footfall.simulator.shopper import Shop

__all__ = ["Pilot", "run_pilot"]

#: Parts of the sessions that are left out in turn for the standard errors.
_PARTS = 5
#: A moment that is met within this share of it is met.
_CLOSE = 0.02


class Pilot(BaseModel):
    """What the pilot found."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sessions: int = Field(description="Sessions tried out.")
    shift: Rate = Field(description="Added to the log-odds of every click.")
    spread: Rate = Field(description="Standard deviation of that between visits.")
    of_shopper: Rate = Field(description="Share of its variance that is between shoppers.")
    leaving: Rate = Field(description="Chance of leaving after a purchase.")
    before: float | None = Field(None, description="Responses a session without all that.")
    target: float | None = Field(None, description="Responses a session in the log.")
    prompt_tokens: float = Field(0.0, description="Prompt tokens a session.")
    output_tokens: float = Field(0.0, description="Output tokens a session.")
    answers: float = Field(0.0, description="Requests a session.")
    seconds: float = Field(0.0, description="Seconds a session, with all shoppers at once.")

    def rates(self) -> dict[str, Rate]:
        """What was fitted, by the behaviour's names."""
        return {
            "intercept_shift": self.shift,
            "intent_spread": self.spread,
            "intent_of_shopper": self.of_shopper,
            "leave_after_purchase": self.leaving,
        }


def run_pilot(
    shop: Shop,
    personas: Sequence[Persona],
    arrivals: Arrivals,
    engine: Engine,
    *,
    sessions: int,
    target: ResponseTarget | None,
    seed: int,
    concurrency: int = 48,
) -> Pilot:
    """Try out ``sessions`` sessions; fit the shift of the click curve and the spread of intent.

    The pilot's own shoppers are drawn like the run's; what they are asked and answered does not
    touch the run's draws. ``shop`` is one without shift and spread.
    """
    plan = Schedule.plan(personas, arrivals, sessions=sessions, seed=seed + 1)
    crowd = Crowd(shop, personas, engine, seed=seed + 1, concurrency=concurrency, key="pilot/")
    began = monotonic()
    finished: list[FinishedVisit] = []
    with track("Trying out sessions", total=sessions) as progress:
        for each in crowd.run(plan.itineraries()):
            finished.append(each)
            progress.advance()
    seconds = monotonic() - began
    # Visits end in the order in which the engine answers; what is fitted must not depend on it.
    finished.sort(key=lambda each: each.number)
    visits = [each.visit for each in finished]
    return Pilot(
        sessions=len(visits),
        **_fit(shop, personas, finished, target),
        target=target.per_session if target else None,
        prompt_tokens=float(np.mean([visit.prompt_tokens for visit in visits])),
        output_tokens=float(np.mean([visit.output_tokens for visit in visits])),
        answers=float(np.mean([visit.asked for visit in visits])),
        seconds=seconds / max(1, len(visits)),
    )


def _fit(
    shop: Shop,
    personas: Sequence[Persona],
    finished: Sequence[FinishedVisit],
    target: ResponseTarget | None,
) -> dict[str, Any]:
    leaving = shop.behaviour.leave_after_purchase
    if target is None:
        unknown = Rate(value=0.0, note="the log does not tell the responses of a session")
        return {"shift": unknown, "spread": unknown, "of_shopper": unknown, "leaving": leaving}

    def expected(chosen: Sequence[FinishedVisit]) -> ExpectedSessions:
        return ExpectedSessions.of(
            [each.visit for each in chosen],
            [personas[each.shopper].patience / shop.mean_patience for each in chosen],
            shop.behaviour,
            target.response,
            shop.catalog,
            most_pages=shop.most_pages,
        )

    tried = expected(finished)
    fit = solve_intent(tried, target)
    others = [solve_intent(tried, each, leaving=fit.leaving) for each in _moved(target)]
    errors = np.sqrt(
        _jackknife([solve_intent(expected(part), target) for part in _parts(finished)])
        + sum((_numbers(other) - _numbers(fit)) ** 2 for other in others)
    )
    words = "clicks" if target.response == "clicked" else "purchases"
    note = f"{target.sessions:,} real sessions, on {len(finished)} sessions tried out"

    def rate(place: int, met: str) -> Rate:
        return Rate(
            value=float(_numbers(fit)[place]),
            standard_error=float(errors[place]),
            source="fitted",
            note=f"{met} of {note}",
        )

    reached = tried.leaving_after_purchase(fit.leaving).moments(fit.shift, fit.spread)
    shift = rate(
        0,
        f"{_met(reached.mean, target.per_session)} {target.per_session:.3g} {words} a session",
    )
    spread = Rate(value=0.0, note="the log does not tell how sessions differ")
    if target.responding is not None:
        how = _met(reached.responding, target.responding)
        spread = rate(1, f"{how} a share of {target.responding:.3g} sessions with {words}")
    if fit.fits_leaving:
        spread_over = ""
        if target.categories is not None:
            spread_over = f" and {target.categories:.3g} categories"
        leaving = rate(
            2, f"comes nearest to a variance of {target.variance:.3g}{spread_over} a session"
        )
    return {
        "shift": shift,
        "spread": spread,
        "of_shopper": _of_shopper(tried, fit, target),
        "leaving": leaving,
        "before": tried.moments(0.0, 0.0).mean,
    }


def _of_shopper(tried: ExpectedSessions, fit: IntentFit, target: ResponseTarget) -> Rate:
    if target.covariance is None:
        return Rate(value=0.0, note="the log shows too few shoppers who came back")
    if fit.spread == 0.0:
        return Rate(value=0.0, note="visits do not differ in intent")
    wanted, error = target.covariance, target.covariance_error
    value = solve_of_shopper(tried, fit, wanted)
    moved = [solve_of_shopper(tried, fit, wanted + sign * error) for sign in (1, -1)]
    reached = tried.leaving_after_purchase(fit.leaving).covariance(fit.shift, fit.spread, value)
    return Rate(
        value=value,
        standard_error=max(abs(each - value) for each in moved),
        source="fitted",
        note=f"{_met(reached, wanted)} a covariance of {wanted:.3g} between real sessions of one "
        "shopper",
    )


def _met(reached: float, wanted: float) -> str:
    """How well a moment was met, in words."""
    if abs(reached - wanted) <= _CLOSE * max(abs(wanted), 1e-9):
        return "meets"
    return f"comes with {reached:.3g} as near as it can to"


def _numbers(fit: IntentFit) -> Floats:
    return np.array([fit.shift, fit.spread, fit.leaving])


def _moved(target: ResponseTarget) -> list[ResponseTarget]:
    """The target with each of its moments one standard error higher."""
    moved = [replace(target, per_session=target.per_session + target.standard_error)]
    if target.responding is not None:
        higher = min(target.responding + target.responding_error, 1.0)
        moved.append(replace(target, responding=higher))
    return moved


def _parts(finished: Sequence[FinishedVisit]) -> list[Sequence[FinishedVisit]]:
    """The visits without each part of them in turn."""
    parts = min(_PARTS, len(finished))
    if parts < 2:
        return []
    return [
        [each for place, each in enumerate(finished) if place % parts != part]
        for part in range(parts)
    ]


def _jackknife(fits: Sequence[IntentFit]) -> Floats:
    """Variances from the choice of visits: a delete-a-group jackknife."""
    if not fits:
        return np.zeros(3)
    found = np.array([_numbers(fit) for fit in fits])
    spread = ((found - found.mean(axis=0)) ** 2).sum(axis=0)
    return np.asarray((len(fits) - 1) / len(fits) * spread)
