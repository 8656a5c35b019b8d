"""What is shown: how much of the catalogue, how popular, whose, at which price, how new.

An item's *popularity* is that of the shop before the scenario (``world.catalog``), and 0 for items
that the scenario makes new. Its *percentile* is its mean rank by popularity, from 0 to 1; a random
page has 0.5. The novelty of an item is ``-log2`` of its share of all popularity with one added to
every item, in bits (Castells, Hurley and Vargas 2015). Price bands are fifths of the catalogue.

Concentration is the Herfindahl-Hirschman index of shares of what is shown: 1 where one seller has
all of it, ``1 / n`` where ``n`` have as much each. Items without a brand or price are left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
from scipy.stats import rankdata

from footfall.eval.stress.measure_kinds import (
    CellCounts,
    CellMeasure,
    Floats,
    SumMeasure,
    divided,
)

if TYPE_CHECKING:
    from footfall.eval.stress.world import ScenarioWorld

__all__ = ["EXPOSURE_MEASURES", "EXPOSURE_SUMS", "PRICE_BANDS", "item_facts"]

PRICE_BANDS: Final = 5

#: One row a shopper, of the tables ``visited``, ``shown`` and ``asked``.
EXPOSURE_SUMS: Final = """
WITH seen AS (
    SELECT shopper_id, sum(novelty) AS novelty, sum(percentile) AS shown_percentiles,
           count(percentile) AS known_items,
           sum(percentile) FILTER (clicked) AS clicked_percentiles,
           count(percentile) FILTER (clicked) AS known_clicks,
           count(*) FILTER (cold) AS cold, count(*) FILTER (attacked) AS attacked
    FROM shown GROUP BY shopper_id
), wanted AS (
    SELECT shopper_id, count(*) FILTER (cold) AS cold_needs
    FROM asked JOIN items ON items.item_id = needed WHERE page = 1 GROUP BY shopper_id
)
SELECT shopper_id, coalesce(novelty, 0) AS novelty, coalesce(known_items, 0) AS known_items,
       coalesce(shown_percentiles, 0) AS shown_percentiles,
       coalesce(clicked_percentiles, 0) AS clicked_percentiles,
       coalesce(known_clicks, 0) AS known_clicks, coalesce(cold, 0) AS cold,
       coalesce(attacked, 0) AS attacked, coalesce(cold_needs, 0) AS cold_needs,
       whole.*
