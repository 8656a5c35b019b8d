"""Measures of a crowd beside another one, with intervals over shoppers.

:data:`~footfall.eval.stress.measure_list.MEASURES` lists them; each subject has its own module
(:mod:`~footfall.eval.stress.responses`, :mod:`~footfall.eval.stress.relevance`,
:mod:`~footfall.eval.stress.exposure`, :mod:`~footfall.eval.stress.waiting`), which says how it is
defined.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import numpy as np

from footfall.eval.stress.measure_kinds import CellMeasure, SumMeasure, divided
from footfall.eval.stress.measure_list import MEASURES
from footfall.eval.stress.observed import Observed, observe
from footfall.eval.stress.replicates import Estimate, Replicates, combined, replicate
from footfall.eval.stress.rows import MeasureRow
from footfall.simulator.crowd_events import CrowdEvents

if TYPE_CHECKING:
    from footfall.eval.stress.world import ScenarioWorld

__all__ = ["measure"]

#: With fewer shoppers than this, intervals over shoppers are too narrow.
_FEW_SHOPPERS: Final = 30


def measure(
    events: CrowdEvents,
    world: ScenarioWorld,
    *,
    compared_with: CrowdEvents | None,
    compared_world: ScenarioWorld | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> list[MeasureRow]:
    """Every measure of ``events``, beside the same of ``compared_with``.

    Parameters
    ----------
    events:
        What a crowd did in front of the target.
    world:
        The scenario that it came to.
    compared_with:
        What it did in front of the baseline; without, rows have no difference.
    compared_world:
        Where that was, if in another scenario.
    resamples:
        Bootstrap resamples of shoppers, at least 20.
    seed:
        Of the resamples.

    Returns
    -------
    list of MeasureRow
        One each, in the order of the list of measures. A measure that cannot be told has no value
        and a note that says why.

    Raises
    ------
    SettingError
        If there are too few resamples.
    """
    crowds = [observe(events, world)]
    if compared_with is not None:
        crowds.append(observe(compared_with, compared_world or world))
    found = replicate(crowds, resamples=resamples, seed=seed)
    other = found[1] if len(found) > 1 else None
    return [_row(each, crowds[0], found[0], other) for each in MEASURES.values()]


def _row(
    measured: SumMeasure | CellMeasure,
    crowd: Observed,
    target: Mapping[str, Replicates],
    baseline: Mapping[str, Replicates] | None,
) -> MeasureRow:
    name = measured.name
    own = target[name].estimate(measured.bounds)
    row = MeasureRow(
        measure=name,
        value=_known(own),
        low=own.interval.low,
        high=own.interval.high,
        direction=measured.better,
        note=_note(measured, crowd, own),
    )
    if baseline is None:
        return row
    difference = combined(np.subtract, target[name], baseline[name]).estimate()
    found = {
        "baseline": _known(baseline[name].estimate(measured.bounds)),
        "difference": _known(difference),
        "difference_low": difference.interval.low,
        "difference_high": difference.interval.high,
    }
    # A measure that may be below zero has no ratio that means anything.
    if measured.bounds[0] >= 0:
        ratio = combined(divided, target[name], baseline[name]).estimate()
        found["ratio"] = _known(ratio)
        found |= {"ratio_low": ratio.interval.low, "ratio_high": ratio.interval.high}
    return row.model_copy(update=found)


def _known(estimate: Estimate) -> float | None:
    return estimate.value if np.isfinite(estimate.value) else None


def _note(measured: SumMeasure | CellMeasure, crowd: Observed, own: Estimate) -> str:
    if not np.isfinite(own.value):
        return measured.unknown
    notes = []
    if measured.name == "ndcg":
        judged, alone = crowd.sums["ndcg_pages"].sum(), crowd.sums["own_order_pages"].sum()
        if alone:
            notes.append(f"{alone / judged:.0%} of the pages are judged by their own best order")
    if len(crowd.shoppers) < _FEW_SHOPPERS:
        notes.append(f"only {len(crowd.shoppers)} shoppers came: the interval is too narrow")
    return "; ".join(notes)
