"""What shoppers come for, day by day: a factor for each top-level category.

Factors multiply what a category is needed anyway; 1 is as always. A *shift* multiplies some
categories from a day on. A *flood* chooses the factor so that they take a given share of needs::

    factor = share * (1 - p) / (p * (1 - share))

where ``p`` is their share before, by the shoppers' interests and activity. A *season* moves every
category smoothly from what it is on day 0: along the log's own months where it shows seasons, from
the month of ``until`` on, else along a sine of one year with the categories' phases spread evenly::

    log factor = swing * (sin(2 pi t + phase) - sin(phase)) / 2,   t in years
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

import numpy as np

from footfall.eval.stress.changed_visits import day_at
from footfall.eval.stress.measure_kinds import Floats
from footfall.eval.stress.scenario_tables import DemandChange
from footfall.personas.persona import Persona
from footfall.simulator.catalog import Catalog
from footfall.simulator.rhythm import top_category

__all__ = ["demand_course", "demand_shares"]

#: Categories with less of the demand are not drawn: nothing would be seen of them.
_LEAST: Final = 0.01


def demand_shares(catalog: Catalog, personas: Sequence[Persona]) -> dict[str, float]:
    """Share of needs of every top-level category of the catalogue, by interests and activity.

    Where no interest is in a category of the catalogue, by popularity.
    """
    table = catalog.table
    tops = [top_category(category) for category in table["category"].to_pylist()]
    shares = dict.fromkeys(sorted(set(tops)), 0.0)
    for persona in personas:
        for category, weight in persona.interests.items():
            top = top_category(category)
            if top in shares:
                shares[top] += persona.activity * weight
    if not sum(shares.values()) > 0:
        popularity = table["popularity"].to_numpy(zero_copy_only=False).astype(np.float64)
        for top, times in zip(tops, np.nan_to_num(popularity).tolist(), strict=True):
            shares[top] += 1.0 + times
    total = sum(shares.values())
    return {top: share / total for top, share in shares.items()}


def demand_course(
    change: DemandChange,
    shares: Mapping[str, float],
    *,
    days: int,
    until: datetime,
    season: Mapping[str, Sequence[float]],
    rng: np.random.Generator,
) -> tuple[tuple[dict[str, float], ...], list[str]]:
    """Factors of each day, and what could not be done.

    Parameters
    ----------
    change:
        What the scenario asks for.
    shares:
        Share of needs by top-level category.
    days:
        Of the run.
    until:
        When it begins.
    season:
        Twelve factors by top-level category, as in :class:`footfall.simulator.rhythm.Rhythm`.
    rng:
        Draws the categories.
    """
    same: tuple[dict[str, float], ...] = tuple({} for _ in range(days))
    if len(shares) < 2:
        return same, ["The catalogue has no two top-level categories: demand stays as it is."]
    if change.kind == "season":
        return _seasons(change, list(shares), days, until, season), []
    chosen, notes = _chosen(change, shares, rng)
    if not chosen:
        return same, notes
    factor = change.factor
    if change.kind == "flood":
        before = min(sum(shares[name] for name in chosen), 1 - 1e-9)
        factor = max(1.0, change.share * (1 - before) / (max(before, 1e-9) * (1 - change.share)))
    first = day_at(change.at, days)
    return tuple(dict.fromkeys(chosen, factor) if d >= first else {} for d in range(days)), notes


def _chosen(
    change: DemandChange, shares: Mapping[str, float], rng: np.random.Generator
) -> tuple[list[str], list[str]]:
    if change.categories:
        missing = [name for name in change.categories if name not in shares]
        notes = [f"The catalogue has no top-level category {name!r}." for name in missing]
        return [name for name in change.categories if name in shares], notes
    # The largest category is left out: more of what most people want anyway is hardly a change.
    ranked = sorted(shares, key=lambda name: (-shares[name], name))
    pool = sorted(name for name in ranked[1:] if shares[name] >= _LEAST and name) or ranked[1:]
    count = min(change.count, len(pool))
    drawn = np.sort(rng.choice(len(pool), size=count, replace=False))
    return [pool[place] for place in drawn.tolist()], []


def _seasons(
    change: DemandChange,
    names: Sequence[str],
    days: int,
    until: datetime,
    season: Mapping[str, Sequence[float]],
) -> tuple[dict[str, float], ...]:
    years = np.arange(days) / days * change.months / 12.0
    # A month's factor holds in its middle.
    month = until.month - 1 + (until.day - 1) / 31.0 - 0.5
    courses: dict[str, Floats] = {}
    for number, name in enumerate(names):
        if season:
            months = np.asarray(season.get(name, (1.0,) * 12), dtype=np.float64)
            at = (month + 12.0 * years) % 12.0
            course = np.interp(
                at, np.arange(-1, 13), np.concatenate([months[-1:], months, months[:1]])
            )
            courses[name] = course / course[0]
        else:
            phase = 2.0 * np.pi * number / len(names)
            wave = np.sin(2.0 * np.pi * years + phase) - np.sin(phase)
            courses[name] = np.exp(0.5 * change.swing * wave)
    return tuple(
        {name: float(course[day]) for name, course in courses.items()} for day in range(days)
    )
