"""Measures of several crowds under the same resampled shoppers, and intervals of what follows.

Crowds are paired by shopper: a resample takes the same shoppers from each crowd. With common
random numbers a shopper who buys much in front of one target does so in front of the other, so
differences are far more certain than the measures themselves.

*Bootstrap* intervals are percentiles over shoppers drawn with replacement
(:mod:`footfall.eval.intervals`). *Jackknife* intervals leave out a fiftieth of the shoppers at a
time (delete-a-group jackknife; Kott 2001): ``value ± t * standard error``, within the measure's
bounds. They are for measures that count different things, of which a crowd drawn with replacement
has too few.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.stats import t as student

from footfall.eval.intervals import Interval, UserResamples, percentiles
from footfall.eval.stress.measure_kinds import CellCounts, CellMeasure, Floats, Spread, SumMeasure
from footfall.eval.stress.measure_list import MEASURES
from footfall.eval.stress.observed import Observed

__all__ = ["Estimate", "Replicates", "combined", "replicate"]

_GROUPS: Final = 50
_LEVEL: Final = 0.95


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value, not a number where it is unknown, and its interval."""

    value: float
    interval: Interval


@dataclass(frozen=True, slots=True)
class Replicates:
    """One measure of one crowd, or what was computed of several.

    ``draws`` has shape (resamples,) or (groups,); both are of the same shoppers for all crowds.
    """

    value: float
    draws: Floats
    spread: Spread

    def estimate(self, bounds: tuple[float, float] = (-np.inf, np.inf)) -> Estimate:
        """The value with its 95 % interval; none with fewer than two shoppers."""
        none = Interval(None, None)
        if not np.isfinite(self.value) or len(self.draws) < 2:
            return Estimate(self.value, none)
        if self.spread == "bootstrap":
            return Estimate(self.value, percentiles(self.draws, _LEVEL))
        if not np.isfinite(self.draws).all():
            return Estimate(self.value, none)
        groups = len(self.draws)
        error = np.sqrt((groups - 1) / groups * ((self.draws - self.draws.mean()) ** 2).sum())
        reach = float(student.ppf((1 + _LEVEL) / 2, groups - 1) * error)
        low, high = max(bounds[0], self.value - reach), min(bounds[1], self.value + reach)
        return Estimate(self.value, Interval(low, high))


def combined(function: Callable[..., Floats], *several: Replicates) -> Replicates:
    """``function`` of the values, and of the draws one by one."""
    value = float(function(*(np.asarray(each.value) for each in several)))
    draws = np.asarray(function(*(each.draws for each in several)), dtype=np.float64)
    return Replicates(value, draws, several[0].spread)


def replicate(
    crowds: Sequence[Observed], *, resamples: int, seed: int
) -> list[dict[str, Replicates]]:
    """Every measure of every crowd, under the same resamples of all shoppers who came to any.

    Parameters
    ----------
    crowds:
        What was observed.
    resamples:
        Bootstrap resamples, at least 20.
    seed:
        Of the resamples.

    Raises
    ------
    SettingError
        If there are too few resamples.
    """
    names = sorted({name for crowd in crowds for name in crowd.shoppers.tolist()})
    number = {name: place for place, name in enumerate(names)}
    places = [np.asarray([number[n] for n in crowd.shoppers], dtype=np.int64) for crowd in crowds]
    whole = np.ones((len(names), 1))
    values = [
        _all_values(crowd, whole[place], "both")
        for crowd, place in zip(crowds, places, strict=True)
    ]
    draws: list[dict[str, list[Floats]]] = [{name: [] for name in MEASURES} for _ in crowds]

    def add(weights: Floats, spread: Spread) -> None:
        for crowd, place, found in zip(crowds, places, draws, strict=True):
            for name, drawn in _all_values(crowd, weights[place], spread).items():
                found[name].append(drawn)

    drawn = UserResamples(len(names), resamples=resamples, seed=seed)
    if len(names) >= 2:
        for _, weights in drawn.batches():
            add(weights, "bootstrap")
        add(_left_out(len(names), seed), "jackknife")
    return [
        {
            name: Replicates(
                float(value[name][0]),
                np.concatenate([*found[name], np.empty(0)]),
                _spread(measure),
            )
            for name, measure in MEASURES.items()
        }
        for value, found in zip(values, draws, strict=True)
    ]


def _spread(measure: SumMeasure | CellMeasure) -> Spread:
    return measure.spread if isinstance(measure, CellMeasure) else "bootstrap"


def _left_out(shoppers: int, seed: int) -> Floats:
    """Weights that leave out one group each, shape (shoppers, groups); groups are drawn."""
    groups = min(_GROUPS, shoppers)
    group = np.random.default_rng([seed, 2]).permutation(shoppers) % groups
    out = (group[:, None] == np.arange(groups)).astype(np.float64)
    return np.asarray(1.0 - out)


def _all_values(crowd: Observed, weights: Floats, spread: str) -> dict[str, Floats]:
    """Measures of a kind of spread (or of both), for each column of ``weights``."""
    measures = [m for m in MEASURES.values() if spread in {"both", _spread(m)}]
    sums: dict[str, Floats] = {}
    if any(isinstance(measure, SumMeasure) for measure in measures):
        stacked = np.stack(list(crowd.sums.values())) if crowd.sums else np.zeros((0, len(weights)))
        sums = dict(zip(crowd.sums, stacked @ weights, strict=True))
    counted: dict[str, CellCounts] = {}
    found: dict[str, Floats] = {}
    for measure in measures:
        if isinstance(measure, SumMeasure):
            found[measure.name] = measure.value(sums)
            continue
        if measure.cells not in counted:
            cells = crowd.cells[measure.cells]
            counts = np.asarray(cells.counts.T @ weights)
            counted[measure.cells] = CellCounts(counts, cells.labels, cells.whole)
        found[measure.name] = measure.value(counted[measure.cells])
    return found
