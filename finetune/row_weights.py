"""Row weights: kept within limits, scaled within groups, and how many rows they are worth."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["bounded_weights", "effective_sample_size"]

Array = np.ndarray[Any, Any]


def effective_sample_size(weights: Array) -> float:
    """How many equally weighted rows tell as much: (sum w)^2 / sum w^2 (Kish 1965); 0 for none."""
    squares = float((weights**2).sum())
    return float(weights.sum()) ** 2 / squares if squares > 0 else 0.0


def bounded_weights(log_ratio: Array, limit: float, groups: Array, base: Array) -> Array:
    """``exp(log_ratio)`` clipped to ``[1 / limit, limit]``, then of mean 1 in every group.

    Parameters
    ----------
    log_ratio:
        Natural logs of the weights, shape (rows,); rows that are not finite get the weight 1.
    limit:
        At least 1.
    groups:
        Number of the group of each row, shape (rows,). No group gains or loses weight as a whole.
    base:
        Weights that the rows have before; the mean is taken over them.
    """
    known = np.isfinite(log_ratio)
    bound = np.log(limit)
    weights = np.ones(len(log_ratio))
    weights[known] = np.exp(np.clip(log_ratio[known], -bound, bound))
    for group in np.unique(groups[known]):
        inside = known & (groups == group)
        total = float(base[inside].sum())
        if total > 0:
            weights[inside] *= total / float((base * weights)[inside].sum())
    return weights
