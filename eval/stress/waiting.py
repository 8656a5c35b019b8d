"""How long shoppers wait for the target, and how often nothing comes."""

from __future__ import annotations

from typing import Final

import numpy as np

from footfall.eval.stress.measure_kinds import CellCounts, CellMeasure, Floats, SumMeasure, divided

__all__ = ["WAITING_MEASURES", "WAITING_SUMS"]

#: One row a shopper, of the table ``asked``.
WAITING_SUMS: Final = """
SELECT shopper_id, count(*) AS pages, coalesce(sum(seconds), 0) AS seconds,
       count(*) FILTER (failure IS NULL) AS answered,
       count(*) FILTER (failure = 'timeout') AS timeouts,
       count(*) FILTER (failure = 'error') AS errors,
       count(*) FILTER (failure = 'malformed') AS malformed
FROM asked GROUP BY shopper_id
"""


def _quantile(share: float) -> CellMeasure:
    def value(seconds: CellCounts) -> Floats:
        # The smallest waiting time that at least this share of the pages stay within.
        if not len(seconds.labels):
            return np.full(seconds.counts.shape[1], np.nan)
        reached = np.cumsum(seconds.counts, axis=0)
        # Weights are whole numbers; the margin keeps 0.95 * 20 from being 19.000000000000004.
        place = (reached < share * reached[-1] - 1e-9).sum(axis=0)
        found = seconds.labels[np.minimum(place, len(seconds.labels) - 1)]
        return np.where(reached[-1] > 0, found, np.nan)

    return CellMeasure(
        name=f"latency p{share * 100:.0f}",
        says=f"seconds within which {share:.0%} of the pages were answered or failed",
        better="lower",
        bounds=(0, float("inf")),
        unknown="no page was asked for",
        cells="seconds",
        spread="bootstrap",
        value=value,
    )


def _failed(name: str, says: str, column: str) -> SumMeasure:
    return SumMeasure(
        name=name,
        says=says,
        better="lower",
        bounds=(0, 1),
        unknown="no page was asked for",
        value=lambda sums: divided(sums[column], sums["pages"]),
    )


WAITING_MEASURES: Final = (
    SumMeasure(
        name="failed pages",
        says="share of pages that failed for any reason",
        better="lower",
        bounds=(0, 1),
        unknown="no page was asked for",
        value=lambda sums: divided(sums["pages"] - sums["answered"], sums["pages"]),
    ),
    _failed("timeouts", "share of pages that did not come in time", "timeouts"),
    _failed("errors", "share of pages that ended in an error of the target", "errors"),
    _failed("malformed answers", "share of pages whose answer could not be used", "malformed"),
    _quantile(0.5),
    _quantile(0.95),
    _quantile(0.99),
    SumMeasure(
        name="throughput",
        says="pages answered for each second that shoppers waited",
        better="higher",
        bounds=(0, float("inf")),
        unknown="nobody waited",
        value=lambda sums: divided(sums["answered"], sums["seconds"]),
    ),
)
