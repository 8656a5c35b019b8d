"""Weights by age."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from footfall.finetune.example_table import Examples

__all__ = ["Decay", "time_decay"]

Array = np.ndarray[Any, Any]

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
