"""Who gets how much of what is shown: sellers and price bands, for tables of a report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import pyarrow as pa

from footfall.eval.stress.exposure import item_facts
from footfall.simulator.crowd_events import CrowdEvents

if TYPE_CHECKING:
    from footfall.eval.stress.world import ScenarioWorld

__all__ = ["exposure_shares"]

_COLUMNS: Final = {"seller": "brand", "price band": "band"}

_SQL: Final = """
WITH asked AS (
    SELECT search_id, page, needed FROM pages JOIN visits USING (session_id)
    WHERE role = 'shopper'
), shown AS (
    SELECT item_id, count(*) AS shown, count(*) FILTER (clicked) AS clicked
    FROM impressions JOIN asked USING (search_id) GROUP BY item_id
), wanted AS (
    SELECT needed AS item_id, count(*) AS wanted FROM asked
    WHERE page = 1 AND needed IS NOT NULL GROUP BY needed
), groups AS (
    SELECT "{column}"::VARCHAR AS "group", count(*) AS catalogue, sum(coalesce(shown, 0)) AS shown,
           sum(coalesce(clicked, 0)) AS clicked, sum(coalesce(wanted, 0)) AS wanted
    FROM items LEFT JOIN shown USING (item_id) LEFT JOIN wanted USING (item_id)
    WHERE "{column}" IS NOT NULL GROUP BY "{column}"
)
SELECT "group", catalogue / sum(catalogue) OVER () AS catalogue,
       shown / nullif(sum(shown) OVER (), 0) AS shown,
       clicked / nullif(sum(clicked) OVER (), 0) AS clicked,
       wanted / nullif(sum(wanted) OVER (), 0) AS wanted
FROM groups ORDER BY shown DESC NULLS LAST, catalogue DESC, "group"
"""


def exposure_shares(
    events: CrowdEvents, world: ScenarioWorld, *, by: Literal["seller", "price band"]
) -> pa.Table:
    """Shares of each seller (brand) or price band, the most shown first.

    Columns: ``group`` (a brand; ``1`` is the cheapest fifth of the catalogue), and its shares of
    the ``catalogue``, of what shoppers were ``shown``, ``clicked``, and had in mind on first pages
    (``wanted``). Each share sums to one, or is null where there was nothing. Items without a brand
    or price, and attackers' visits, are left out.
    """
    with events.opened() as connection:
        connection.register("items", item_facts(world))
        return connection.sql(_SQL.format(column=_COLUMNS[by])).to_arrow_table()
