"""How often, and after how long, shoppers take an item again.

The share is that of rows of later visits whose item the user had taken on an earlier one; a user's
first visit is left out, because there everything is new. Its error lets the users, not the rows,
vary (a sandwich over users), since one household's repeats are alike.

Intervals are those between two takings of an item by a user. An interval of ``d`` days is seen
only if it began ``d`` days before the log's end or earlier, so each counts with one over the share
of all takings that did (inverse probability of censoring; Robins and Rotnitzky 1992), ten at most.
The median and half the distance between the 16th and the 84th percentile of the logarithms describe
them: two visits on one day, which log-normal maximum likelihood would overrate, move neither.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from footfall.simulator.behaviour import Rate
from footfall.simulator.rhythm import Interval, Rhythm
from footfall.simulator.taken_items import TakenItems

__all__ = ["fit_replenishment"]

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

#: Fewest rows of later visits, and fewest intervals, to fit on.
_FEWEST_ROWS: Final = 50
_FEWEST_INTERVALS: Final = 20
#: The overall interval counts in each category like so many intervals.
_STRENGTH: Final = 20.0
#: Least chance of being seen that is corrected for: one interval never outweighs ten.
_SMALLEST_CHANCE: Final = 0.1
_SMALLEST_DEVIATION: Final = 0.1
_MICROSECONDS_PER_DAY: Final = 86_400e6
_QUANTILES: Final = np.array([0.16, 0.5, 0.84])
#: Density of the standard normal at those quantiles, for the errors.
_DENSITIES: Final = np.array([0.2433, 0.3989, 0.2433])


def fit_replenishment(taken: TakenItems) -> dict[str, Any]:
    """A rhythm's ``replenishment`` and intervals; neutral with a note where there is too little."""
    columns = {name: taken.table[name].to_numpy() for name in ("user", "item", "visit", "moment")}
    user, item, visit, moment = columns.values()
    order = np.lexsort((visit, item, user))
    again = np.zeros(len(user), dtype=bool)
    again[1:] = (np.diff(user[order]) == 0) & (np.diff(item[order]) == 0)
    repeated = np.empty(len(user), dtype=bool)
    repeated[order] = again
    fitted: dict[str, Any] = {"replenishment": _share(user, repeated, visit > 0, taken.response)}
    rows = order[again]
    before = order[np.flatnonzero(again) - 1]
    days = (moment[rows] - moment[before]) / _MICROSECONDS_PER_DAY
    later = days > 0
    rows, days = rows[later], days[later]
    if len(days) < _FEWEST_INTERVALS:
        note = f"assumed: the log shows only {len(days):,} intervals"
        for name in ("interval", "interval_deviation"):
            fitted[name] = Rate(value=getattr(Rhythm(), name).value, note=note)
        return fitted
    top = taken.table["top"].fill_null(-1).to_numpy()[rows]
    weights = _weights(days, moment)
    return fitted | _intervals(np.log(days), weights, user[rows], top, taken.tops)


def _share(
    user: Integers, repeated: npt.NDArray[np.bool_], later: npt.NDArray[np.bool_], response: str
) -> Rate:
    rows = int(later.sum())
    if rows < _FEWEST_ROWS:
        return Rate(value=0.0, note=f"only {rows:,} items taken ({response}) on later visits")
    share = float(repeated.sum() / rows)
    excess = np.bincount(user, weights=repeated - share * later)
    # With no repeat at all the sandwich is empty: half a repeat keeps the error above zero.
    chance = np.sqrt((repeated.sum() + 0.5) / rows**2)
    error = float(max(np.sqrt((excess**2).sum()) / rows, chance if share < 0.5 else 0.0))
    people = len(np.unique(user[later]))
    note = f"{rows:,} items taken ({response}) on later visits of {people:,} users"
    return Rate(value=share, standard_error=error, source="fitted", note=note)


def _weights(days: Floats, moment: Integers) -> Floats:
    """How many intervals each one stands for, with those that the log was too short to show."""
    left = np.sort((moment.max() - moment) / _MICROSECONDS_PER_DAY)
    seen = 1.0 - np.searchsorted(left, days, side="left") / len(left)
    return np.asarray(1.0 / np.maximum(seen, _SMALLEST_CHANCE), dtype=np.float64)


def _intervals(
    logs: Floats, weights: Floats, user: Integers, top: Integers, tops: tuple[str, ...]
) -> dict[str, Any]:
    quantiles = _weighted_quantiles(logs, weights)
    median, deviation = _describe(quantiles)
    # Influence of each interval on each quantile (Hampel 1974), summed over a user's intervals.
    below = logs[:, None] <= quantiles
    influence = weights[:, None] * (_QUANTILES - below) * deviation / _DENSITIES
    of_user = np.column_stack([np.bincount(user, weights=column) for column in influence.T])
    of_user = of_user / weights.sum()
    note = f"{len(logs):,} intervals of {len(np.unique(user)):,} users"
    fitted: dict[str, Any] = {
        "interval": Rate(
            value=float(np.exp(median)),
            standard_error=float(np.exp(median) * np.sqrt((of_user[:, 1] ** 2).sum())),
            source="fitted",
            note=note,
        ),
        "interval_deviation": Rate(
            value=deviation,
            standard_error=float(np.sqrt((((of_user[:, 2] - of_user[:, 0]) / 2) ** 2).sum())),
            source="fitted",
            note=note,
        ),
        "intervals": {},
    }
    for code, name in enumerate(tops):
        own = np.flatnonzero(top == code)
        if not len(own):
            continue
        own_median, own_deviation = _describe(_weighted_quantiles(logs[own], weights[own]))
        trust = len(own) / (len(own) + _STRENGTH)
        fitted["intervals"][name] = Interval(
            days=float(np.exp(median + trust * (own_median - median))),
            deviation=deviation + trust * (own_deviation - deviation),
            seen=len(own),
        )
    return fitted


def _describe(quantiles: Floats) -> tuple[float, float]:
    low, median, high = quantiles.tolist()
    return median, max((high - low) / 2.0, _SMALLEST_DEVIATION)


def _weighted_quantiles(values: Floats, weights: Floats) -> Floats:
    order = np.argsort(values, kind="stable")
    total = np.cumsum(weights[order])
    places = (total - 0.5 * weights[order]) / total[-1]
    return np.asarray(np.interp(_QUANTILES, places, values[order]), dtype=np.float64)