FROM (SELECT DISTINCT shopper_id FROM visited)
LEFT JOIN seen USING (shopper_id) LEFT JOIN wanted USING (shopper_id)
CROSS JOIN (
    SELECT count(*) AS catalogue_items, count(*) FILTER (cold) AS catalogue_cold,
           count(*) FILTER (attacked) AS catalogue_attacked FROM items
) AS whole
"""


def item_facts(world: ScenarioWorld) -> pa.Table:
    """One row an item, in catalogue order.

    Columns: ``item_id``, ``brand`` (null where empty), ``band`` (1 is the cheapest fifth; null
    without a price), ``percentile``, ``novelty``, ``cold``, ``attacked``.
    """
    table = world.catalog.table
    ids = table["item_id"].to_pylist()
    cold = np.asarray([item_id in world.cold for item_id in ids], dtype=bool)
    attacked = set(world.attacked)
    popularity = np.nan_to_num(table["popularity"].to_numpy(zero_copy_only=False).astype(float))
    popularity[cold] = 0.0
    shares = (popularity + 1.0) / (popularity.sum() + len(ids))
    prices = table["price"].to_numpy(zero_copy_only=False).astype(np.float64)
    return pa.table(
        {
            "item_id": pa.array(ids, pa.string()),
            "brand": pa.array([brand or None for brand in table["brand"].to_pylist()], pa.string()),
            "band": pa.array(_bands(prices), pa.int32()),
            "percentile": (rankdata(popularity) - 0.5) / len(ids),
            "novelty": -np.log2(shares),
            "cold": cold,
            "attacked": np.asarray([item_id in attacked for item_id in ids], dtype=bool),
        }
    )


def _bands(prices: Floats) -> list[int | None]:
    """Fifths by price, ties in the lower one."""
    known = np.isfinite(prices)
    if not known.any():
        return [None] * len(prices)
    edges = np.quantile(prices[known], np.arange(1, PRICE_BANDS) / PRICE_BANDS)
    bands = 1 + np.searchsorted(edges, prices, side="left")
    return [int(band) if found else None for band, found in zip(bands, known, strict=True)]


def _coverage(items: CellCounts) -> Floats:
    return np.asarray((items.counts > 0).sum(axis=0) / items.whole, dtype=np.float64)


def _gini(items: CellCounts) -> Floats:
    """Sorted by exposure, ``sum((2 i - n - 1) x_i) / (n sum(x_i))``; items never shown count."""
    counts = np.sort(items.counts, axis=0)
    hidden = items.whole - len(counts)
    ranks = 2.0 * (hidden + np.arange(1, len(counts) + 1)) - items.whole - 1.0
    return divided(ranks @ counts, items.whole * counts.sum(axis=0))


def _concentration(groups: CellCounts) -> Floats:
    return divided((groups.counts**2).sum(axis=0), groups.counts.sum(axis=0) ** 2)


EXPOSURE_MEASURES: Final = (
    CellMeasure(
        name="coverage",
        says="share of the catalogue that anybody was shown; more visits show more",
        better="higher",
        bounds=(0, 1),
        cells="items",
        spread="jackknife",
        value=_coverage,
    ),
    CellMeasure(
        name="gini",
        says="inequality of exposure over the catalogue: 0 all alike, near 1 a few items only",
        better="lower",
        bounds=(0, 1),
        unknown="no item was shown",
        cells="items",
        spread="jackknife",
        value=_gini,
    ),
    SumMeasure(
        name="novelty",
        says="how little known the items shown were before, in bits",
        better="neither",
        bounds=(0, float("inf")),
        unknown="no item was shown",
        value=lambda sums: divided(sums["novelty"], sums["known_items"]),
    ),
    SumMeasure(
        name="popularity bias",
        says="mean popularity percentile of what is shown less that of what is clicked",
        better="neither",
        bounds=(-1, 1),
        unknown="nothing was clicked",
        value=lambda sums: (
            divided(sums["shown_percentiles"], sums["known_items"])
            - divided(sums["clicked_percentiles"], sums["known_clicks"])
        ),
    ),
    CellMeasure(
        name="seller concentration",
        says="Herfindahl-Hirschman index of sellers' (brands') shares of what is shown",
        better="neither",
        bounds=(0, 1),
        unknown="no item shown has a brand",
        cells="sellers",
        spread="jackknife",
        value=_concentration,
    ),
    CellMeasure(
        name="price band concentration",
        says="Herfindahl-Hirschman index of price bands' shares of what is shown; 0.2 is even",
        better="neither",
        bounds=(0, 1),
        unknown="no item shown has a price",
        cells="price bands",
        spread="jackknife",
        value=_concentration,
    ),
    SumMeasure(
        name="cold exposure",
        says="share of what is shown that has no history",
        better="neither",
        bounds=(0, 1),
        unknown="every item has a history",
        value=lambda sums: np.where(
            sums["catalogue_cold"] > 0, divided(sums["cold"], sums["known_items"]), np.nan
        ),
    ),
    SumMeasure(
        name="cold exposure by catalogue",
        says="the same beside such items' share of the catalogue: 1 is in proportion",
        better="neither",
        bounds=(0, float("inf")),
        unknown="every item has a history",
        value=lambda sums: divided(
            divided(sums["cold"], sums["known_items"]),
            divided(sums["catalogue_cold"], sums["catalogue_items"]),
        ),
    ),
    SumMeasure(
        name="cold exposure by demand",
        says="the same beside the share of first pages whose item in mind is one: 1 is as wanted",
        better="higher",
        bounds=(0, float("inf")),
        unknown="no shopper had an item without history in mind",
        value=lambda sums: divided(
            divided(sums["cold"], sums["known_items"]),
            divided(sums["cold_needs"], sums["need_pages"]),
        ),
    ),
    SumMeasure(
        name="attacked exposure",
        says="share of what shoppers are shown that attackers push",
        better="lower",
        bounds=(0, 1),
        unknown="no item is pushed",
        value=lambda sums: np.where(
            sums["catalogue_attacked"] > 0, divided(sums["attacked"], sums["known_items"]), np.nan
        ),
    ),
)
