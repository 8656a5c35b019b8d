"""Metrics of a click-through classifier, each of which knows its name, direction and range.

Every function takes aligned one-dimensional arrays: ``labels`` (bool, shape ``(rows,)``),
``probabilities`` (float in 0..1) and ``weights`` (non-negative; ``None`` means one each). A weight
of two is the same as writing the row twice. A metric that is undefined on its input (no rows, no
positives, no negatives) is ``nan``, never an exception; :meth:`Metric.measure` adds the reason in
words. Malformed input (wrong lengths, probabilities outside 0..1, negative weights) is a
``DataError``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from footfall.errors import DataError

__all__ = [
    "CALIBRATION_BINS",
    "METRICS",
    "Measurement",
    "Metric",
    "Predictions",
    "auc",
    "average_precision",
    "base_rate_threshold",
    "calibration_bias",
    "calibration_bins",
    "calibration_error",
    "clip_probabilities",
    "group_aucs",
    "grouped_auc",
    "log_loss",
    "normalised_entropy",
    "precision",
    "recall",
]

Floats: TypeAlias = npt.NDArray[np.float64]
Integers: TypeAlias = npt.NDArray[np.int64]

#: Bins of the calibration error; each holds a tenth of the row weight, ties kept together.
CALIBRATION_BINS: Final = 10
_UNDEFINED: Final = math.nan


@dataclass(frozen=True, slots=True)
class Predictions:
    """Aligned arrays of one model's predictions, checked by :meth:`of`."""

    labels: npt.NDArray[np.bool_]
    probabilities: Floats
    weights: Floats
    groups: npt.NDArray[Any] | None = None
    threshold: float | None = None

    @classmethod
    def of(
        cls,
        labels: npt.ArrayLike,
        probabilities: npt.ArrayLike,
        weights: npt.ArrayLike | None = None,
        *,
        groups: npt.ArrayLike | None = None,
        threshold: float | None = None,
    ) -> Predictions:
        """Check and convert the arrays.

        Raises
        ------
        DataError
            If lengths differ, a probability is not within 0..1, or a weight is negative or nan.
        """
        label = np.asarray(labels).astype(bool)
        probability = np.asarray(probabilities, dtype=np.float64)
        weight = np.ones(len(label)) if weights is None else np.asarray(weights, dtype=np.float64)
        group = None if groups is None else np.asarray(groups)
        lengths = {len(label), len(probability), len(weight)} | (
            set() if group is None else {len(group)}
        )
        if len(lengths) != 1:
            raise DataError(
                f"Labels, probabilities, weights and groups differ in length: {sorted(lengths)}.",
                hint="Give one value per row to each.",
            )
        _check_range(probability, "probability", upper=1.0)
        _check_range(weight, "weight", upper=math.inf)
        return cls(label, probability, weight, group, threshold)

    @property
    def positive_weight(self) -> float:
        """Total weight of the rows labelled true."""
        return float(self.weights[self.labels].sum())

    @property
    def negative_weight(self) -> float:
        """Total weight of the rows labelled false."""
        return float(self.weights[~self.labels].sum())

    @property
    def lacking(self) -> str:
        """What is missing for a ranking metric: no rows, no positives, no negatives, or ''."""
        if not self.positive_weight and not self.negative_weight:
            return "no rows"
        if not self.positive_weight:
            return "no positives"
        return "" if self.negative_weight else "no negatives"


def _check_range(values: Floats, name: str, *, upper: float) -> None:
    wrong = np.flatnonzero(~((values >= 0.0) & (values <= upper) & np.isfinite(values)))
    if len(wrong):
        raise DataError(
            f"Row {wrong[0]}: the {name} is {values[wrong[0]]}.",
            hint=f"Each {name} must be a number from 0{'' if upper == math.inf else ' to 1'}.",
        )


def clip_probabilities(probabilities: Floats) -> Floats:
    """Probabilities kept off 0 and 1 by the machine epsilon, as scikit-learn's log loss does."""
    epsilon = float(np.finfo(np.float64).eps)
    return np.clip(probabilities, epsilon, 1.0 - epsilon)


def auc(rows: Predictions) -> float:
    """Area under the ROC curve (scikit-learn); a tie counts half. ``nan`` without both labels."""
    if rows.lacking:
        return _UNDEFINED
    from sklearn.metrics import roc_auc_score

    kept = rows.weights > 0
    return float(
        roc_auc_score(rows.labels[kept], rows.probabilities[kept], sample_weight=rows.weights[kept])
    )


