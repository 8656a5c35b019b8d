"""What shoppers did: clicks, purchases, revenue, visits that led to nothing."""

from __future__ import annotations

from typing import Final

from footfall.eval.stress.measure_kinds import SumMeasure, divided

__all__ = ["RESPONSE_MEASURES", "RESPONSE_SUMS"]

#: One row a shopper, of the tables ``visited`` and ``shown``.
RESPONSE_SUMS: Final = """
WITH by_visit AS (
    SELECT session_id, count(*) AS impressions, count(*) FILTER (clicked) AS clicks,
           count(*) FILTER (purchased) AS purchases, sum(price) FILTER (purchased) AS revenue
    FROM shown GROUP BY session_id
)
SELECT shopper_id, count(*) AS visits, coalesce(sum(impressions), 0) AS impressions,
       coalesce(sum(clicks), 0) AS clicks, coalesce(sum(revenue), 0) AS revenue,
       count(*) FILTER (purchases > 0) AS visits_with_purchase,
       count(*) FILTER (coalesce(clicks, 0) = 0) AS visits_without_click
FROM visited LEFT JOIN by_visit USING (session_id) GROUP BY shopper_id
"""

RESPONSE_MEASURES: Final = (
    SumMeasure(
        name="ctr",
        says="clicks for each item shown",
        better="higher",
        bounds=(0, 1),
        unknown="no item was shown",
        value=lambda sums: divided(sums["clicks"], sums["impressions"]),
    ),
    SumMeasure(
        name="conversion",
        says="share of visits with a purchase",
        better="higher",
        bounds=(0, 1),
        unknown="nobody came",
        value=lambda sums: divided(sums["visits_with_purchase"], sums["visits"]),
    ),
    SumMeasure(
        name="revenue per visit",
        says="paid for what was bought, in the log's currency; items without a price count as 0",
        better="higher",
        bounds=(0, float("inf")),
        unknown="nobody came",
        value=lambda sums: divided(sums["revenue"], sums["visits"]),
    ),
    SumMeasure(
        name="abandonment",
        says="share of visits without a click",
        better="lower",
        bounds=(0, 1),
        unknown="nobody came",
        value=lambda sums: divided(sums["visits_without_click"], sums["visits"]),
    ),
)
