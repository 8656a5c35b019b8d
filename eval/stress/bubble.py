"""How narrow a shop becomes: for each shopper, and between shoppers."""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from footfall.simulator.crowd_events import CrowdEvents

__all__ = ["DAILY_MEASURES", "daily_course"]

#: What is followed day by day, and what it says.
DAILY_MEASURES: Final = {
    "ctr": "clicks an item shown",
    "different items": "different items shown, a hundred items shown",
    "head share": "share of what is shown that the day's 1 % most shown items take",
    "shopper's variety": "different categories among a shopper's items of a day, ten items shown",
    "shared pages": "chance that two shoppers' items of a day are the same one",
}

_SQL: Final = """
WITH shown AS (
    SELECT day, shopper_id, item_id, clicked, coalesce(items.category, '') AS category
    FROM impressions JOIN pages USING (search_id) JOIN visits USING (session_id)
    LEFT JOIN items USING (item_id)
    WHERE role = 'shopper'
), by_item AS (
    SELECT day, item_id, count(*) AS times, sum(count(*)) OVER (PARTITION BY day) AS total,
           row_number() OVER (PARTITION BY day ORDER BY count(*) DESC, item_id) AS rank,
           count(*) OVER (PARTITION BY day) AS items
    FROM shown GROUP BY day, item_id
), heads AS (
    SELECT day, count(*) AS different, any_value(total) AS total,
           sum(times) FILTER (rank <= ceil(0.01 * items)) AS head
    FROM by_item GROUP BY day
), by_shopper AS (
    SELECT day, shopper_id, count(*) AS times, count(DISTINCT category) AS categories
    FROM shown GROUP BY day, shopper_id
), variety AS (
    SELECT day, avg(10.0 * categories / times) AS variety FROM by_shopper GROUP BY day
), item_shares AS (
    -- The chance that two draws of different shoppers are one item: all pairs less a shopper's own.
    SELECT day, item_id, sum(share) AS all_shares, sum(share * share) AS own
    FROM (
        SELECT shown.day, item_id, shown.shopper_id, count(*) / any_value(times) AS share
        FROM shown JOIN by_shopper USING (day, shopper_id)
        GROUP BY shown.day, item_id, shown.shopper_id
    ) GROUP BY day, item_id
), pairs AS (
    SELECT day, sum(all_shares * all_shares - own) AS same FROM item_shares GROUP BY day
), people AS (SELECT day, count(*) AS people FROM by_shopper GROUP BY day),
rates AS (SELECT day, avg(clicked::INTEGER) AS ctr FROM shown GROUP BY day)
SELECT day, ctr, 100.0 * different / total AS "different items", head / total AS "head share",
       variety AS "shopper's variety",
       CASE WHEN people > 1 THEN same / (people * (people - 1)) END AS "shared pages"
FROM rates JOIN heads USING (day) JOIN variety USING (day) JOIN pairs USING (day)
JOIN people USING (day)
ORDER BY day
"""


def daily_course(events: CrowdEvents, items: pa.Table) -> pa.Table:
    """One row a day with pages: ``day`` and the columns of :data:`DAILY_MEASURES`.

    Attackers' visits are left out. ``items`` holds ``item_id`` and ``category``.
    """
    with events.opened() as connection:
        connection.register("items", items.select(["item_id", "category"]))
        return connection.sql(_SQL).to_arrow_table()