def average_precision(rows: Predictions) -> float:
    """Average precision (scikit-learn): area under the precision-recall steps."""
    if rows.lacking:
        return _UNDEFINED
    from sklearn.metrics import average_precision_score

    return float(
        average_precision_score(rows.labels, rows.probabilities, sample_weight=rows.weights)
    )


def group_aucs(rows: Predictions) -> tuple[Integers, Floats, Floats]:
    """AUC of every group at once, by cumulated weights of sorted rows; a tie counts half.

    Returns
    -------
    tuple
        ``members`` (shape ``(rows,)``: each row's group index), ``aucs`` (shape ``(groups,)``,
        ``nan`` for a group without both labels) and ``sizes`` (the groups' total row weights).

    Raises
    ------
    DataError
        If the rows carry no groups.
    """
    if rows.groups is None:
        raise DataError("Grouped AUC needs a group per row.", hint="Give `groups`.")
    _, members = np.unique(rows.groups, return_inverse=True)
    members = members.reshape(-1).astype(np.int64)
    count = int(members.max()) + 1 if len(members) else 0
    order = np.lexsort((rows.probabilities, members))
    group, score = members[order], rows.probabilities[order]
    positive = np.where(rows.labels, rows.weights, 0.0)[order]
    negative = np.where(rows.labels, 0.0, rows.weights)[order]
    starts = np.flatnonzero(np.r_[True, (group[1:] != group[:-1]) | (score[1:] != score[:-1])])
    starts = starts if len(order) else starts[:0]
    tie_positive = np.add.reduceat(positive, starts) if len(starts) else positive
    tie_negative = np.add.reduceat(negative, starts) if len(starts) else negative
    tie_group = group[starts]
    positives: Floats = np.bincount(tie_group, tie_positive, count).astype(np.float64)
    negatives: Floats = np.bincount(tie_group, tie_negative, count).astype(np.float64)
    before_group = np.cumsum(negatives) - negatives
    below = np.cumsum(tie_negative) - tie_negative - before_group[tie_group]
    won = np.bincount(tie_group, tie_positive * (below + tie_negative / 2), count)
    pairs = positives * negatives
    aucs = np.divide(won, pairs, out=np.full(count, _UNDEFINED), where=pairs > 0)
    sizes = np.asarray(positives + negatives, dtype=np.float64)
    return members, aucs, sizes


def grouped_auc(rows: Predictions) -> float:
    """Mean of the groups' AUCs weighted by their impressions; groups with one label are left out.

    Source: Zhu et al. 2017, "Optimized cost per click in Taobao display advertising" (GAUC); used
    by Zhou et al. 2018, "Deep interest network". ``nan`` where no group has both labels.
    """
    _, aucs, sizes = group_aucs(rows)
    usable = ~np.isnan(aucs)
    if not usable.any():
        return _UNDEFINED
    return float(np.average(aucs[usable], weights=sizes[usable]))


def log_loss(rows: Predictions) -> float:
    """Mean negative log-likelihood in nats (scikit-learn); ``nan`` without rows."""
    if not rows.weights.sum():
        return _UNDEFINED
    from sklearn.metrics import log_loss as sklearn_log_loss

    return float(
        sklearn_log_loss(
            rows.labels, rows.probabilities, sample_weight=rows.weights, labels=[False, True]
        )
    )


def normalised_entropy(rows: Predictions) -> float:
    """Log loss over the entropy of the base rate: below 1 is better than knowing the rate only.

    Source: He et al. 2014, "Practical lessons from predicting clicks on ads at Facebook".
    """
    if rows.lacking:
        return _UNDEFINED
    rate = rows.positive_weight / float(rows.weights.sum())
    entropy = -(rate * math.log(rate) + (1 - rate) * math.log1p(-rate))
    return log_loss(rows) / entropy


def calibration_bins(rows: Predictions, bins: int = CALIBRATION_BINS) -> Integers:
    """Bin of each row: equal weight per bin by probability, equal probabilities together."""
    if not len(rows.probabilities):
        return np.zeros(0, dtype=np.int64)
    values, inverse = np.unique(rows.probabilities, return_inverse=True)
    mass = np.bincount(inverse.reshape(-1), rows.weights, len(values))
    middle = np.cumsum(mass) - mass / 2
    bin_of_value = np.minimum((middle / max(mass.sum(), 1e-300) * bins).astype(np.int64), bins - 1)
    return np.asarray(bin_of_value[inverse.reshape(-1)], dtype=np.int64)


