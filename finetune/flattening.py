"""How much simulation is enough: where a learning curve flattens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from footfall.errors import SettingError, TrainingError
from footfall.finetune.standard_error import standard_error

__all__ = ["LearningCurve", "flattens_at"]


@dataclass(frozen=True)
class LearningCurve:
    """Scores by amount, lower is better, and the amount from which more gains nothing sure.

    ``scores`` has one tuple an amount with one score a seed, in the order of ``amounts``; the
    first amount is 0. ``harms`` is shaped as ``scores``: what each amount loses elsewhere.
    """

    amounts: tuple[int, ...]
    scores: tuple[tuple[float, ...], ...]
    enough: int
    harms: tuple[tuple[float, ...], ...]

    @property
    def means(self) -> tuple[float, ...]:
        """Mean score of each amount over the seeds."""
        return tuple(float(np.mean(row)) for row in self.scores)

    @property
    def gain(self) -> float:
        """How much lower the mean score is at ``enough`` than at 0."""
        return self.means[0] - self.means[self.amounts.index(self.enough)]


def flattens_at(
    scores: Mapping[int, Sequence[float]],
    *,
    margin: float = 1.0,
    harms: Mapping[int, Sequence[float]] | None = None,
    most_harm: float = 0.0,
) -> LearningCurve:
    """The smallest amount that is not surely worse than the best one.

    An amount is surely worse if its mean paired difference from the best exceeds ``margin``
    standard errors of that difference over the seeds (the one-standard-error rule of Breiman et al.
    1984, paired). With one seed any difference counts. Zero, nothing simulated, may come out.

    Parameters
    ----------
    scores:
        Amount to one score a seed, the seeds in the same order; lower is better.
    margin:
        Standard errors, of differences and of harms (with two seeds and one standard error, both
        have to do little).
    harms, most_harm:
        What an amount loses elsewhere beside 0, as ``scores``. One whose mean, and ``margin``
        standard errors more, is above ``most_harm`` is never enough; 0 always may be.

    Raises
    ------
    SettingError
        If 0 is not among the amounts, the amounts have different numbers of seeds, or ``most_harm``
        is negative.
    TrainingError
        If a score or a harm is not finite.
    """
    amounts = tuple(sorted(scores))
    if not amounts or amounts[0] != 0:
        raise SettingError("The amounts to compare need 0, nothing simulated, and none below it.")
    table = [np.asarray(scores[amount], dtype=np.float64) for amount in amounts]
    if len({len(row) for row in table}) > 1 or not len(table[0]):
        raise SettingError("Every amount needs a score of every seed.")
    if most_harm < 0:
        raise SettingError(f"most_harm: {most_harm} is negative.")
    told = dict.fromkeys(amounts, (0.0,) * len(table[0])) if harms is None else harms
    if any(len(told.get(amount, ())) != len(table[0]) for amount in amounts):
        raise SettingError("Every amount needs a harm of every seed.")
    harm = [np.asarray(told[amount], dtype=np.float64) for amount in amounts]
    if not all(np.isfinite(row).all() for row in (*table, *harm)):
        raise TrainingError("A score or a harm of the learning curve is not finite.")
    likely = [row.mean() + margin * (standard_error(row) or 0.0) for row in harm]
    allowed = [n for n, lost in enumerate(likely) if n == 0 or lost <= most_harm]
    best = min(allowed, key=lambda n: float(table[n].mean()))
    for n in allowed:
        worse = table[n] - table[best]
        if worse.mean() <= margin * (standard_error(worse) or 0.0):
            return LearningCurve(amounts, _tuples(table), amounts[n], _tuples(harm))
    raise AssertionError("the best amount is never worse than itself")


def _tuples(rows: Sequence[np.ndarray[Any, Any]]) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(map(float, row)) for row in rows)
