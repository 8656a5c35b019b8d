"""Weights by age and by likeness of features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from footfall.finetune.example_table import FEATURE_NAMES, Examples

__all__ = ["MATCHED_FEATURES", "Decay", "density_ratio", "time_decay"]

Array = np.ndarray[Any, Any]

#: Features that synthetic rows should share with real ones. The item's own popularity is left
#: out: rows about new items are what synthetic rows are made for.
MATCHED_FEATURES: Final = tuple(name for name in FEATURE_NAMES if name != "popularity_log")

_MICROSECONDS_PER_DAY = 86_400e6


@dataclass(frozen=True)
class Decay:
    """Factors on weights by age.

    ``real`` has one factor a real row, mean 1; ``newest`` is the factor at age 0.
    """

    real: Array
    newest: float


def time_decay(real: Examples, half_life_days: float) -> Decay:
    """Exponential decay of real rows with age before the newest real row.

    Rows without a time take the mean factor of the others.
    """
    moments = real.column("shown_at").astype("datetime64[us]")
    known = ~np.isnat(moments)
    if not known.any():
        return Decay(np.ones(len(real)), 1.0)
    ages = (moments[known].max() - moments[known]).astype(np.float64) / _MICROSECONDS_PER_DAY
    factors = np.full(len(real), np.nan)
    factors[known] = 0.5 ** (ages / half_life_days)
    mean = float(factors[known].mean())
    factors[~known] = mean
    return Decay(factors / mean, 1.0 / mean)


def density_ratio(real: Examples, synthetic: Examples, limit: float) -> Array:
    """How much more often real rows have a synthetic row's features, mean 1, shape (rows,).

    A logistic regression with squares and products tells real from synthetic rows; its odds,
    corrected for the two row counts, estimate the ratio of densities (Sugiyama, Suzuki and
    Kanamori, *Density Ratio Estimation in Machine Learning*, 2012, chapter 4). The ratio is
    clipped to ``[1 / limit, limit]`` before it is scaled to mean 1.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import PolynomialFeatures, StandardScaler

    columns = [FEATURE_NAMES.index(name) for name in MATCHED_FEATURES]
    ours, theirs = real.features[:, columns], synthetic.features[:, columns]
    model = make_pipeline(
        StandardScaler(),
        PolynomialFeatures(2, include_bias=False),
        StandardScaler(),
        LogisticRegression(C=1.0, max_iter=1000),
    )
    is_real = np.repeat([1, 0], [len(ours), len(theirs)])
    model.fit(np.vstack([ours, theirs]), is_real)
    odds = model.decision_function(theirs) - np.log(len(ours) / len(theirs))
    ratio: Array = np.exp(np.clip(odds, -np.log(limit), np.log(limit)))
    ratio /= ratio.mean()
    return ratio
