"""A few sessions tried out before a run: to meet the log's responses, and to say what it costs.

The click curve is fitted on real slates. Simulated slates are other slates (what the search engine
finds for a simulated query), and a shopper sees as many of them as they please, so the same curve
can give more or fewer responses a session than the log has. The pilot finds the shift of the
curve's intercept at which they are expected to agree (the method of simulated moments, McFadden
1989); nothing else of the curve changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from time import monotonic

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from scipy.optimize import brentq

from footfall.personas.persona import Persona
from footfall.progress import track
from footfall.simulator.arrivals import Arrivals
from footfall.simulator.behaviour import Behaviour, Floats, Rate, sigmoid
from footfall.simulator.catalog import utc_moment
from footfall.simulator.crowd import Crowd
from footfall.simulator.engines.protocol import Engine
from footfall.simulator.log import Log
from footfall.simulator.schedule import Schedule
from footfall.simulator.shopper import Shop, Visit

__all__ = ["Pilot", "ResponseTarget", "read_response_target", "run_pilot"]

#: The shift is looked for between these log-odds.
_WIDEST_SHIFT = 6.0
#: A shift changes how long shoppers stay, and that what they respond to: tried again so often.
_ROUNDS = 3
#: A shift of the intercept below this is not worth another round.
_SMALL_SHIFT = 0.05


@dataclass(frozen=True, slots=True)
class ResponseTarget:
    """Responses a real session has on what it was shown; ``response`` is clicked or purchased."""

    response: str
    per_session: float
    standard_error: float
    sessions: int


class Pilot(BaseModel):
    """What the pilot found; token counts and seconds are of its last round."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sessions: int = Field(description="Sessions tried out.")
    shift: Rate = Field(description="Added to the log-odds of every click.")
    before: float | None = Field(None, description="Responses a session without the shift.")
    target: float | None = Field(None, description="Responses a session in the log.")
    prompt_tokens: float = Field(0.0, description="Prompt tokens a session.")
    output_tokens: float = Field(0.0, description="Output tokens a session.")
    answers: float = Field(0.0, description="Requests a session.")
    seconds: float = Field(0.0, description="Seconds a session, with all shoppers at once.")


def read_response_target(
    log: Log, *, since: datetime | None = None, until: datetime | None = None
) -> ResponseTarget | None:
    """Responses a real session has, clicks where the log records them and purchases otherwise.

    ``None`` where the log cannot tell: it records no response, or only sessions that have one.
    """
    row = log.query(
        """
        WITH shown AS (
            SELECT session_id, clicked, purchased
            FROM impressions JOIN searches USING (search_id)
            WHERE impressions.origin = 'real'
              AND ($until IS NULL OR searched_at < $until)
              AND ($since IS NULL OR searched_at >= $since)
        ), kind AS (SELECT count(*) FILTER (clicked) > 0 AS clicks FROM shown),
        each AS (
            SELECT session_id,
                   count(*) FILTER (CASE WHEN clicks THEN clicked ELSE purchased END) AS responses,
                   count(CASE WHEN clicks THEN clicked ELSE purchased END) AS known
            FROM shown CROSS JOIN kind GROUP BY session_id
        )
        SELECT (SELECT clicks FROM kind) AS clicks, count(*) AS sessions,
               avg(responses) AS mean, coalesce(stddev_samp(responses), 0) AS deviation,
               count(*) FILTER (responses = 0) AS without
        FROM each WHERE known > 0
        """,
        {"since": utc_moment(since), "until": utc_moment(until)},
    ).to_pylist()[0]
    sessions = int(row["sessions"])
    if not sessions or not row["mean"] or not row["without"]:
        return None
    return ResponseTarget(
        response="clicked" if row["clicks"] else "purchased",
        per_session=float(row["mean"]),
        standard_error=float(row["deviation"]) / float(np.sqrt(sessions)),
        sessions=sessions,
    )


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
    """Try out ``sessions`` sessions and fit the shift of the click curve's intercept.

    The pilot's own shoppers are drawn like the run's; what they are asked and answered does not
    touch the run's draws.
    """
    plan = Schedule.plan(personas, arrivals, sessions=sessions, seed=seed + 1)
    shift = before = 0.0
    visits: list[Visit] = []
    seconds = 0.0
    with track("Trying out sessions", total=sessions * (_ROUNDS if target else 1)) as progress:
        for _ in range(_ROUNDS if target else 1):
            began = monotonic()
            crowd = Crowd(
                _shifted(shop, shift),
                personas,
                engine,
                seed=seed + 1,
                concurrency=concurrency,
                key="pilot/",
            )
            visits = []
            for finished in crowd.run(plan.itineraries()):
                visits.append(finished.visit)
                progress.advance()
            # Later rounds are mostly answered from memory: the first tells what a session costs.
            seconds = seconds or monotonic() - began
            if target is None:
                break
            found = _solve(visits, shop.behaviour, target, shift)
            before = before or float(_per_visit(visits, shop.behaviour, target, 0.0).mean())
            shift += found
            if abs(found) < _SMALL_SHIFT:
                break
    return Pilot(
        sessions=len(visits),
        shift=_shift_rate(shift, visits, shop.behaviour, target),
        before=before if target else None,
        target=target.per_session if target else None,
        prompt_tokens=float(np.mean([visit.prompt_tokens for visit in visits])),
        output_tokens=float(np.mean([visit.output_tokens for visit in visits])),
        answers=float(np.mean([visit.asked for visit in visits])),
        seconds=seconds / max(1, len(visits)),
    )


