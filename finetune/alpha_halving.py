"""Chooses the weight of synthetic rows by successive halving on real validation data.

Successive halving (Jamieson and Talwalkar 2016; the inner loop of Hyperband, Li et al. 2018) spends
little on all candidates and more on those that are left. Three rules are added for a weight whose
safe value is known: zero, no synthetic rows, is never eliminated; at the end a positive weight has
to beat it by more than chance between seeds explains (the one-standard-error rule of Breiman et al.
1984, with paired differences); and a weight that may do too much harm elsewhere never wins.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil
from typing import TypeVar

import numpy as np

from footfall.errors import SettingError
from footfall.finetune.alpha import finite_score
from footfall.finetune.example_table import Examples
from footfall.finetune.standard_error import standard_error

__all__ = [
    "AlphaRung",
    "HalvingChoice",
    "choose_alpha_by_halving",
    "planned_trainings",
    "share_of_slates",
]

Model = TypeVar("Model")


@dataclass(frozen=True)
class AlphaRung:
    """Candidates compared with one budget: one tuple of scores an alpha, one score a seed.

    ``harms`` is shaped as ``scores``: what each candidate loses elsewhere (0 where nothing is
    measured).
    """

    budget: float
    seeds: tuple[int, ...]
    alphas: tuple[float, ...]
    scores: tuple[tuple[float, ...], ...]
    harms: tuple[tuple[float, ...], ...]

    @property
    def means(self) -> tuple[float, ...]:
        """Mean score of each alpha over the seeds; lower is better."""
        return tuple(float(np.mean(row)) for row in self.scores)

    @property
    def mean_harms(self) -> tuple[float, ...]:
        """Mean harm of each alpha over the seeds."""
        return tuple(float(np.mean(row)) for row in self.harms)

    def likely_harms(self, margin: float) -> tuple[float, ...]:
        """The mean harm and ``margin`` of its standard errors (none with one seed)."""
        errors = (standard_error(row) or 0.0 for row in self.harms)
        return tuple(
            mean + margin * error for mean, error in zip(self.mean_harms, errors, strict=True)
        )


@dataclass(frozen=True)
class HalvingChoice:
    """The chosen weight and every score on the way.

    ``best`` is the positive weight with the lowest mean of the last rung, of those that do little
    enough harm (none where all do more). ``gain`` is how much lower its score is than that of zero,
    a mean over the seeds, and ``standard_error`` that mean's (none with one seed).
    """

    alpha: float
    best: float | None
    gain: float | None
    standard_error: float | None
    rungs: tuple[AlphaRung, ...]

    @property
    def alphas(self) -> tuple[float, ...]:
        """Candidates of the last rung."""
        return self.rungs[-1].alphas

    @property
    def means(self) -> tuple[float, ...]:
        """Their mean scores."""
        return self.rungs[-1].means


def choose_alpha_by_halving(
    train: Callable[[float, int, float], Model],
    score: Callable[[Model], float],
    *,
    alphas: Sequence[float] = (0.0, 0.1, 0.25, 0.5, 1.0, 2.0),
    seeds: Sequence[int] = (0, 1, 2),
    budgets: Sequence[float] = (0.25, 0.5, 1.0),
    margin: float = 1.0,
    harm: Callable[[Model], float] | None = None,
    most_harm: float = 0.0,
    harm_margin: float = 1.0,
) -> HalvingChoice:
    """Compare all weights on little training, the better half on more, and so on.

    Zero is always a candidate and reaches the last rung. A rung with the budget b (as a share of
    the largest) uses the first ``ceil(b * len(seeds))`` seeds, the same for every weight, so that
    comparisons are paired; of equal scores the smaller weight is kept. In the end the best positive
    weight is taken if its mean gain over zero exceeds ``margin`` standard errors of the paired
    differences (with one seed, if it is positive), else zero.

    Where a model may do ``harm`` elsewhere, a weight whose mean harm over the seeds of a rung, and
    ``harm_margin`` standard errors more, is above ``most_harm`` comes after all that stay below,
    and does not win the last rung. The mean is judged, because one training says little: between
    seeds the same rows differ by more (an early rung of one seed only decides which weights come
    first).

    Parameters
    ----------
    train:
        ``train(alpha, seed, budget)`` gives a model.
    score:
        ``score(model)``, lower is better, on real validation rows; see
        :func:`~footfall.finetune.alpha.validation_log_loss`.
    alphas, seeds:
        Candidates and seeds.
    budgets:
        Rising shares of the training, one a rung; the last should be 1. See
        :func:`share_of_slates`.
    margin:
        Standard errors by which zero has to be beaten.
    harm:
        ``harm(model)``: what it loses elsewhere, beside zero with the same seed and budget.
    most_harm:
        The largest harm that is none, in the units of ``harm``.
    harm_margin:
        Standard errors of the mean harm that have to lie below it, too. With two seeds and one
        standard error both seeds have to.

    Raises
    ------
    SettingError
        If there are no seeds or budgets, an alpha is negative, budgets do not rise, or a margin or
        ``most_harm`` is negative.
    TrainingError
        If a score or a harm is not finite.
    """
    positive = tuple(sorted({float(alpha) for alpha in alphas if alpha}))
    _check(positive, seeds, budgets, margin)
    for name, value in (("most_harm", most_harm), ("harm_margin", harm_margin)):
        if value < 0:
            raise SettingError(f"{name}: {value} is negative.")
    rungs: list[AlphaRung] = []
    for budget in budgets:
        if rungs:
            positive = _better_half(rungs[-1], most_harm, harm_margin)
        used = tuple(seeds[: _seeds_used(len(seeds), budget, budgets[-1])])
        candidates = (0.0, *positive)
        scores, harms = [], []
        for alpha in candidates:
            models = [train(alpha, seed, budget) for seed in used]
            scores.append(_finite("score", score, models, alpha, used))
            harms.append(_finite("harm", harm or _no_harm, models, alpha, used))
        rungs.append(AlphaRung(float(budget), used, candidates, tuple(scores), tuple(harms)))
    return _decide(tuple(rungs), margin, most_harm, harm_margin)


def _finite(
    name: str,
    measure: Callable[[Model], float],
    models: Sequence[Model],
    alpha: float,
    seeds: Sequence[int],
) -> tuple[float, ...]:
    return tuple(
        finite_score(measure(model), alpha, seed, name=name)
        for model, seed in zip(models, seeds, strict=True)
    )


def _no_harm(_: object) -> float:
    return 0.0


def planned_trainings(
    alphas: Sequence[float], seeds: Sequence[int], budgets: Sequence[float]
) -> list[tuple[float, int]]:
    """Budget and number of trainings of each rung of :func:`choose_alpha_by_halving`.

    Raises
    ------
    SettingError
        As there.
    """
    positive = {float(alpha) for alpha in alphas if alpha}
    _check(tuple(positive), seeds, budgets, 0.0)
    left = len(positive)
    plan = []
    for budget in budgets:
        plan.append((float(budget), (1 + left) * _seeds_used(len(seeds), budget, budgets[-1])))
        left = ceil(left / 2)
    return plan


def _seeds_used(seeds: int, budget: float, largest: float) -> int:
    return ceil(seeds * budget / largest - 1e-9)


def _check(
    positive: Sequence[float], seeds: Sequence[int], budgets: Sequence[float], margin: float
) -> None:
    if not seeds or not budgets:
        raise SettingError("seeds, budgets: give at least one of each.")
    if any(alpha < 0 for alpha in positive):
        raise SettingError("alphas: a weight of synthetic rows is not below 0.")
    if budgets[0] <= 0 or any(b <= a for a, b in pairwise(budgets)):
        raise SettingError(f"budgets: {list(budgets)} do not rise from above 0.")
    if margin < 0:
        raise SettingError(f"margin: {margin} is negative.")


def _ranked(rung: AlphaRung, most_harm: float, harm_margin: float) -> list[int]:
    """Places of the positive weights, the best first; harmful ones last, by their harm."""
    harms = rung.likely_harms(harm_margin)

    def order(place: int) -> tuple[bool, float, float]:
        harm = harms[place]
        harmful = harm > most_harm
        return harmful, harm if harmful else rung.means[place], rung.alphas[place]

    # Zero comes first among the weights and is no candidate here.
    return sorted(range(1, len(rung.alphas)), key=order)


def _better_half(rung: AlphaRung, most_harm: float, harm_margin: float) -> tuple[float, ...]:
    """The better half of the positive weights, rounded up; zero goes on beside them."""
    ranked = _ranked(rung, most_harm, harm_margin)
    return tuple(sorted(rung.alphas[place] for place in ranked[: ceil(len(ranked) / 2)]))


def _decide(
    rungs: tuple[AlphaRung, ...], margin: float, most_harm: float, harm_margin: float
) -> HalvingChoice:
    last = rungs[-1]
    ranked = _ranked(last, most_harm, harm_margin)
    if not ranked or last.likely_harms(harm_margin)[ranked[0]] > most_harm:
        return HalvingChoice(0.0, None, None, None, rungs)
    place = ranked[0]
    gains = np.subtract(last.scores[0], last.scores[place])
    gain = float(gains.mean())
    error = standard_error(gains)
    wins = gain > 0 and gain > margin * (error or 0.0)
    best = last.alphas[place]
    return HalvingChoice(best if wins else 0.0, best, gain, error, rungs)


def share_of_slates(examples: Examples, share: float, seed: int = 0) -> Examples:
    """A seeded share of the slates of each origin, in their order: a smaller budget of rows.

    Smaller shares with the same seed are parts of larger ones. At least one slate of each origin
    is left.

    Raises
    ------
    SettingError
        If the share is not above 0 and at most 1.
    """
    if not 0.0 < share <= 1.0:
        raise SettingError(f"share: {share} is not above 0 and at most 1.")
    if share == 1.0 or not len(examples):
        return examples
    slates = examples.slate_numbers()
    kept = np.zeros(len(examples), bool)
    origins = examples.column("origin").astype(str)
    for origin in np.unique(origins):
        rows = origins == origin
        # Each origin has its own order, so that arms that share the real rows share them here too.
        own = np.unique(slates[rows])
        order = np.random.default_rng(seed).permutation(len(own))
        kept |= rows & np.isin(slates, own[order[: max(1, round(share * len(own)))]])
    return examples.take(kept)
