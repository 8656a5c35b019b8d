"""All metrics under many user weightings at once, for the bootstrap.

A resample of users is a weight per user. Rows of one user share its weight, so everything that is
a sum over rows (log loss, calibration, precision, grouped AUC within users) is summed per user
once and multiplied by all resamples in one matrix product. AUC and average precision depend on
the order of the rows: those are sorted once, and the weight of the negatives that lie between
neighbouring positives is what a resample needs.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from footfall.eval.metrics import (
    CALIBRATION_BINS,
    Predictions,
    base_rate_threshold,
    calibration_bins,
    clip_probabilities,
    group_aucs,
)

__all__ = ["RankedRows", "WeightedMetrics"]

Floats: TypeAlias = npt.NDArray[np.float64]
Integers: TypeAlias = npt.NDArray[np.int64]


def _divide(upper: Floats, lower: Floats) -> Floats:
    """Quotient, ``nan`` where the divisor is zero."""
    out: Floats = np.full(np.shape(upper), np.nan)
    return np.asarray(np.divide(upper, lower, out=out, where=lower > 0), dtype=np.float64)


class RankedRows:
    """Rows sorted by probability once; AUC and average precision under many user weights.

    Parameters
    ----------
    rows:
        The predictions.
    users:
        Index of each row's user, shape ``(rows,)``.
    user_count:
        How many users there are; the weights given later have this many rows.
    """

    def __init__(self, rows: Predictions, users: Integers, user_count: int) -> None:
        from scipy.sparse import csr_array

        positive = rows.labels
        levels, level = np.unique(rows.probabilities[positive], return_inverse=True)
        self._levels = len(levels)
        # Bin 2k holds the negatives just under level k, bin 2k + 1 those tied with it.
        at_or_below = np.searchsorted(levels, rows.probabilities[~positive], side="left")
        below = np.searchsorted(levels, rows.probabilities[~positive], side="right")
        interval = at_or_below + below
        self._positives: Any = csr_array(
            (rows.weights[positive], (level.reshape(-1), users[positive])),
            shape=(self._levels, user_count),
        )
        self._negatives: Any = csr_array(
            (rows.weights[~positive], (interval, users[~positive])),
            shape=(2 * self._levels + 1, user_count),
        )

    def __call__(self, weights: Floats) -> tuple[Floats, Floats]:
        """AUC and average precision, each of shape ``(resamples,)``.

        ``weights`` has the shape ``(users, resamples)``; ``nan`` where a label is missing.
        """
        if not self._levels:
            missing = np.full(weights.shape[1], np.nan)
            return missing, missing
        positive = self._positives @ weights
        negative = self._negatives @ weights
        cumulated = np.cumsum(negative, axis=0)
        below, with_ties = cumulated[0:-1:2], cumulated[1::2]
        positives, negatives = positive.sum(axis=0), cumulated[-1]
        auc = _divide((positive * (below + with_ties)).sum(axis=0) / 2, positives * negatives)
        reached = positives - np.cumsum(positive, axis=0) + positive
        called = reached + (negatives - below)
        precision = np.divide(reached, called, out=np.zeros_like(called), where=called > 0)
        average = _divide((positive * precision).sum(axis=0), positives)
        return auc, np.where(np.isnan(auc), np.nan, average)


class WeightedMetrics:
    """Every metric of :data:`footfall.eval.metrics.METRICS` under many user weights.

    Groups are taken within users (a group that several users share counts once per user), the
    calibration bins and the threshold of precision and recall are those of the unweighted rows.
    """

    def __init__(self, rows: Predictions, users: Integers, user_count: int) -> None:
        self._ranked = RankedRows(rows, users, user_count)
        self._sums = self._sum_by_user(rows, users, user_count)

    @staticmethod
    def _sum_by_user(rows: Predictions, users: Integers, user_count: int) -> Floats:
        weight, label = rows.weights, rows.labels.astype(np.float64)
        clipped = clip_probabilities(rows.probabilities)
        loss = -np.where(rows.labels, np.log(clipped), np.log1p(-clipped))
        threshold = base_rate_threshold(rows) if rows.threshold is None else rows.threshold
        called = (rows.probabilities >= threshold).astype(np.float64)
        members, aucs, sizes = group_aucs(rows)
        share = _divide(weight, sizes[members])
        group_size = np.where(np.isnan(aucs), 0.0, sizes)[members]
        columns = [
            weight,
            weight * label,
            weight * loss,
            weight * called,
            weight * called * label,
            np.nan_to_num(share * group_size * aucs[members]),
            np.nan_to_num(share * group_size),
        ]
        summed = [np.bincount(users, column, user_count) for column in columns]
        gap = weight * (rows.probabilities - label)
        place = calibration_bins(rows) * user_count + users
        by_bin = np.bincount(place, gap, CALIBRATION_BINS * user_count)
        return np.vstack([*summed, by_bin.reshape(CALIBRATION_BINS, user_count)])

    def __call__(self, weights: Floats) -> dict[str, Floats]:
        """Metric name to values of shape ``(resamples,)``; weights: ``(users, resamples)``."""
        auc, average_precision = self._ranked(weights)
        sums = self._sums @ weights
        total, positive, loss, called, caught, group_won, group_total = sums[:7]
        gaps = sums[7:]
        rate = np.clip(_divide(positive, total), 0.0, 1.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            entropy = np.nan_to_num(-(rate * np.log(rate) + (1 - rate) * np.log1p(-rate)))
        mean_loss = _divide(loss, total)
        return {
            "auc": auc,
            "grouped_auc": _divide(group_won, group_total),
            "average_precision": average_precision,
            "log_loss": mean_loss,
            "normalised_entropy": _divide(mean_loss, entropy),
            "calibration_error": _divide(np.abs(gaps).sum(axis=0), total),
            "calibration_bias": _divide(gaps.sum(axis=0), total),
            "precision": _divide(caught, called),
            "recall": _divide(caught, positive),
        }
