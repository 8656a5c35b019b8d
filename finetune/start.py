"""Where training starts: scales, bias, numbers and categories fitted beside a still encoder.

Imports torch; load it only where a model is trained.
"""

from __future__ import annotations

from collections.abc import Sequence
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
#: Rows that the mean of the known categories is worth beside those of the unknown one.
_MEAN_ROWS = 10
#: Smallest scale of a cosine after the fit; positive, so that nearer texts never score lower.
_SMALLEST_SCALE = 0.5


def warm_start(network: ClickNetwork, pairs: PairTable, settings: ClickSettings) -> None:
    """Fit the head by logistic regression: untrained encoder's cosines, numbers, categories.

    A cross-encoder has no cosines: its texts say nothing at the start. A category without a row
    among those that are fitted starts at the mean of the others, and what counts as unknown near it
    where its rows are few.

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
        sample.numbers.shape[1] or sample.categories.shape[1] or isinstance(network, TwoTowers)
    ):
        return
    terms = np.zeros((len(sample), 0))
    if isinstance(network, TwoTowers):
        terms = text_terms(network, sample).cpu().numpy()
    columns = np.column_stack([terms, sample.numbers]).astype(np.float64)
    sizes = [len(offset.weight) for offset in network.head.offsets]
    slopes, offsets, bias = _fit(columns, sample.categories, sizes, sample.targets, sample.weights)
    count = terms.shape[1]
    with torch.no_grad():
        if isinstance(network, TwoTowers):
            scales = np.maximum(slopes[:count], _SMALLEST_SCALE)
            network.log_scales.copy_(torch.from_numpy(np.log(scales)))
            # Where a scale was raised to the smallest one, the mean score stays where it was.
            bias -= float(((scales - slopes[:count]) * columns[:, :count].mean(0)).sum())
        network.head.linear.weight.copy_(torch.from_numpy(slopes[None, count:]))
        for offset, values in zip(network.head.offsets, offsets, strict=True):
            offset.weight.copy_(torch.from_numpy(values[:, None]))
        network.bias.fill_(bias)


def _fit(
    columns: Array, categories: Array, sizes: Sequence[int], targets: Array, weights: Array
) -> tuple[Array, list[Array], float]:
    """Slopes of the columns, offsets of each feature's categories, and the bias."""
    from scipy.sparse import csr_array, hstack
    from sklearn.linear_model import LogisticRegression

    mean, spread = columns.mean(0), columns.std(0)
    spread = np.where(spread > 1e-9, spread, 1.0)
    rows = np.arange(len(targets))
    told = [
        csr_array((np.ones(len(rows)), (rows, categories[:, place])), shape=(len(rows), size))
        for place, size in enumerate(sizes)
    ]
    model = LogisticRegression(C=1.0, max_iter=1000)
    matrix: Any = (columns - mean) / spread
    if told:
        matrix = hstack([csr_array(matrix), *told], format="csr")
    model.fit(matrix, targets > 0, sample_weight=weights)
    found = model.coef_[0]
    slopes: Array = found[: columns.shape[1]] / spread
    offsets = np.split(found[columns.shape[1] :], np.cumsum(sizes)[:-1]) if sizes else []
    for place, values in enumerate(offsets):
        counts = np.bincount(categories[:, place], minlength=len(values))
        if counts[1:].any():
            usual = np.average(values[1:], weights=counts[1:])
            values[counts == 0] = usual
            # Rows without a known value may be few and odd; new values are like the known ones.
            values[0] = np.average([usual, values[0]], weights=[_MEAN_ROWS, counts[0]])
    return slopes, offsets, float(model.intercept_[0] - (slopes * mean).sum())


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