def _shifted(shop: Shop, shift: float) -> Shop:
    rate = Rate(value=shift, note="being fitted")
    return replace(shop, behaviour=shop.behaviour.model_copy(update={"intercept_shift": rate}))


def _per_visit(
    visits: Sequence[Visit], behaviour: Behaviour, target: ResponseTarget, shift: float
) -> Floats:
    """Responses that each visit is expected to have with ``shift`` more, shape (visits,)."""
    conversion = 1.0
    if target.response == "purchased":
        conversion = behaviour.cart_after_click.value * behaviour.purchase_after_cart.value
    expected = np.zeros(len(visits))
    for index, visit in enumerate(visits):
        for page in visit.pages:
            if page.chances is not None:
                clicks = sigmoid(page.chances.log_odds + shift)
                expected[index] += conversion * float(page.chances.looks @ clicks)
    return expected


def _solve(
    visits: Sequence[Visit], behaviour: Behaviour, target: ResponseTarget, so_far: float
) -> float:
    """What to add to the shift so that the expected responses are the log's."""

    def excess(change: float) -> float:
        return float(_per_visit(visits, behaviour, target, change).mean()) - target.per_session

    low, high = -_WIDEST_SHIFT - so_far, _WIDEST_SHIFT - so_far
    if excess(low) >= 0:
        return low
    if excess(high) <= 0:
        return high
    return float(brentq(excess, low, high, xtol=1e-4))


def _shift_rate(
    shift: float, visits: Sequence[Visit], behaviour: Behaviour, target: ResponseTarget | None
) -> Rate:
    if target is None:
        return Rate(value=0.0, note="the log does not tell the responses of a session")
    expected = _per_visit(visits, behaviour, target, 0.0)
    slope = float((_per_visit(visits, behaviour, target, 0.05) - expected).mean()) / 0.05
    error = float(np.hypot(expected.std() / np.sqrt(len(visits)), target.standard_error))
    words = "clicks" if target.response == "clicked" else "purchases"
    return Rate(
        value=shift,
        standard_error=error / slope if slope > 0 else None,
        source="fitted",
        note=f"meets {target.per_session:.3g} {words} a session of {target.sessions:,} real ones, "
        f"on {len(visits)} sessions tried out",
    )
