from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from footfall.errors import DataError
from footfall.eval.metrics import (
    METRICS,
    Predictions,
    base_rate_threshold,
    calibration_bins,
    group_aucs,
)


def of(labels, probabilities, weights=None, **more):
    return Predictions.of(labels, probabilities, weights, **more)


def test_auc_by_hand():
    # Pairs (positive, negative): .8>.3 won, .8>.5 won, .5=.5 half, .5>.3 won: 3.5 of 4.
    rows = of([1, 0, 1, 0], [0.8, 0.3, 0.5, 0.5])
    assert METRICS["auc"](rows) == pytest.approx(3.5 / 4)


def test_auc_with_weights_by_hand():
    # The negative at .9 weighs 3, that at .1 weighs 1; the positive at .5 beats only the latter.
    assert METRICS["auc"](of([1, 0, 0], [0.5, 0.9, 0.1], [2, 3, 1])) == pytest.approx(1 / 4)


def test_grouped_auc_by_hand():
    # a: 1 of 1 pair, 2 rows. b: 0.5 of 1 pair (tie), 3 rows weighing 4, c: positives only.
    rows = of(
        [1, 0, 1, 0, 0, 1],
        [0.9, 0.1, 0.4, 0.4, 0.6, 0.5],
        [1, 1, 1, 1, 2, 5],
        groups=["a", "a", "b", "b", "b", "c"],
    )
    # b: pairs weigh 1*1 (tie, half) and 1*2 (lost): 0.5 of 3.
    assert METRICS["grouped_auc"](rows) == pytest.approx((2 * 1.0 + 4 * (0.5 / 3)) / 6)
    _, aucs, sizes = group_aucs(rows)
    assert sizes.tolist() == [2, 4, 5]
    assert math.isnan(aucs[2])


def test_log_loss_and_normalised_entropy_by_hand():
    rows = of([1, 0, 0, 0], [0.5, 0.25, 0.25, 0.5])
    loss = -(math.log(0.5) + 2 * math.log(0.75) + math.log(0.5)) / 4
    entropy = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))
    assert METRICS["log_loss"](rows) == pytest.approx(loss)
    assert METRICS["normalised_entropy"](rows) == pytest.approx(loss / entropy)


def test_normalised_entropy_of_the_base_rate_is_one():
    assert METRICS["normalised_entropy"](of([1, 0, 0, 0], [0.25] * 4)) == pytest.approx(1.0)


def test_calibration_error_by_hand():
    # Two bins of two rows: |.2 - .5| and |.8 - 1|, equal mass.
    rows = of([0, 1, 1, 1], [0.1, 0.3, 0.7, 0.9])
    from footfall.eval.metrics import calibration_error

    assert calibration_error(rows, bins=2) == pytest.approx((0.3 + 0.2) / 2)
    assert METRICS["calibration_bias"](rows) == pytest.approx(0.5 - 0.75)


def test_calibration_bins_hold_equal_weight_and_keep_ties_together():
    bins = calibration_bins(of([0] * 6, [0.1, 0.2, 0.2, 0.2, 0.3, 0.4]), bins=3)
    assert len(set(bins[1:4].tolist())) == 1
    assert bins.tolist() == sorted(bins.tolist())
    even = calibration_bins(of([0] * 100, np.linspace(0, 1, 100)), bins=10)
    assert np.bincount(even).tolist() == [10] * 10


def test_precision_and_recall_by_hand():
    rows = of([1, 0, 1, 0], [0.9, 0.8, 0.3, 0.1], threshold=0.5)
    assert METRICS["precision"](rows) == pytest.approx(0.5)
    assert METRICS["recall"](rows) == pytest.approx(0.5)
    assert base_rate_threshold(rows) == pytest.approx(0.8)
    assert METRICS["precision"](of([1, 0], [0.2, 0.1], threshold=0.5)) != 0  # nan: nothing called
    assert METRICS["precision"].measure(of([1, 0], [0.2, 0.1], threshold=0.5)).value is None


def test_average_precision_by_hand():
    # Ranks 1 (hit), 2, 3 (hit): (1/1 + 2/3) / 2.
    rows = of([1, 0, 1], [0.9, 0.8, 0.3])
    assert METRICS["average_precision"](rows) == pytest.approx((1 + 2 / 3) / 2)


