"""How good the pages are for the shoppers who see them, by the shoppers' own preference.

*NDCG* (Järvelin and Kekäläinen 2002) is taken on first pages. An item's gain is the chance that
this shopper clicks it once they look at it; the discount is ``1 / log2(place + 1)``. A page is
judged by the best page that the catalogue has for the shopper and need (``ideal_gain``). Where that
is not known (a language model cannot rate a whole catalogue), it is judged by its own items in
their best order, which says nothing about items that were not shown. A page that failed or came
empty has 0. Pages whose items cannot gain anything are left out.

*Position bias* is what is left of the advantage of the top once relevance has explained its part.
On every page of four or more items, clicks would be shared out by gain if the place did not matter;
the three top items would then get ``clicks * gain of the top three / gain of the page``. The
measure is the share of clicks at the top above that. It belongs to shoppers as much as to the
target: a target that is trained on clicks without correction learns its own order back by so much.
"""

from __future__ import annotations

from typing import Final

from footfall.eval.stress.measure_kinds import SumMeasure, divided

__all__ = ["RELEVANCE_MEASURES", "RELEVANCE_SUMS", "TOP_PLACES"]

#: The top of a page, in items.
TOP_PLACES: Final = 3

#: One row a shopper, of the tables ``asked`` and ``shown``.
RELEVANCE_SUMS: Final = f"""
WITH ranked AS (
    SELECT *, row_number() OVER (PARTITION BY search_id ORDER BY gain DESC NULLS LAST) AS best
    FROM shown
), by_page AS (
    SELECT search_id, count(*) AS items, count(gain) AS known, sum(gain) AS gain,
           sum(gain / log2(place + 1)) AS gained, sum(gain / log2(best + 1)) AS own_best,
           bool_or(item_id = needed) AS hit, count(*) FILTER (clicked) AS clicks,
           count(*) FILTER (clicked AND place <= {TOP_PLACES}) AS top_clicks,
           sum(gain) FILTER (place <= {TOP_PLACES}) AS top_gain
    FROM ranked GROUP BY search_id
), judged AS (
    SELECT shopper_id, clicks, top_clicks, needed IS NOT NULL AND page = 1 AS for_need,
           coalesce(hit, false) AS hit, page = 1 AND ideal_gain IS NULL AS own_order,
           CASE WHEN page > 1 THEN NULL
                WHEN ideal_gain > 0 THEN least(1, coalesce(gained, 0) / ideal_gain)
                WHEN ideal_gain IS NULL AND items IS NULL THEN 0
                WHEN ideal_gain IS NULL AND own_best > 0 THEN gained / own_best END AS ndcg,
           items > {TOP_PLACES} AND known = items AND gain > 0 AS explained,
           clicks * top_gain / nullif(gain, 0) AS expected
    FROM asked LEFT JOIN by_page USING (search_id)
)
SELECT shopper_id, coalesce(sum(ndcg), 0) AS ndcg, count(ndcg) AS ndcg_pages,
       count(ndcg) FILTER (own_order) AS own_order_pages,
       count(*) FILTER (for_need) AS need_pages, count(*) FILTER (for_need AND hit) AS hits,
       coalesce(sum(clicks) FILTER (explained), 0) AS placed_clicks,
       coalesce(sum(top_clicks) FILTER (explained), 0) AS top_clicks,
       coalesce(sum(expected) FILTER (explained), 0) AS expected_top_clicks
FROM judged GROUP BY shopper_id
"""

RELEVANCE_MEASURES: Final = (
    SumMeasure(
        name="ndcg",
        says="discounted gain of first pages beside the best page for that shopper and need",
        better="higher",
        bounds=(0, 1),
        unknown="no first page has items of known gain",
        value=lambda sums: divided(sums["ndcg"], sums["ndcg_pages"]),
    ),
    SumMeasure(
        name="hit rate",
        says="share of first pages that show the item in mind",
        better="higher",
        bounds=(0, 1),
        unknown="no shopper had an item in mind",
        value=lambda sums: divided(sums["hits"], sums["need_pages"]),
    ),
    SumMeasure(
        name="position bias",
        says=f"share of clicks at the top {TOP_PLACES} places beyond what relevance explains",
        better="neither",
        bounds=(-1, 1),
        unknown="no click on a page of four or more items of known gain",
        value=lambda sums: divided(
            sums["top_clicks"] - sums["expected_top_clicks"], sums["placed_clicks"]
        ),
    ),
)
