"""Chooses the weight of synthetic rows on real validation data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from footfall.errors import DataError, NoResponseError, SettingError, TrainingError
from footfall.finetune.click_model import ClickModel
from footfall.finetune.example_table import Examples

__all__ = ["AlphaChoice", "choose_alpha", "finite_score", "validation_log_loss"]

Model = TypeVar("Model")


@dataclass(frozen=True)
class AlphaChoice:
    """The chosen weight and what every candidate scored (lower is better).

    ``scores`` has one tuple an alpha with one score a seed, in the order of ``alphas``.
    """

    alpha: float
    alphas: tuple[float, ...]
    scores: tuple[tuple[float, ...], ...]

    @property
    def means(self) -> tuple[float, ...]:
        """Mean score of each alpha over the seeds."""
        return tuple(float(np.mean(row)) for row in self.scores)


def choose_alpha(
    train: Callable[[float, int], Model],
    score: Callable[[Model], float],
    *,
    alphas: Sequence[float] = (0.0, 0.25, 0.5, 1.0),
    seeds: Sequence[int] = (0,),
) -> AlphaChoice:
    """Train once for each alpha and seed and take the alpha with the lowest mean score.

    The same seeds are used for every alpha, so the comparison is paired. Of equal scores the
    smallest alpha wins; 0, no synthetic rows, is a candidate like the others and may win.

    Parameters
    ----------
    train:
        ``train(alpha, seed)`` gives a model; ``alpha`` goes into :class:`FusionSettings`.
    score:
        ``score(model)``, lower is better, on real validation rows;
        see :func:`validation_log_loss`.
    alphas, seeds:
        Candidates and seeds.

    Raises
    ------
    SettingError
        If there are no candidates or seeds, or an alpha is negative.
    TrainingError
        If a score is not finite.
    """
    candidates = tuple(sorted(set(map(float, alphas))))
    if not candidates or not seeds or candidates[0] < 0:
        raise SettingError("alphas, seeds: give at least one of each, and no alpha below 0.")
    scores = tuple(
        tuple(finite_score(score(train(alpha, seed)), alpha, seed) for seed in seeds)
        for alpha in candidates
    )
    best = int(np.argmin([np.mean(row) for row in scores]))
    return AlphaChoice(candidates[best], candidates, scores)


def finite_score(score: float, alpha: float, seed: int, *, name: str = "score") -> float:
    """The score; a :class:`~footfall.errors.TrainingError` says whose is not finite."""
    if not np.isfinite(score):
        raise TrainingError(f"The {name} at alpha {alpha:g}, seed {seed} is {score}.")
    return float(score)


def validation_log_loss(validation: Examples) -> Callable[[ClickModel], float]:
    """A score for :func:`choose_alpha`: weighted log loss in nats on real validation rows.

    Raises
    ------
    DataError
        If a row is not real: a weight chosen on synthetic rows would prefer them.
    NoResponseError
        If the rows have one label only, or there are none.
    """
    from sklearn.metrics import log_loss

    if validation.synthetic.any():
        raise DataError("The validation examples hold synthetic rows; alpha needs real ones.")
    if len(set(validation.labels.tolist())) < 2:
        raise NoResponseError("The validation examples do not have both labels.")

    def score(model: ClickModel) -> float:
        probability = model.predict_proba(validation)
        return float(log_loss(validation.labels, probability, sample_weight=validation.weights))

    return score
