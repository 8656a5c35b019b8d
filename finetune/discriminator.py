"""Weights of synthetic rows by density ratio: how much more often real rows are like them.

A discriminator tells real from synthetic rows; its odds, corrected for the two row counts, estimate
the ratio of densities (Sugiyama, Suzuki and Kanamori, *Density Ratio Estimation in Machine
Learning*, 2012, chapter 4; Bickel, Brueckner and Scheffer 2009). A row is judged by discriminators
that have not seen its session, so that no row is recognised as itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np

from footfall.finetune.example_table import FEATURE_NAMES, Examples
from footfall.finetune.pair_inputs import Encode, LogisticPairs, PairInputs, group_folds
from footfall.finetune.row_weights import bounded_weights, effective_sample_size

__all__ = ["MATCHED_FEATURES", "DensityInputs", "DensityWeights", "density_weights"]

Array = np.ndarray[Any, Any]
DensityInputs = Literal["numbers", "texts", "all"]

#: Features that synthetic rows should share with real ones. The item's own popularity is left
#: out: rows about new items are what synthetic rows are made for.
MATCHED_FEATURES: Final = tuple(name for name in FEATURE_NAMES if name != "popularity_log")
_OF_ITEM: Final = ("price_log", "price_vs_category", "category_popularity_log")
_FOLDS: Final = 5


@dataclass(frozen=True)
class DensityWeights:
    """What the discriminator found.

    ``weights`` has one factor a synthetic row. ``auc`` says how well rows that it had not seen were
    told apart: 0.5 is not at all. Where there were too few sessions to learn from, all weights are
    1, ``auc`` is none and ``note`` says why.
    """

    weights: Array
    auc: float | None
    effective_sample_size: float
    note: str = ""


def density_weights(
    real: Examples,
    synthetic: Examples,
    *,
    inputs: DensityInputs = "numbers",
    limit: float = 5.0,
    encode: Encode | None = None,
    seed: int = 0,
) -> DensityWeights:
    """Clipped density ratio of the synthetic rows, real over synthetic.

    ``numbers`` reads :data:`MATCHED_FEATURES`; ``texts`` reads the words of query and item and how
    close the two are; ``all`` reads both. With words the ratio is that of everything else *given
    the item*: a second discriminator, which sees the item alone, is divided out, because a new item
    has words that no real row has, and rows about new items are wanted.

    The ratio is clipped to ``[1 / limit, limit]`` and scaled to mean 1, for cold and warm items
    apart: cold items never lose weight as a whole.

    Parameters
    ----------
    real, synthetic:
        Rows of either kind, with their weights.
    inputs:
        What the discriminator reads.
    limit:
        Largest ratio before scaling, at least 1.
    encode:
        Turns texts into vectors, in place of hashed n-grams of characters.
    seed:
        Of the folds.
    """
    count = len(synthetic)
    folds = min(_FOLDS, _sessions(real), _sessions(synthetic))
    base = synthetic.weights
    if folds < 2 or not real.weights.sum() > 0 or not base.sum() > 0:
        note = "fewer than two sessions of either kind, or no weight: nothing to tell apart"
        return DensityWeights(np.ones(count), None, effective_sample_size(base), note)
    with_words = inputs != "numbers"
    whole = PairInputs.of(
        [real, synthetic],
        names=() if inputs == "texts" else MATCHED_FEATURES,
        texts=("query", "item_text") if with_words else (),
        closeness=(("query", "item_text"),) if with_words else (),
        encode=encode,
    )
    log_ratio = _unseen_log_ratio(real, synthetic, whole, folds, seed)
    told = log_ratio
    if with_words:
        names = () if inputs == "texts" else _OF_ITEM
        item = PairInputs.of([real, synthetic], names=names, texts=("item_text",), encode=encode)
        log_ratio = log_ratio - _unseen_log_ratio(real, synthetic, item, folds, seed)
    cold = synthetic.column("item_cold").astype(np.int64)
    weights = bounded_weights(log_ratio[len(real) :], limit, cold, base)
    return DensityWeights(weights, _auc(told, len(real)), effective_sample_size(base * weights))


def _sessions(examples: Examples) -> int:
    return len(set(examples.table["session_id"].to_pylist()))


def _unseen_log_ratio(
    real: Examples, synthetic: Examples, inputs: PairInputs, folds: int, seed: int
) -> Array:
    """Log of the density ratio of all rows, each by a model that has not seen its session."""
    is_real = np.repeat([True, False], [len(real), len(synthetic)])
    # Either kind is spread over all folds, so that every model sees both.
    fold = np.concatenate(
        [group_folds(part.column("session_id"), folds, seed) for part in (real, synthetic)]
    )
    # Rows of no weight teach nothing, and a fold of such rows alone could not be learned from.
    weight = np.concatenate([part.weights / part.weights.mean() for part in (real, synthetic)])
    found = np.zeros(len(is_real))
    for number in range(folds):
        seen, unseen = np.flatnonzero((fold != number) & (weight > 0)), fold == number
        target = is_real[seen]
        if target.all() or not target.any():
            continue
        model = LogisticPairs(seed).fit(inputs, seen, target, weight[seen])
        shares = np.bincount(target.astype(np.int64), weight[seen])
        found[unseen] = model.log_odds(inputs, np.flatnonzero(unseen)) - np.log(
            shares[1] / shares[0]
        )
    return found


def _auc(log_ratio: Array, real_rows: int) -> float:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(np.arange(len(log_ratio)) < real_rows, log_ratio))