@pytest.mark.parametrize("name", METRICS)
def test_empty_input_is_undefined_with_a_reason(name):
    rows = of([], [], groups=[])
    assert math.isnan(METRICS[name](rows))
    assert METRICS[name].measure(rows).reason == "no rows"


@pytest.mark.parametrize(("labels", "reason"), [([1, 1], "no negatives"), ([0, 0], "no positives")])
@pytest.mark.parametrize("name", ["auc", "average_precision", "normalised_entropy", "recall"])
def test_one_label_only_is_undefined_with_a_reason(name, labels, reason):
    measured = METRICS[name].measure(of(labels, [0.2, 0.3]))
    assert measured.value is None
    assert measured.reason == reason


def test_grouped_auc_without_a_mixed_group_says_so():
    measured = METRICS["grouped_auc"].measure(of([1, 0], [0.2, 0.1], groups=["a", "b"]))
    assert measured.reason == "no group has both a positive and a negative"


def test_constant_scores_rank_at_chance():
    rows = of([1, 0, 0, 1], [0.4] * 4, groups=["a"] * 4)
    assert METRICS["auc"](rows) == pytest.approx(0.5)
    assert METRICS["grouped_auc"](rows) == pytest.approx(0.5)
    assert METRICS["average_precision"](rows) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("labels", "probabilities", "weights"),
    [([1, 0], [0.1], None), ([1], [1.2], None), ([1], [math.nan], None), ([1], [0.5], [-1])],
)
def test_malformed_input_is_a_data_error(labels, probabilities, weights):
    with pytest.raises(DataError, match=r"length|Row 0"):
        of(labels, probabilities, weights)


def test_metrics_know_direction_and_range():
    for name, metric in METRICS.items():
        assert metric.name == name
        assert metric.low < metric.high
        assert metric.direction in {"higher", "lower", "zero"}
    assert METRICS["auc"].better(0.1)
    assert METRICS["log_loss"].better(-0.1)


FEW_EXAMPLES = settings(max_examples=40, deadline=None)
ROWS = st.lists(
    st.tuples(st.booleans(), st.integers(0, 20), st.integers(1, 3), st.integers(0, 3)),
    min_size=2,
    max_size=40,
)


def arrays(rows):
    label, score, weight, group = (np.array(column) for column in zip(*rows, strict=True))
    return label, score / 20, weight.astype(float), group


@FEW_EXAMPLES
@given(ROWS)
def test_a_weight_of_two_is_the_row_twice(rows):
    label, probability, weight, group = arrays(rows)
    times = weight.astype(int)
    weighted = of(label, probability, weight, groups=group)
    repeated = of(
        np.repeat(label, times), np.repeat(probability, times), groups=np.repeat(group, times)
    )
    for metric in METRICS.values():
        assert metric(weighted) == pytest.approx(metric(repeated), nan_ok=True), metric.name


@FEW_EXAMPLES
@given(ROWS)
def test_ranking_metrics_ignore_monotone_transforms(rows):
    label, probability, weight, group = arrays(rows)
    moved = probability**2 / 2 + probability / 4
    for name in ("auc", "grouped_auc", "average_precision"):
        before = METRICS[name](of(label, probability, weight, groups=group))
        after = METRICS[name](of(label, moved, weight, groups=group))
        assert before == pytest.approx(after, nan_ok=True), name


@FEW_EXAMPLES
@given(ROWS)
def test_values_lie_in_the_declared_range(rows):
    label, probability, weight, group = arrays(rows)
    for metric in METRICS.values():
        value = metric(of(label, probability, weight, groups=group))
        assert math.isnan(value) or metric.low - 1e-9 <= value <= metric.high + 1e-9, metric.name


@FEW_EXAMPLES
@given(ROWS)
def test_grouped_auc_is_the_mean_of_scikit_learns_auc_by_group(rows):
    label, probability, weight, group = arrays(rows)
    values, sizes = [], []
    for each in np.unique(group):
        part = group == each
        value = METRICS["auc"](of(label[part], probability[part], weight[part]))
        if not math.isnan(value):
            values.append(value)
            sizes.append(weight[part].sum())
    expected = np.average(values, weights=sizes) if values else math.nan
    found = METRICS["grouped_auc"](of(label, probability, weight, groups=group))
    assert found == pytest.approx(expected, nan_ok=True)
