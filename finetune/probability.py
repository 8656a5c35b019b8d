"""From the scale of sampled slates to the scale of every exposure."""

from __future__ import annotations

from typing import Any

import numpy as np

from footfall.finetune.example_table import Examples

__all__ = ["correct_log_odds", "mean_negative_rate", "negative_rates", "probability_of"]

Array = np.ndarray[Any, Any]


def probability_of(log_odds: Array) -> Array:
    """Probabilities within (0, 1), float64, of log-odds however large."""
    probability: Array = 0.5 * (1.0 + np.tanh(0.5 * log_odds))
    return np.clip(probability, 1e-9, 1.0 - 1e-9)


def negative_rates(examples: Examples) -> Array:
    """Probability with which the negatives beside each row were kept, shape (rows,).

    ``sample_rate`` is 1 for every positive, so a row's own rate would tell its label. All rows of a
    slate therefore take the mean rate of the slate's negatives; if any slate has none, all rows
    of its origin take their origin's: the number of negatives over the sum of ``1 / rate``.
    """
    rates: Array = examples.column("sample_rate").astype(np.float64)
    negatives = ~examples.labels
    origins = np.unique(examples.column("origin").astype(str), return_inverse=True)[1]
    slates = examples.slate_numbers()
    if not len(rates):
        return rates
    counts = np.bincount(slates, negatives)
    sums = np.bincount(slates, rates * negatives)
    result: Array = np.divide(sums, counts, out=np.ones_like(sums), where=counts > 0)[slates]
    for origin in range(int(origins.max()) + 1):
        rows = origins == origin
        if (counts[slates[rows]] == 0).any():
            kept = rates[rows & negatives]
            result[rows] = len(kept) / np.sum(1.0 / kept) if len(kept) else 1.0
    return result


def mean_negative_rate(examples: Examples) -> float:
    """Rate at which the negatives of training rows were kept, for rows without negatives of theirs.

    Their weight over what it would be had all been kept, the sum of ``weight / rate``; 1 without
    any.
    """
    rows = ~examples.labels & (examples.weights > 0)
    weights = examples.weights[rows]
    rates = examples.column("sample_rate")[rows].astype(np.float64)
    return float(weights.sum() / np.sum(weights / rates)) if len(weights) else 1.0


def correct_log_odds(log_odds: Array, rates: Array) -> Array:
    """Log-odds at the true response rate from log-odds on sampled negatives.

    A negative kept with probability ``r`` beside positives that are all kept makes the odds
    ``1 / r`` times too high, so ``true = sampled + ln r``: the prior correction of G. King and
    L. Zeng, *Logistic Regression in Rare Events Data*, Political Analysis 9 (2001), equation 7,
    with ``r = (tau / (1 - tau)) ((1 - y) / y)``.
    """
    corrected: Array = log_odds + np.log(rates)
    return corrected
