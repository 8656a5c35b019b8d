"""From the classifier's log-odds to probabilities that come true as often as they say."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from footfall.errors import SettingError

__all__ = ["Calibration", "calibration_error", "cross_fitted"]

Array = np.ndarray[Any, Any]
Kind = Literal["platt", "isotonic"]

#: Parts of the validation rows, each judged by a map that was fitted on the others.
_FOLDS = 5
#: Probabilities of an isotonic map are kept inside this distance from 0 and 1.
_EDGE = 1e-4
#: Bins of equal numbers of rows in which predicted and true rates are compared.
_BINS = 10


class Calibration(BaseModel):
    """A map of log-odds that never turns the order of two rows around.

    Platt's map is ``slope x + offset`` with a positive slope (J. Platt, "Probabilistic Outputs for
    Support Vector Machines", 1999); the isotonic one goes through ``points`` in straight lines
    (B. Zadrozny and C. Elkan, "Transforming Classifier Scores into Accurate Multiclass Probability
    Estimates", 2002) and may make rows equal.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Kind = Field(description="Shape of the map.")
    slope: float = Field(1.0, gt=0.0, description="Platt: factor of the log-odds.")
    offset: float = Field(0.0, description="Platt: added to them.")
    points: tuple[tuple[float, float], ...] = Field(
        (), description="Isotonic: log-odds before and after, ascending."
    )

    @classmethod
    def fit(cls, kind: Kind, log_odds: Array, labels: Array, weights: Array) -> Calibration:
        """Fit on rows that were not trained on, all of shape (rows,)."""
        return (_platt if kind == "platt" else _isotonic)(log_odds, labels, weights)

    def apply(self, log_odds: Array) -> Array:
        """Calibrated log-odds, float64, shape (rows,)."""
        if self.kind == "platt":
            scaled: Array = self.slope * log_odds + self.offset
            return scaled
        before, after = np.asarray(self.points).T
        mapped: Array = np.interp(log_odds, before, after)
        return mapped


def _platt(log_odds: Array, labels: Array, weights: Array) -> Calibration:
    from sklearn.linear_model import LogisticRegression

    # So little regularisation that it only keeps separable rows from an endless slope.
    model = LogisticRegression(C=1e4, max_iter=1000)
    model.fit(log_odds[:, None], labels, sample_weight=weights)
    slope = float(model.coef_[0, 0])
    if slope > 0:
        return Calibration(kind="platt", slope=slope, offset=float(model.intercept_[0]))
    # Rows that are ranked the wrong way round: their rate can be met, their order is not turned.
    rate = float(np.clip(np.average(labels, weights=weights), _EDGE, 1 - _EDGE))
    flat = 1e-3
    centre = float(np.average(log_odds, weights=weights))
    return Calibration(
        kind="platt", slope=flat, offset=float(np.log(rate / (1 - rate))) - flat * centre
    )


def _isotonic(log_odds: Array, labels: Array, weights: Array) -> Calibration:
    from sklearn.isotonic import IsotonicRegression

    model = IsotonicRegression(y_min=_EDGE, y_max=1 - _EDGE, out_of_bounds="clip")
    model.fit(log_odds, labels.astype(np.float64), sample_weight=weights)
    after = np.log(model.y_thresholds_ / (1 - model.y_thresholds_))
    points = zip(model.X_thresholds_.tolist(), after.tolist(), strict=True)
    return Calibration(kind="isotonic", points=tuple(points))


def cross_fitted(
    kind: Kind, log_odds: Array, labels: Array, weights: Array, slates: Array
) -> dict[str, float | str]:
    """Log loss and calibration error before and after, each slate judged by a map of the others.

    Parameters
    ----------
    kind:
        Shape of the map.
    log_odds, labels, weights, slates:
        Validation rows, shape (rows,).

    Raises
    ------
    SettingError
        If there are fewer than five slates, or a part of them has one label only.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    if len(np.unique(slates)) < _FOLDS:
        raise SettingError(
            f"calibration: it needs {_FOLDS} validation slates.", hint='Use calibration = "none".'
        )
    after = np.zeros(len(log_odds))
    folds = StratifiedGroupKFold(_FOLDS)
    for rest, part in folds.split(log_odds, labels, slates):
        if len(np.unique(labels[rest])) < 2:
            raise SettingError(
                "calibration: the validation rows have too few responses.",
                hint='Use calibration = "none", or more validation rows.',
            )
        fitted = Calibration.fit(kind, log_odds[rest], labels[rest], weights[rest])
        after[part] = fitted.apply(log_odds[part])
    figures: dict[str, float | str] = {"kind": kind}
    for name, values in (("before", log_odds), ("after", after)):
        losses = np.logaddexp(0.0, np.where(labels > 0, -values, values))
        figures[f"log_loss_{name}"] = float(np.average(losses, weights=weights))
        figures[f"calibration_error_{name}"] = calibration_error(values, labels, weights)
    return figures


def calibration_error(log_odds: Array, labels: Array, weights: Array) -> float:
    """Expected calibration error: mean distance of predicted and true rate over ten bins.

    Bins hold equal numbers of rows and count by their weight (M. P. Naeini, G. F. Cooper and
    M. Hauskrecht, "Obtaining Well Calibrated Probabilities Using Bayesian Binning", 2015, with
    bins of equal size).
    """
    probability = 0.5 * (1.0 + np.tanh(0.5 * log_odds))
    order = np.argsort(probability, kind="stable")
    distances, shares = [], []
    for part in np.array_split(order, min(_BINS, len(order))):
        share = weights[part].sum()
        gap = np.sum(weights[part] * (probability[part] - labels[part]))
        distances.append(abs(gap))
        shares.append(share)
    return float(np.sum(distances) / np.sum(shares))
