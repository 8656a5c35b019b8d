"""What is known about an item at a moment: price, popularity, whether it is cold."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    from footfall.simulator.log import Log

__all__ = ["REAL_RESPONSES", "item_features"]

#: Every real purchase and click with its time, for SQL as ``WITH responses AS (...)``. Purchased
#: impressions count only where the log has no purchases table, which otherwise repeats them.
REAL_RESPONSES = """
SELECT user_id, item_id, purchased_at AS at FROM purchases WHERE origin = 'real'
UNION ALL
SELECT e.user_id, i.item_id, coalesce(i.shown_at, s.searched_at, e.started_at) AS at
FROM impressions i
JOIN searches s ON s.search_id = i.search_id
JOIN sessions e ON e.session_id = s.session_id
WHERE i.origin = 'real' AND (coalesce(i.clicked, false) OR (coalesce(i.purchased, false)
      AND NOT EXISTS (SELECT 1 FROM purchases WHERE origin = 'real')))
"""

# Prices. `median` is over unit prices paid before the snapshot; the medians of category and shop
# are taken at `until`, where they are best known. A missing price becomes the category's median
# without a flag: whether a price is known would tell whether the item was ever sold.
_PRICES = """
WITH paid AS (
    SELECT k.snapshot, p.item_id, median(p.amount / p.quantity) AS price
    FROM snapshots k JOIN purchases p ON p.purchased_at < k.known_at
      OR (p.purchased_at IS NULL AND k.known_at = TIMESTAMP 'infinity')
    WHERE p.origin = 'real' AND p.quantity > 0 AND p.amount > 0
    GROUP BY ALL
), priced AS (
    SELECT k.snapshot, i.item_id, i.category,
           coalesce(paid.price, CASE WHEN i.price > 0 THEN i.price END) AS price
    FROM items i CROSS JOIN snapshots k
    LEFT JOIN paid ON paid.item_id = i.item_id AND paid.snapshot = k.snapshot
), latest AS (
    SELECT item_id, category, price FROM priced
    WHERE snapshot = (SELECT max(snapshot) FROM snapshots)
), by_category AS (
    SELECT category, median(price) AS price FROM latest GROUP BY category
), overall AS (SELECT coalesce(median(price), 1.0) AS price FROM latest)
SELECT p.snapshot, p.item_id, p.price,
       coalesce(c.price, o.price) AS category_price
FROM priced p
JOIN wanted w ON w.item_id = p.item_id AND w.snapshot = p.snapshot
LEFT JOIN by_category c ON c.category IS NOT DISTINCT FROM p.category
CROSS JOIN overall o
"""

# Counts at an early snapshot are scaled to the size of the whole training part (at most 16 times),
# so that the same number means the same at every snapshot.
_POPULARITY = f"""
WITH responses AS ({REAL_RESPONSES}),
daily AS (
    SELECT r.item_id, i.category,
           coalesce((SELECT min(k.snapshot) FROM snapshots k WHERE k.known_at > r.at),
                    (SELECT max(k.snapshot) FROM snapshots k)) AS snapshot,
           count(*) AS responses
    FROM responses r JOIN items i ON i.item_id = r.item_id
    WHERE $until::TIMESTAMP IS NULL OR r.at < $until::TIMESTAMP
    GROUP BY ALL
), known AS (
    SELECT k.snapshot, d.item_id, d.category, d.responses
    FROM snapshots k JOIN daily d ON d.snapshot <= k.snapshot
), totals AS (SELECT snapshot, sum(responses) AS total FROM known GROUP BY snapshot),
scales AS (
    SELECT snapshot, least(16.0, max(total) OVER () / total) AS scale FROM totals
), by_item AS (SELECT snapshot, item_id, sum(responses) AS n FROM known GROUP BY ALL),
by_category AS (SELECT snapshot, category, sum(responses) AS n FROM known GROUP BY ALL)
SELECT w.snapshot, w.item_id,
       ln(1 + coalesce(b.n, 0) * coalesce(s.scale, 1)) AS popularity_log,
       ln(1 + coalesce(c.n, 0) * coalesce(s.scale, 1)) AS category_popularity_log,
       NOT EXISTS (SELECT 1 FROM daily d WHERE d.item_id = w.item_id) AS item_cold
FROM wanted w
JOIN items i ON i.item_id = w.item_id
LEFT JOIN scales s ON s.snapshot = w.snapshot
LEFT JOIN by_item b ON b.snapshot = w.snapshot AND b.item_id = w.item_id
LEFT JOIN by_category c
  ON c.snapshot = w.snapshot AND c.category IS NOT DISTINCT FROM i.category
"""

_JOINED = """
SELECT w.snapshot, w.item_id, i.text AS item_text, i.category AS item_category,
       i.brand AS item_brand,
       ln(coalesce(p.price, p.category_price)) AS price_log,
       ln(coalesce(p.price, p.category_price)) - ln(p.category_price) AS price_vs_category,
       q.popularity_log, q.category_popularity_log, q.item_cold
FROM wanted w
JOIN items i ON i.item_id = w.item_id
JOIN prices p ON p.item_id = w.item_id AND p.snapshot = w.snapshot
JOIN popularity q ON q.item_id = w.item_id AND q.snapshot = w.snapshot
"""


def item_features(
    log: Log, placed: pa.Table, snapshots: pa.Table, until: datetime | None
) -> pa.Table:
    """Features of the items that the examples show, at the snapshots where they show them.

    Parameters
    ----------
    placed:
        Rows with ``item_id`` and ``snapshot``.
    snapshots:
        ``snapshot`` (0, 1, ...) and ``known_at``, ascending; the last is ``until``, or infinity.
    until:
        End of the training part, exclusive; none where the log holds nothing else.

    Returns
    -------
    pyarrow.Table
        ``snapshot``, ``item_id``, ``item_text``, ``item_category``, ``item_brand``,
        ``price_log`` (natural log of the price in the log's currency), ``price_vs_category``
        (minus the log of its category's median), ``popularity_log`` and
        ``category_popularity_log`` (log of 1 + responses), ``item_cold``.
    """
    wanted = log.query("SELECT DISTINCT snapshot, item_id FROM placed", placed=placed)
    prices = log.query(_PRICES, wanted=wanted, snapshots=snapshots)
    popularity = log.query(_POPULARITY, {"until": until}, wanted=wanted, snapshots=snapshots)
    return log.query(_JOINED, wanted=wanted, prices=prices, popularity=popularity)