def calibration_error(rows: Predictions, bins: int = CALIBRATION_BINS) -> float:
    """Expected calibration error over ``bins`` bins of equal row weight.

    The weighted mean over bins of ``|mean probability - share of positives|``. Rows of equal
    probability share a bin, so fewer than ``bins`` bins may be filled.
    """
    total = float(rows.weights.sum())
    if not total:
        return _UNDEFINED
    gaps = rows.weights * (rows.probabilities - rows.labels)
    return float(np.abs(np.bincount(calibration_bins(rows, bins), gaps, bins)).sum() / total)


def calibration_bias(rows: Predictions) -> float:
    """Mean probability minus the share of positives: above 0 the model predicts too much."""
    if not rows.weights.sum():
        return _UNDEFINED
    return float(np.average(rows.probabilities - rows.labels, weights=rows.weights))


def base_rate_threshold(rows: Predictions) -> float:
    """The threshold that calls about as many rows positive as are positive.

    The highest probability for which the rows at or above it weigh at least as much as the
    positives; rows of equal probability stay together. ``nan`` without rows.
    """
    if not rows.weights.sum():
        return _UNDEFINED
    order = np.argsort(-rows.probabilities, kind="stable")
    called = np.cumsum(rows.weights[order])
    place = int(np.searchsorted(called, rows.positive_weight * (1 - 1e-12)))
    return float(rows.probabilities[order][min(place, len(order) - 1)])


def _called(rows: Predictions) -> npt.NDArray[np.bool_]:
    threshold = base_rate_threshold(rows) if rows.threshold is None else rows.threshold
    return np.asarray(rows.probabilities >= threshold, dtype=np.bool_)


def precision(rows: Predictions) -> float:
    """Share of positives among the rows at or above the threshold (scikit-learn).

    The threshold is the given one, else :func:`base_rate_threshold`. ``nan`` where nothing is
    called positive.
    """
    called = _called(rows)
    if rows.lacking or not rows.weights[called].sum():
        return _UNDEFINED
    from sklearn.metrics import precision_score

    return float(precision_score(rows.labels, called, sample_weight=rows.weights))


def recall(rows: Predictions) -> float:
    """Share of the positives at or above the threshold (scikit-learn); see :func:`precision`."""
    if rows.lacking:
        return _UNDEFINED
    from sklearn.metrics import recall_score

    return float(recall_score(rows.labels, _called(rows), sample_weight=rows.weights))


@dataclass(frozen=True, slots=True)
class Measurement:
    """A metric's value, or ``None`` and the reason why it is undefined."""

    value: float | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric: ``direction`` says what is better, ``low`` and ``high`` bound its values.

    ``direction`` is ``higher``, ``lower`` or ``zero`` (nearer to zero is better).
    """

    name: str
    title: str
    direction: Literal["higher", "lower", "zero"]
    low: float
    high: float
    function: Callable[[Predictions], float]

    def __call__(self, rows: Predictions) -> float:
        """Value on ``rows``; ``nan`` where undefined."""
        return self.function(rows)

    def measure(self, rows: Predictions) -> Measurement:
        """Value on ``rows``, or ``None`` with the reason."""
        value = self.function(rows)
        if not math.isnan(value):
            return Measurement(value)
        reason = rows.lacking
        if not reason and self.name == "grouped_auc":
            reason = "no group has both a positive and a negative"
        return Measurement(None, reason or "no row reaches the threshold")

    def better(self, difference: float) -> bool:
        """Whether adding ``difference`` to the value is an improvement (not for ``zero``)."""
        return difference > 0 if self.direction == "higher" else difference < 0


_METRICS = (
    Metric("auc", "AUC", "higher", 0.0, 1.0, auc),
    Metric("grouped_auc", "Grouped AUC", "higher", 0.0, 1.0, grouped_auc),
    Metric("average_precision", "Average precision", "higher", 0.0, 1.0, average_precision),
    Metric("log_loss", "Log loss", "lower", 0.0, math.inf, log_loss),
    Metric("normalised_entropy", "Normalised entropy", "lower", 0.0, math.inf, normalised_entropy),
    Metric("calibration_error", "Calibration error", "lower", 0.0, 1.0, calibration_error),
    Metric("calibration_bias", "Calibration bias", "zero", -1.0, 1.0, calibration_bias),
    Metric("precision", "Precision", "higher", 0.0, 1.0, precision),
    Metric("recall", "Recall", "higher", 0.0, 1.0, recall),
)

#: Every metric by name, in the order of the reports.
METRICS: Final[dict[str, Metric]] = {metric.name: metric for metric in _METRICS}
