from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from footfall.errors import SettingError
from footfall.eval.intervals import UserResamples, mean_over_seeds, percentiles
from footfall.eval.metrics import METRICS, Predictions
from footfall.eval.weighted import RankedRows, WeightedMetrics

FEW_EXAMPLES = settings(max_examples=40, deadline=None)
ROWS = st.lists(
    st.tuples(st.booleans(), st.integers(0, 12), st.integers(1, 3), st.integers(0, 4)),
    min_size=1,
    max_size=40,
)


@FEW_EXAMPLES
@given(ROWS, st.integers(0, 2**16))
def test_fast_metrics_equal_scikit_learn_under_any_user_weights(rows, seed):
    label, score, weight, user = (np.array(column) for column in zip(*rows, strict=True))
    predictions = Predictions.of(label, score / 12, weight, groups=user)
    weights = np.random.default_rng(seed).integers(0, 3, size=(5, 3)).astype(float)
    found = WeightedMetrics(predictions, user, 5)(weights)
    for column in range(3):
        again = Predictions.of(label, score / 12, weight * weights[user, column], groups=user)
        for name in ("auc", "average_precision", "grouped_auc", "log_loss", "normalised_entropy"):
            expected = METRICS[name](again)
            assert found[name][column] == pytest.approx(expected, nan_ok=True), name


@FEW_EXAMPLES
@given(ROWS)
def test_fast_metrics_with_unit_weights_are_the_metrics(rows):
    label, score, weight, user = (np.array(column) for column in zip(*rows, strict=True))
    predictions = Predictions.of(label, score / 12, weight, groups=user)
    found = WeightedMetrics(predictions, user, 5)(np.ones((5, 1)))
    for name, metric in METRICS.items():
        if predictions.lacking and name in {"precision", "recall"}:
            continue
        assert found[name][0] == pytest.approx(metric(predictions), nan_ok=True), name


def test_ranked_rows_without_positives_are_undefined():
    rows = Predictions.of([0, 0], [0.1, 0.2])
    auc, average = RankedRows(rows, np.array([0, 1]), 2)(np.ones((2, 4)))
    assert np.isnan(auc).all()
    assert np.isnan(average).all()


def test_resamples_draw_as_many_users_as_there_are_and_repeat():
    drawn = UserResamples(30, resamples=50, seed=3)
    first = np.hstack([weights for _, weights in drawn.batches()])
    again = np.hstack([weights for _, weights in drawn.batches()])
    assert first.shape == (30, 50)
    assert (first.sum(axis=0) == 30).all()
    assert (first == again).all()
    other = np.hstack([w for _, w in UserResamples(30, resamples=50, seed=4).batches()])
    assert (first != other).any()


def test_seed_counts_draw_as_many_seeds_as_there_are():
    counts = UserResamples(5, resamples=40, seed=0).seed_counts(3)
    assert counts.shape == (3, 40)
    assert (counts.sum(axis=0) == 3).all()
    assert counts.std() > 0


def test_mean_over_seeds_by_hand():
    values = np.array([[1.0, 2.0, np.nan], [3.0, 4.0, 5.0]])
    counts = np.array([[2.0, 1.0, 0.0], [0.0, 1.0, 2.0]])
    assert mean_over_seeds(values, counts).tolist() == [1.0, 3.0, 5.0]


def test_percentiles_by_hand_and_undefined():
    interval = percentiles(np.arange(1001, dtype=float))
    assert (interval.low, interval.high) == pytest.approx((25.0, 975.0))
    assert percentiles(np.full(10, np.nan)).low is None
    assert percentiles(np.array([1.0, np.nan, np.nan, np.nan])).high is None
    assert percentiles(np.array([])).low is None


def test_too_few_resamples_are_refused():
    with pytest.raises(SettingError, match="resamples = 5"):
        UserResamples(3, resamples=5, seed=0)
