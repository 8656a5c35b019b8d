"""Maximum-likelihood fit of the response model, judged on people it has not seen.

Ridge logistic regression in two passes. The first gives every feature the same penalty. The second
gives each *group* of features its own, by the mean squared weight that the first found there: what
tells little (an occupation) is shrunk away, what tells much (how often a person visits such
places) is left alone (group-adaptive ridge; Van de Wiel et al. 2016). The penalties are chosen by
the log-likelihood of left-out people.

The position on the page is fitted beside the features and then left out, so that an item does not
appeal because it was shown at the top.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from threadpoolctl import threadpool_limits

__all__ = ["ResponseFit", "ResponseRows", "fit_response"]

Floats: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.int64]
Matrix: TypeAlias = Any

#: Prior variances of a weight that are tried: in the first pass, of the most telling group in the
#: second, and in the model that knows popularity only.
_FIRST_VARIANCES: Final = (0.003, 0.01, 0.03, 0.1)
_SECOND_VARIANCES: Final = (0.03, 0.1, 0.3, 1.0)
_RIVAL_VARIANCES: Final = (0.001, 0.1, 1.0, 10.0)
_FOLDS: Final = 5
#: Fewest people who responded to something, and fewest who did not, that a model is fitted on.
_FEWEST_PEOPLE: Final = 20
_ITERATIONS: Final = 1000
_TOLERANCE: Final = 1e-4


@dataclass(frozen=True, slots=True)
class ResponseRows:
    """Impressions to fit on; arrays of shape (impressions,).

    Attributes
    ----------
    features
        Values of the features, sparse, shape (impressions, columns).
    groups
        Group of each column, numbered from 0, shape (columns,).
    others
        What else tells the response and is no part of the appeal: the position, the item's
        popularity as known before. Sparse, shape (impressions, any).
    rival
        Columns of a model that knows no more than popularity: the others, and one an item.
    response, weight
        1 or 0, and the row's weight in the likelihood; unknown responses have weight 0.
    people
        Number of the person.
    """

    features: Matrix
    groups: Ints
    others: Matrix
    rival: Matrix
    response: Floats
    weight: Floats
    people: Ints


@dataclass(frozen=True, slots=True)
class ResponseFit:
    """The fit on all rows, and what it says of people whose rows were left out.

    Attributes
    ----------
    weights
        Of each column, shape (columns,).
    centre
        Mean of ``features @ weights`` over the rows.
    out_of_fold
        Log-odds of each row relative to the mean, by a fit on other people, shape (impressions,).
    gain, gain_error
        Log-likelihood a row that the appeal adds to the rival's on left-out people, and its
        standard error between people.
    """

    weights: Floats
    centre: float
    out_of_fold: Floats
    gain: float
    gain_error: float


@dataclass(frozen=True, slots=True)
class _Validated:
    """Fits on all but one fold: ``weights`` (folds, variances, columns).

    ``log_odds`` are those of every row by the fit without its fold, shape (variances,
    impressions), and ``likelihood`` their summed log-likelihood, shape (variances,).
    """

    weights: Floats
    log_odds: Floats
    likelihood: Floats

    @property
    def best(self) -> int:
        return int(np.argmax(self.likelihood))


def fit_response(rows: ResponseRows, *, seed: int = 0) -> ResponseFit | None:
    """Fit on all rows and, for each person, on other people's.

    Every fold of people is scored by fits that saw nothing of them; only the penalties are chosen
    with all people in view. ``None`` where there is too little to fit on.
    """
    if not _enough(rows):
        return None
    # The vectors are short: threads of the linear algebra would only wait for each other.
    with threadpool_limits(limits=1):
        return _fit(rows, seed)


def _fit(rows: ResponseRows, seed: int) -> ResponseFit:
    splits = GroupKFold(_FOLDS, shuffle=True, random_state=seed)
    folds = list(splits.split(rows.response, groups=rows.people))
    design = sparse.hstack([rows.features, rows.others]).tocsr()
    alike = np.ones(design.shape[1])
    plain = _validate(rows, design, folds, _FIRST_VARIANCES, [alike] * _FOLDS)
    scales = [_group_scales(rows, weights[plain.best]) for weights in plain.weights]
    adapted = _validate(rows, design, folds, _SECOND_VARIANCES, scales)
    better = adapted.likelihood.max() > plain.likelihood.max()
    chosen = adapted if better else plain

    everything = np.arange(len(rows.response))
    weights = _path(rows, design, everything, _FIRST_VARIANCES[: plain.best + 1], alike)[0][-1]
    if better:
        variances = _SECOND_VARIANCES[: adapted.best + 1]
        weights = _path(rows, design, everything, variances, _group_scales(rows, weights))[0][-1]
    plainest = [np.ones(rows.rival.shape[1])] * _FOLDS
    rival = _validate(rows, rows.rival, folds, _RIVAL_VARIANCES, plainest)
    out_of_fold = _out_of_fold(rows, chosen.weights[:, chosen.best], folds)
    gain, error = _gain(rows, rival.log_odds[rival.best], out_of_fold)
    return ResponseFit(
        weights=weights[: rows.features.shape[1]],
        centre=_centre(rows, weights, everything),
        out_of_fold=out_of_fold,
        gain=gain,
        gain_error=error,
    )


def _enough(rows: ResponseRows) -> bool:
    known = rows.weight > 0
    people = [len(np.unique(rows.people[known & (rows.response == value)])) for value in (0.0, 1.0)]
    return min(people) >= _FEWEST_PEOPLE and rows.features.shape[1] > 0


def _validate(
    rows: ResponseRows,
    design: Matrix,
    folds: Sequence[tuple[Ints, Ints]],
    variances: Sequence[float],
    scales: Sequence[Floats],
) -> _Validated:
    found = np.zeros((len(folds), len(variances), design.shape[1]))
    log_odds = np.zeros((len(variances), len(rows.response)))
    for fold, (train, test) in enumerate(folds):
        found[fold], intercepts = _path(rows, design, train, variances, scales[fold])
        log_odds[:, test] = (design[test] @ found[fold].T).T + intercepts[:, None]
    return _Validated(found, log_odds, _likelihood(rows, log_odds).sum(axis=1))


def _likelihood(rows: ResponseRows, log_odds: Floats) -> Floats:
    """Weighted log-likelihood of every row, of the shape of ``log_odds``."""
    signed = np.where(rows.response > 0, log_odds, -log_odds)
    return np.asarray(-rows.weight * np.logaddexp(0.0, -signed), dtype=np.float64)


def _path(
    rows: ResponseRows,
    design: Matrix,
    train: Ints,
    variances: Sequence[float],
    scales: Floats,
) -> tuple[Floats, Floats]:
    """Weights (variances, columns) and intercepts (variances,) of fits on the rows ``train``.

    A weight's prior variance is ``variance * scale**2``; each fit starts from the one before.
    """
    weights = np.zeros((len(variances), design.shape[1]))
    intercepts = np.zeros(len(variances))
    model = LogisticRegression(max_iter=_ITERATIONS, tol=_TOLERANCE, warm_start=True)
    told = (design[train] @ sparse.diags(scales)).tocsr()
    for place, variance in enumerate(variances):
        model.set_params(C=variance)
        model.fit(told, rows.response[train], sample_weight=rows.weight[train])
        weights[place] = model.coef_[0] * scales
        intercepts[place] = model.intercept_[0]
    return weights, intercepts


def _group_scales(rows: ResponseRows, weights: Floats) -> Floats:
    """Root mean square of each column's group's weights, the largest being 1; positions get 1."""
    count = rows.features.shape[1]
    seen = np.asarray(rows.features.power(2).sum(axis=0)).ravel()
    energy = np.bincount(rows.groups, seen * weights[:count] ** 2)
    size = np.sqrt(energy / np.maximum(np.bincount(rows.groups, seen), 1e-12))
    scales = np.ones(len(weights))
    if size.max() > 0:
        scales[:count] = (size / size.max())[rows.groups]
    return scales


def _centre(rows: ResponseRows, weights: Floats, train: Ints) -> float:
    told = rows.features[train] @ weights[: rows.features.shape[1]]
    return float(np.average(told, weights=rows.weight[train]))


def _out_of_fold(rows: ResponseRows, weights: Floats, folds: Sequence[tuple[Ints, Ints]]) -> Floats:
    log_odds = np.zeros(len(rows.response))
    for found, (train, test) in zip(weights, folds, strict=True):
        told = rows.features[test] @ found[: rows.features.shape[1]]
        log_odds[test] = told - _centre(rows, found, train)
    return log_odds


def _gain(rows: ResponseRows, rival: Floats, appeal: Floats) -> tuple[float, float]:
    """What ``appeal`` adds a row to ``rival``, and its standard error (a ratio over people).

    The response is regressed on the log-odds of the rival with and without those of the appeal,
    all of them of left-out people: three numbers are fitted, which can hardly learn by heart.
    """
    model = LogisticRegression(C=np.inf, max_iter=_ITERATIONS)
    likelihood = []
    for columns in ([rival], [rival, appeal]):
        design = np.column_stack(columns)
        model.fit(design, rows.response, sample_weight=rows.weight)
        likelihood.append(_likelihood(rows, model.decision_function(design)))
    if model.coef_[0, 1] <= 0:
        return 0.0, 0.0
    weight = np.bincount(rows.people, rows.weight)
    total = np.bincount(rows.people, likelihood[1] - likelihood[0])
    gain = total.sum() / weight.sum()
    return float(gain), float(np.sqrt(((total - gain * weight) ** 2).sum()) / weight.sum())
