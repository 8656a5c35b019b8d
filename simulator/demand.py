"""What shoppers come for, so that what they respond to is the log's mix of categories.

Shoppers are described by all that people took; a log's pages may offer only a part of it, such as a
store's display. Every top-level category gets a factor by which it is needed more or less often,
such that needs are spread over the categories as the real responses are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

import numpy as np

from footfall.personas.persona import Persona
from footfall.simulator.behaviour import Floats, Rate
from footfall.simulator.catalog import Catalog, utc_moment
from footfall.simulator.log import Log
from footfall.simulator.needs import NeedBook
from footfall.simulator.rhythm import top_category

__all__ = ["demand_deviation", "fit_demand"]

#: Needs drawn to see how they are spread, and how often the factors are corrected.
_DRAWS: Final = 1500
_ROUNDS: Final = 3
#: Fewest real responses, and responses added to every category so that rare ones keep their own.
_FEWEST: Final = 100
_ADDED: Final = 1.0
#: No category is needed less, or more, often than this many times as much.
_LARGEST: Final = 20.0

_RESPONSES: Final = """
WITH shown AS (
    SELECT item_id, clicked, purchased, coalesce(clicked_at, purchased_at, shown_at) AS moment
    FROM impressions WHERE origin = 'real'
), kind AS (
    SELECT count(*) FILTER (clicked) > 0 AS clicks FROM shown
    WHERE $until IS NULL OR moment < $until
)
SELECT coalesce(category, '') AS category, count(*) AS times
FROM shown CROSS JOIN kind JOIN items USING (item_id)
WHERE CASE WHEN clicks THEN clicked ELSE purchased END AND ($until IS NULL OR moment < $until)
GROUP BY ALL ORDER BY ALL
"""


def fit_demand(
    log: Log,
    catalog: Catalog,
    personas: Sequence[Persona],
    *,
    until: datetime | None = None,
    seed: int = 0,
) -> dict[str, float]:
    """Factor of every top-level category; empty where fewer than 100 responses are known.

    Iterative proportional fitting (Deming and Stephan 1940) of drawn needs to real responses.
    """
    rows = log.query(_RESPONSES, {"until": utc_moment(until)}).to_pylist()
    tops = sorted({top_category(name) for name in catalog.table["category"].to_pylist()})
    place = {name: number for number, name in enumerate(tops)}
    real = np.zeros(len(tops))
    for row in rows:
        top = top_category(row["category"])
        if top in place:
            real[place[top]] += row["times"]
    if real.sum() < _FEWEST or len(tops) < 2:
        return {}
    demand: dict[str, float] = {}
    factors = np.ones(len(tops))
    needs = NeedBook(catalog)
    for _ in range(_ROUNDS):
        drawn = _drawn(needs, personas, place, seed)
        wanted = real / real.sum() * drawn.sum()
        factors = np.clip(factors * (wanted + _ADDED) / (drawn + _ADDED), 1 / _LARGEST, _LARGEST)
        demand = dict(zip(tops, factors.tolist(), strict=True))
        needs = needs.with_demand(demand)
    return demand


def demand_deviation(demand: Mapping[str, float]) -> Rate:
    """How far the factors lie apart, in log units."""
    if not demand:
        return Rate(value=0.0, note="not fitted: needed as taken")
    return Rate(
        value=float(np.std(np.log(list(demand.values())))),
        source="fitted",
        note=f"needs of {len(demand):,} categories meet the mix of real responses",
    )


def _drawn(
    needs: NeedBook, personas: Sequence[Persona], place: dict[str, int], seed: int
) -> Floats:
    """How many of the drawn needs fall into each category; shoppers as active as they are."""
    rng = np.random.default_rng([seed, 4])
    activity = np.array([persona.activity for persona in personas])
    shoppers = rng.choice(len(personas), size=_DRAWS, p=activity / activity.sum())
    counts = np.zeros(len(place))
    for shopper in shoppers.tolist():
        counts[place[top_category(needs.draw(personas[shopper], rng).category)]] += 1
    return counts
