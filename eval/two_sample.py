"""Classifier two-sample test: whether a classifier can tell synthetic sessions from real ones.

A classifier is trained to say which side a session is from and judged on the sessions of users that
it has not seen (Lopez-Paz and Oquab 2017). Its AUC is .5 where the sides cannot be told apart and 1
where every session gives itself away.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from footfall.eval.intervals import Interval, UserResamples, percentiles
from footfall.eval.metrics import Predictions
from footfall.eval.weighted import RankedRows

__all__ = ["TwoSample", "sample_sessions", "telling_feature", "two_sample_test"]

Floats: TypeAlias = npt.NDArray[np.float64]
Integers: TypeAlias = npt.NDArray[np.int64]

#: Sessions per side; more would only narrow the interval.
LARGEST_SAMPLE: Final = 1500
_FOLDS: Final = 3
_SMALLEST_SAMPLE: Final = 20


@dataclass(frozen=True, slots=True)
class TwoSample:
    """AUC of the classifier and its 95 % interval by resampling users."""

    auc: float
    interval: Interval
    sessions: int


def sample_sessions(user: Integers, most: int, generator: np.random.Generator) -> Integers:
    """Places of the sessions of users in random order, ``most`` at most, in the order given."""
    _, who = np.unique(user, return_inverse=True)
    turn = generator.permutation(int(who.max(initial=-1)) + 1)[who]
    return np.sort(np.lexsort((generator.random(len(user)), turn))[:most])


def _score(values: Floats, label: npt.NDArray[np.bool_], user: Integers, seed: int) -> Floats:
    """Out-of-fold scores as ranks within their fold, so that folds can be put together."""
    from scipy.stats import rankdata
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.model_selection import StratifiedGroupKFold
    from threadpoolctl import threadpool_limits

    folds = min(_FOLDS, *(len(np.unique(user[label == side])) for side in (False, True)))
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    scores = np.full(len(label), np.nan)
    # The trees are small: threads that wait for one another cost more than they save.
    with threadpool_limits(limits=1, user_api="openmp"):
        for train, test in splitter.split(values, label, user):
            if len(np.unique(label[train])) < 2 or not len(test):
                continue
            model = HistGradientBoostingClassifier(
                max_iter=40, max_leaf_nodes=15, early_stopping=False, random_state=seed
            )
            model.fit(values[train], label[train])
            found = model.predict_proba(values[test])[:, 1]
            scores[test] = rankdata(found) / (len(test) + 1)
    return scores


def two_sample_test(
    first: tuple[Floats, Integers],
    second: tuple[Floats, Integers],
    *,
    resamples: int,
    seed: int,
) -> TwoSample | None:
    """Tell two sides apart, each (values of shape ``(sessions, features)``, user of each session).

    Both sides are cut to equally many sessions of whole users in random order. ``None`` where a
    side has fewer than 20 sessions or two users, or where there are no features.
    """
    generator = np.random.default_rng(seed)
    size = min(len(first[1]), len(second[1]), LARGEST_SAMPLE)
    if size < _SMALLEST_SAMPLE or not first[0].shape[1]:
        return None
    chosen = [(side, sample_sessions(side[1], size, generator)) for side in (first, second)]
    values = np.vstack([side[0][places] for side, places in chosen])
    users = [np.unique(side[1][places], return_inverse=True)[1] for side, places in chosen]
    counts = [int(each.max()) + 1 for each in users]
    if min(counts) < 2:
        return None
    user = np.concatenate([users[0], users[1] + counts[0]])
    label = np.repeat([False, True], [len(users[0]), len(users[1])])
    scores = _score(values, label, user, seed)
    kept = ~np.isnan(scores)
    ranked = RankedRows(Predictions.of(label[kept], scores[kept]), user[kept], sum(counts))
    auc = float(ranked(np.ones((sum(counts), 1)))[0][0])
    # The users of each side are drawn among themselves, so that both sides stay there.
    weights = [
        np.hstack(
            [drawn for _, drawn in UserResamples(count, resamples=resamples, seed=k).batches()]
        )
        for k, count in enumerate(counts, start=seed)
    ]
    return TwoSample(auc, percentiles(ranked(np.vstack(weights))[0]), size)


def telling_feature(names: tuple[str, ...], real: Floats, made: Floats) -> tuple[str, float] | None:
    """The feature that alone tells the sides apart best, and its AUC; missing numbers lowest."""
    from scipy.stats import rankdata

    best: tuple[str, float] | None = None
    for place, name in enumerate(names):
        both = np.concatenate([real[:, place], made[:, place]])
        lowest = np.nanmin(both, initial=0.0) - 1
        ranks = rankdata(np.where(np.isnan(both), lowest, both))
        count, other = len(real), len(made)
        won = ranks[count:].sum() - other * (other + 1) / 2
        auc = float(won / (count * other))
        if best is None or abs(auc - 0.5) > abs(best[1] - 0.5):
            best = (name, auc)
    return best
