"""Who comes, and how often: busy days, other habits, and attackers.

An attacker comes under the name of a shopper: a shop cannot tell them apart. What attackers left
before the first day (``before``) was done by accounts of their own. Each such account meets every
pushed item once; for shilling it buys as many popular items beside them, so that it looks like a
shopper to models of what goes together (the *bandwagon* attack of Mobasher et al. 2007).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import numpy as np
import pyarrow as pa

from footfall.eval.stress.scenario_tables import AttackChange, PeopleChange, TrafficChange
from footfall.personas.persona import Persona
from footfall.simulator.catalog import Catalog
from footfall.simulator.fast.plan import CLICK_FRAUD, SHILLING, SHOPPER, VisitPlan
from footfall.simulator.targets.protocol import EVENT_SCHEMA

__all__ = ["attack_events", "attack_visits", "busier", "change_people", "day_at"]

#: Visits that are added start within so many minutes of one that was there.
_APART: Final = 30
#: What attackers did before lies in the last four weeks.
_BEFORE: Final = timedelta(weeks=4)


def day_at(share: float, days: int) -> int:
    """The day that a share of the run falls on."""
    return min(days - 1, int(share * days))


def busier(
    plan: VisitPlan,
    change: TrafficChange,
    personas: Sequence[Persona],
    *,
    days: int,
    rng: np.random.Generator,
) -> VisitPlan:
    """More visits on one day, at the hours of those that were there; the others stay."""
    places = np.flatnonzero(plan.day == day_at(change.at, days))
    count = round((change.factor - 1) * len(places))
    return _with_more(plan, places, count, SHOPPER, personas, rng)


def attack_visits(
    plan: VisitPlan, change: AttackChange, personas: Sequence[Persona], rng: np.random.Generator
) -> VisitPlan:
    """Attackers' visits among those of the plan, on its days and at its hours."""
    count = round(change.visits * len(plan))
    role = CLICK_FRAUD if change.kind == "click fraud" else SHILLING
    return _with_more(plan, np.arange(len(plan)), count, role, personas, rng)


def _with_more(
    plan: VisitPlan,
    places: np.ndarray[tuple[int], np.dtype[np.int64]],
    count: int,
    role: int,
    personas: Sequence[Persona],
    rng: np.random.Generator,
) -> VisitPlan:
    """``count`` visits more, each near one of those at ``places``; nothing where there is none."""
    if not len(places) or count < 1:
        return plan
    near = rng.choice(places, size=count)
    activity = np.asarray([persona.activity for persona in personas], dtype=np.float64)
    minutes = rng.uniform(-_APART, _APART, size=count)
    started = plan.started_at[near] + (minutes * 60e6).astype("timedelta64[us]")
    # A visit stays on its day: days are told by the visits that were there.
    for day in np.unique(plan.day[near]):
        moments = plan.started_at[plan.day == day]
        of_day = plan.day[near] == day
        started[of_day] = np.clip(started[of_day], moments.min(), moments.max())
    weights = activity / activity.max()
    more = VisitPlan(
        number=plan.number.max() + 1 + np.arange(count, dtype=np.int64),
        shopper=rng.choice(len(personas), size=count, p=weights / weights.sum()).astype(np.int64),
        started_at=started,
        day=plan.day[near].astype(np.int32),
        role=np.full(count, role, dtype=np.int8),
    )
    both = VisitPlan.joined([plan, more])
    return both.take(np.argsort(both.started_at, kind="stable"))


def attack_events(
    events: pa.Table,
    change: AttackChange,
    attacked: Sequence[str],
    catalog: Catalog,
    *,
    until: datetime,
    rng: np.random.Generator,
) -> pa.Table:
    """The events with attackers' among them, ``change.before`` of all; they come last."""
    share = min(change.before, 0.99)
    count = round(share / (1 - share) * events.num_rows)
    if not count or not attacked:
        return events
    taken = list(attacked)
    if change.kind == "shilling":
        popular = catalog.popularity_order()[: len(attacked)]
        taken += [item for item in catalog.item_ids[popular].tolist() if item not in set(attacked)]
    numbers = np.arange(count)
    back = rng.random(count) * _BEFORE.total_seconds() * 1e6
    times = np.datetime64(until, "us") - back.astype("timedelta64[us]") - np.timedelta64(1, "us")
    added = pa.table(
        {
            "shopper_id": [f"attacker {number // len(taken) + 1}" for number in numbers.tolist()],
            "item_id": [taken[number % len(taken)] for number in numbers.tolist()],
            "at": pa.array(times, pa.timestamp("us")),
            "query": pa.nulls(count, pa.string()),
            "position": pa.nulls(count, pa.int32()),
            "clicked": np.ones(count, dtype=bool),
            "carted": np.full(count, change.kind == "shilling"),
            "purchased": np.full(count, change.kind == "shilling"),
        },
        schema=EVENT_SCHEMA,
    )
    return pa.concat_tables([events, added])


def change_people(
    personas: Sequence[Persona], change: PeopleChange, rng: np.random.Generator
) -> list[Persona]:
    """Shoppers of whom a share has other habits; drawn ones only, in their places."""
    count = round(change.share * len(personas))
    drawn = set(rng.choice(len(personas), size=count, replace=False).tolist())
    return [
        _changed(persona, change) if place in drawn else persona
        for place, persona in enumerate(personas)
    ]


def _changed(persona: Persona, change: PeopleChange) -> Persona:
    update: dict[str, object] = {}
    if change.price_sensitivity is not None:
        update["price_sensitivity"] = max(persona.price_sensitivity, change.price_sensitivity)
    if change.patience_factor != 1.0:
        update["patience"] = persona.patience * change.patience_factor
    if change.locale is not None:
        update["locale"] = change.locale
    return persona.model_copy(update=update)
