"""Where training starts: scales, bias and numbers fitted while the encoder stands still.

Imports torch; load it only where a model is trained.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from footfall.finetune.batches import PairTable
from footfall.finetune.click_settings import ClickSettings
from footfall.finetune.network import ClickNetwork, TwoTowers
from footfall.finetune.prediction import text_terms

__all__ = ["warm_start"]

Array = np.ndarray[Any, Any]

_BY_ROW = (
    *("query", "shopper", "item", "slate", "asked"),
    *("numbers", "categories", "targets", "weights"),
)
#: Smallest scale of a cosine after the fit; positive, so that nearer texts never score lower.
_SMALLEST_SCALE = 0.5


def warm_start(network: ClickNetwork, pairs: PairTable, settings: ClickSettings) -> None:
    """Fit the head by logistic regression on the untrained encoder's cosines and the numbers.

    A cross-encoder has no cosines: its texts say nothing at the start.

    Without rows to fit on, or with one label among them, the ranking stays zero-shot and only the
    bias is set, to the response rate.
    """
    rate = float(np.clip(np.average(pairs.targets, weights=pairs.weights), 1e-6, 1 - 1e-6))
    with torch.no_grad():
        network.bias.fill_(float(np.log(rate / (1 - rate))))
    if not settings.warm_start_rows:
        return
    sample = _sample(pairs, settings.warm_start_rows, settings.seed)
    if len(np.unique(sample.targets)) < 2 or not (
        sample.numbers.shape[1] or isinstance(network, TwoTowers)
    ):
        return
    terms = np.zeros((len(sample), 0))
    if isinstance(network, TwoTowers):
        terms = text_terms(network, sample).cpu().numpy()
    columns = np.column_stack([terms, sample.numbers]).astype(np.float64)
    slopes, bias = _fit(columns, sample.targets, sample.weights)
    count = terms.shape[1]
    with torch.no_grad():
        if isinstance(network, TwoTowers):
            scales = np.maximum(slopes[:count], _SMALLEST_SCALE)
            network.log_scales.copy_(torch.from_numpy(np.log(scales)))
            # Where a scale was raised to the smallest one, the mean score stays where it was.
            bias -= float(((scales - slopes[:count]) * columns[:, :count].mean(0)).sum())
        network.head.linear.weight.copy_(torch.from_numpy(slopes[None, count:]))
        network.bias.fill_(bias)


def _fit(columns: Array, targets: Array, weights: Array) -> tuple[Array, float]:
    from sklearn.linear_model import LogisticRegression

    mean, spread = columns.mean(0), columns.std(0)
    spread = np.where(spread > 1e-9, spread, 1.0)
    model = LogisticRegression(C=1.0, max_iter=1000)
    model.fit((columns - mean) / spread, targets > 0, sample_weight=weights)
    slopes: Array = model.coef_[0] / spread
    return slopes, float(model.intercept_[0] - (slopes * mean).sum())


def _sample(pairs: PairTable, count: int, seed: int) -> PairTable:
    """Whole slates, about ``count`` rows."""
    if len(pairs) <= count:
        return pairs
    turns = np.random.default_rng([seed, 1]).permutation(int(pairs.slate.max()) + 1)
    rows = np.argsort(turns[pairs.slate], kind="stable")[:count]
    return replace(
        pairs,
        **{name: getattr(pairs, name)[rows] for name in _BY_ROW},
    )
