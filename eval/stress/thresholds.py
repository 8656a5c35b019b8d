"""Whether a scenario's thresholds were kept: yes, no, or it cannot be told.

A threshold looks at the measured value alone, unless it asks to be ``certain``: then the whole 95 %
interval has to lie on one side of each bound, and where it does not, it cannot be told. A measure
without a value (or, asked to be certain, without an interval) cannot be told, whatever the bound.

Beside the baseline, values and intervals are paired by shopper, as
:func:`~footfall.eval.stress.measures.measure` gives them. Beside steady traffic only the two
intervals are known; they are put together as if independent (the method of variance estimates
recovery; Zou and Donner 2008), so with the same shoppers in both, the interval is wider than it
need be and errs on the side of "cannot be told".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from footfall.eval.stress.rows import MeasureRow, ThresholdResult
from footfall.eval.stress.scenario import Scenario
from footfall.eval.stress.scenario_tables import Threshold

__all__ = ["check_thresholds"]

_Outcome = Literal["pass", "fail", "cannot be told"]
#: The same target twice has a ratio of 1 but for the order in which numbers were added up.
_ROUNDING: Final = 1e-9
_OF: Final = {"baseline": "the baseline", "steady": "steady traffic"}


@dataclass(frozen=True, slots=True)
class _Found:
    value: float | None
    low: float | None = None
    high: float | None = None
    why: str = ""


def check_thresholds(
    scenario: Scenario, rows: Sequence[MeasureRow], *, steady: Sequence[MeasureRow] | None = None
) -> list[ThresholdResult]:
    """Hold measures against the thresholds of ``scenario``, in their order.

    Parameters
    ----------
    scenario:
        Where the thresholds are.
    rows:
        What was measured in it.
    steady:
        What was measured of the same target in steady traffic; thresholds beside steady traffic
        cannot be told without.
    """
    return [_checked(threshold, rows, steady) for threshold in scenario.thresholds]


def _checked(
    threshold: Threshold, rows: Sequence[MeasureRow], steady: Sequence[MeasureRow] | None
) -> ThresholdResult:
    row = _row(rows, threshold.measure)
    if row is None or row.value is None:
        found = _Found(None, why=(row.note if row else "") or "not measured")
    elif threshold.compared_with == "value":
        found = _Found(row.value, row.low, row.high)
    elif threshold.compared_with == "baseline":
        found = _beside_baseline(row, threshold.by)
    else:
        found = _beside_steady(row, _row(steady or (), threshold.measure), threshold.by)
    return ThresholdResult(
        measure=threshold.measure,
        words=_words(threshold),
        found=_figures(found),
        outcome=_outcome(threshold, found),
        reason=threshold.reason,
    )


def _row(rows: Sequence[MeasureRow], name: str) -> MeasureRow | None:
    return next((row for row in rows if row.measure == name), None)


def _beside_baseline(row: MeasureRow, by: str) -> _Found:
    if by == "ratio":
        return _Found(row.ratio, row.ratio_low, row.ratio_high, "the baseline's is 0 or unknown")
    why = "the baseline's is unknown"
    return _Found(row.difference, row.difference_low, row.difference_high, why)


def _beside_steady(row: MeasureRow, steady: MeasureRow | None, by: str) -> _Found:
    if steady is None or steady.value is None or row.value is None:
        return _Found(None, why="steady traffic was not measured")
    if by == "ratio" and steady.value == 0:
        return _Found(None, why="it is 0 in steady traffic")
    ends = (row.low, row.high, steady.low, steady.high)
    if by == "difference":
        value = row.value - steady.value
        if any(end is None for end in ends):
            return _Found(value)
        low, high = _difference(row, steady, 1.0)
        return _Found(value, low, high)
    ratio = row.value / steady.value
    # A ratio has no such interval where either may be below 0, or steady traffic's may be 0.
    if any(end is None for end in ends) or _float(row.low) < 0 or _float(steady.low) <= 0:
        return _Found(ratio)
    return _Found(ratio, _ratio_end(row, steady, ratio, 0), _ratio_end(row, steady, ratio, 1))


def _difference(row: MeasureRow, steady: MeasureRow, times: float) -> tuple[float, float]:
    """Interval of ``row - times * steady``, the two as if independent; ``times`` is 0 or more."""
    value, low, high = (_float(end) for end in (row.value, row.low, row.high))
    other, least, most = (_float(end) for end in (steady.value, steady.low, steady.high))
    middle = value - times * other
    return (
        middle - float(np.hypot(value - low, times * (most - other))),
        middle + float(np.hypot(high - value, times * (other - least))),
    )


def _ratio_end(row: MeasureRow, steady: MeasureRow, ratio: float, end: int) -> float | None:
    """The ratio at which the interval of ``row - ratio * steady`` ends at 0, found by halving.

    None where there is no such ratio of 0 or more, within a thousand times the measured one.
    """
    near, far = ratio, 0.0 if end == 0 else 1000.0 * max(ratio, 1.0)
    if end == 0 and _difference(row, steady, 0.0)[0] <= 0:
        return 0.0
    if end == 1 and _difference(row, steady, far)[1] > 0:
        return None
    for _ in range(80):
        middle = (near + far) / 2
        inside = (
            _difference(row, steady, middle)[0] <= 0
            if end == 0
            else _difference(row, steady, middle)[1] >= 0
        )
        near, far = (middle, far) if inside else (near, middle)
    return near


def _float(value: float | None) -> float:
    return np.nan if value is None else value


def _outcome(threshold: Threshold, found: _Found) -> _Outcome:
    low, high = (found.low, found.high) if threshold.certain else (found.value, found.value)
    if found.value is None or low is None or high is None:
        return "cannot be told"
    least = -np.inf if threshold.at_least is None else threshold.at_least - _ROUNDING
    most = np.inf if threshold.at_most is None else threshold.at_most + _ROUNDING
    if low >= least and high <= most:
        return "pass"
    return "fail" if high < least or low > most else "cannot be told"


def _words(threshold: Threshold) -> str:
    bounds = [
        f"{word} {bound:g}"
        for word, bound in (("at least", threshold.at_least), ("at most", threshold.at_most))
        if bound is not None
    ]
    words = f"{threshold.measure} {' and '.join(bounds)}"
    if threshold.compared_with != "value":
        link = "times that of" if threshold.by == "ratio" else "above that of"
        words += f" {link} {_OF[threshold.compared_with]}"
    return f"{words}, with certainty" if threshold.certain else words


def _figures(found: _Found) -> str:
    if found.value is None:
        return found.why or "unknown"
    if found.low is None or found.high is None:
        return f"{found.value:.4g} (no interval)"
    return f"{found.value:.4g} ({found.low:.4g} to {found.high:.4g})"
