"""How sure we are of a synthetic row's label.

*Agreement.* A model that knows real rows only gives the row's label a probability, its
self-confidence. Self-confidence differs between the labels (a response is never likely), so it is
not compared with a fixed number but with the self-confidence of real rows of the same label, by
models that have not seen those rows' shoppers: the share of them that are less confident, ties
counted half, is the row's cross-conformal p-value (Vovk, *Cross-conformal predictors*, 2015; a
threshold for each label, out of sample, is the idea of confident learning: Northcutt, Jiang and
Chuang 2021). Real rows have 1/2 on average, so a row weighs twice its p-value.

*Score.* Where the simulator kept its log-odds, the share of its run's rows that it liked less (of a
row without a response: liked more) takes the p-value's place.

No model knows much of a new item, so rows about new items would seem doubtful only because the
items are new. Therefore weights have the mean 1 within the rows of each label about cold and about
warm items: they say which of the rows *about cold items* are more certain, and take nothing from
cold items as a whole. Nor do they change the response rate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np

from footfall.finetune.discriminator import MATCHED_FEATURES
from footfall.finetune.example_table import Examples
from footfall.finetune.pair_inputs import Encode, LogisticPairs, PairInputs, group_folds
from footfall.finetune.row_weights import bounded_weights, effective_sample_size

__all__ = ["ConfidenceBasis", "ConfidenceWeights", "agreement", "confidence_weights", "liking"]

Array = np.ndarray[Any, Any]
ConfidenceBasis = Literal["agreement", "score", "both"]

_FOLDS: Final = 5


@dataclass(frozen=True)
class ConfidenceWeights:
    """What was found.

    ``weights`` has one factor a synthetic row. ``auc`` says how well the model of real rows tells
    responses of shoppers that it has not seen: near 0.5 its agreement means nothing. ``scored`` is
    the number of rows with a score. ``note`` says what could not be used, and why.
    """

    weights: Array
    auc: float | None
    scored: int
    effective_sample_size: float
    note: str = ""


def confidence_weights(
    real: Examples,
    synthetic: Examples,
    *,
    basis: ConfidenceBasis = "agreement",
    limit: float = 3.0,
    encode: Encode | None = None,
    seed: int = 0,
) -> ConfidenceWeights:
    """Weights of synthetic rows by confidence in their labels; see the module.

    Twice the p-value is clipped to ``[1 / limit, limit]`` and scaled to mean 1 in each of the four
    groups. ``both`` takes the geometric mean of the two; a row that has only one of them keeps that
    one, and a row that has none weighs 1.

    Parameters
    ----------
    real, synthetic:
        Rows of either kind, with their weights.
    basis:
        ``agreement``, ``score`` or ``both``.
    limit:
        Largest weight before scaling, at least 1.
    encode:
        Turns texts into vectors, in place of hashed n-grams of characters.
    seed:
        Of the folds.
    """
    count = len(synthetic)
    shares, notes, auc = [], [], None
    if basis != "score":
        share, auc, note = agreement(real, synthetic, encode=encode, seed=seed)
        shares.append(share)
        notes.append(note)
    scored = np.zeros(count)
    if basis != "agreement":
        scored = liking(synthetic)
        shares.append(scored)
        notes.append("" if np.isfinite(scored).any() else "no row has a score")
    logs = np.log(2.0 * np.column_stack(shares))
    known = np.isfinite(logs)
    log_ratio = np.full(count, np.nan)
    some = known.any(axis=1)
    log_ratio[some] = np.where(known, logs, 0.0)[some].sum(axis=1) / known[some].sum(axis=1)
    groups = 2 * synthetic.labels + synthetic.column("item_cold").astype(np.int64)
    base = synthetic.weights
    weights = bounded_weights(log_ratio, limit, groups, base)
    return ConfidenceWeights(
        weights,
        auc,
        int(np.isfinite(scored).sum()) if basis != "agreement" else 0,
        effective_sample_size(base * weights),
        "; ".join(note for note in notes if note),
    )


def agreement(
    real: Examples, synthetic: Examples, *, encode: Encode | None = None, seed: int = 0
) -> tuple[Array, float | None, str]:
    """Conformal p-values of the synthetic labels, shape (rows,), in (0, 1).

    Returns
    -------
    tuple
        The p-values; the model's AUC on real rows of shoppers that it has not seen; and why there
        are none, in which case they are nan: responses of fewer than two real shoppers, or none.
    """
    nothing = np.full(len(synthetic), np.nan)
    labels, weight = real.labels, real.weights
    fold = group_folds(real.column("user_id"), _FOLDS, seed)
    for number in range(_FOLDS):
        kept = labels[(fold != number) & (weight > 0)]
        if not kept.any() or kept.all():
            return nothing, None, "real rows of both labels are needed from several shoppers"
    pairs = (("query", "item_text"), ("shopper_text", "item_text"))
    inputs = PairInputs.of(
        [real, synthetic],
        names=MATCHED_FEATURES,
        texts=("query", "item_text"),
        closeness=pairs,
        encode=encode,
    )
    ours, theirs = np.arange(len(real)), len(real) + np.arange(len(synthetic))
    unseen, theirs_labels = np.zeros(len(real)), synthetic.labels
    below, compared = np.zeros(len(synthetic)), np.zeros(len(synthetic))
    for number in range(_FOLDS):
        rows = np.flatnonzero((fold != number) & (weight > 0))
        model = LogisticPairs(seed).fit(inputs, rows, labels[rows], weight[rows])
        left = ours[fold == number]
        unseen[left] = model.log_odds(inputs, left)
        judged = model.log_odds(inputs, theirs)
        for label, sign in ((True, 1.0), (False, -1.0)):
            known = np.sort(sign * unseen[left[labels[left] == label]])
            asked = theirs_labels == label
            below[asked] += _below(known, sign * judged[asked])
            compared[asked] += len(known)
    shares = (below + 0.5) / (compared + 1.0)
    return shares, _auc(labels, unseen), ""


def _below(known: Array, values: Array) -> Array:
    """How many of the sorted ``known`` are below each value, equal ones counted half."""
    less = np.searchsorted(known, values, side="left")
    at_most = np.searchsorted(known, values, side="right")
    return np.asarray((less + at_most) / 2.0)


def liking(synthetic: Examples) -> Array:
    """Share of its run's scored rows that a row's score speaks for less, shape (rows,), in (0, 1).

    High for a response to a liked item and for none to a disliked one; equal scores share a rank;
    nan where there is no score.
    """
    from scipy.stats import rankdata

    shares = np.full(len(synthetic), np.nan)
    score = synthetic.column("score").astype(np.float64)
    origins = synthetic.column("origin")
    for origin in set(origins.tolist()):
        rows = np.flatnonzero((origins == origin) & np.isfinite(score))
        below = (rankdata(score[rows]) - 0.5) / max(1, len(rows))
        shares[rows] = np.where(synthetic.labels[rows], below, 1.0 - below)
    return shares


def _auc(labels: Array, log_odds: Array) -> float:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(labels, log_odds))
