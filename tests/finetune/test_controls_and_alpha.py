from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_shop import build

from footfall.errors import (
    DataError,
    EmptyLogError,
    NoResponseError,
    SettingError,
    TrainingError,
)
from footfall.finetune import choose_alpha, oversample_real, random_pairs, validation_log_loss
from footfall.finetune.example_table import Examples


def slates(count, size=4):
    return build(
        [
            {
                "search_id": f"r{n}",
                "user_id": f"u{n % 3}",
                "item_id": f"i{k}",
                "item_text": f"item {k}",
                "shopper_text": f"shopper {n % 3}",
                "shopper_demographics": f'{{"age": "{n % 3}"}}',
                "query": f"q{n}" if n % 2 else None,
                "has_query": float(n % 2),
                "label": k == 0,
                "price_log": float(k),
            }
            for n in range(count)
            for k in range(size)
        ]
    )


@settings(max_examples=25, deadline=None)
@given(count=st.integers(0, 60), seed=st.integers(0, 5))
def test_controls_have_equal_volume_and_say_what_they_are(count, seed):
    real = slates(5)
    for make, origin in ((oversample_real, "control:oversample"), (random_pairs, "control:random")):
        control = make(real, count, seed)
        assert len(control) == count
        assert control.table.equals(make(real, count, seed).table)
        if count:
            assert set(control.column("origin")) == {origin}
            assert not set(control.column("example_id")) & set(real.column("example_id"))
            assert not set(control.column("search_id")) & set(real.column("search_id"))
            assert control.synthetic.all()


def test_oversampling_copies_whole_slates():
    real = slates(6)
    control = oversample_real(real, 12, 0)
    for number in np.unique(control.slate_numbers()):
        slate = control.take(control.slate_numbers() == number)
        assert slate.column("item_id").tolist() == ["i0", "i1", "i2", "i3"]
        assert slate.labels.tolist() == [True, False, False, False]
        assert len(set(slate.column("shopper_text"))) == 1


def test_random_pairs_keep_the_response_rate_and_break_the_link():
    real = slates(50)
    control = random_pairs(real, 4000, 0)
    assert control.labels.mean() == pytest.approx(0.25, abs=0.03)
    first = control.column("item_id") == "i0"
    assert control.labels[first].mean() == pytest.approx(0.25, abs=0.06)
    # An item keeps its own numbers, a shopper their own query flag.
    assert set(control.column("price_log")[first]) == {0.0}
    asked = control.table["query"].is_valid().to_numpy()
    assert (control.column("has_query") == asked).all()
    ages = [f'{{"age": "{user[1:]}"}}' for user in control.column("user_id")]
    assert control.column("shopper_demographics").tolist() == ages


def test_controls_refuse_nonsense():
    with pytest.raises(SettingError):
        oversample_real(slates(1), -1, 0)
    with pytest.raises(EmptyLogError):
        random_pairs(build([]), 3, 0)


def test_alpha_with_the_lowest_mean_wins():
    scores = {0.0: [0.5, 0.5], 0.25: [0.3, 0.5], 0.5: [0.2, 0.7], 1.0: [0.9, 0.9]}
    choice = choose_alpha(
        lambda alpha, seed: scores[alpha][seed], lambda model: model, seeds=(0, 1)
    )
    assert choice.alpha == 0.25
    assert choice.means == pytest.approx((0.5, 0.4, 0.45, 0.9))
    assert choice.alphas == (0.0, 0.25, 0.5, 1.0)


def test_zero_wins_ties():
    assert choose_alpha(lambda alpha, seed: 1.0, lambda model: model).alpha == 0.0


def test_alpha_needs_candidates_and_finite_scores():
    with pytest.raises(SettingError):
        choose_alpha(lambda alpha, seed: 1.0, lambda model: model, alphas=())
    with pytest.raises(SettingError):
        choose_alpha(lambda alpha, seed: 1.0, lambda model: model, alphas=(-1.0,))
    with pytest.raises(TrainingError, match="alpha 0"):
        choose_alpha(lambda alpha, seed: float("nan"), lambda model: model)


class Certain:
    def predict_proba(self, examples):
        return np.full(len(examples), 0.25)


def test_validation_log_loss_by_hand():
    validation = build([{"label": True, "weight": 3.0}, {"label": False}])
    expected = -(3 * np.log(0.25) + np.log(0.75)) / 4
    assert validation_log_loss(validation)(Certain()) == pytest.approx(expected)


def test_validation_must_be_real_and_have_both_labels():
    with pytest.raises(DataError):
        validation_log_loss(build([{"label": True, "origin": "run"}, {"label": False}]))
    with pytest.raises(NoResponseError):
        validation_log_loss(build([{"label": True}]))


def test_example_table_checks_columns():
    whole = slates(1)
    with pytest.raises(DataError, match="label"):
        Examples(whole.table.drop_columns(["label"]))
    table = whole.table.drop_columns(["weight"]).append_column("weight", [["heavy"] * 4])
    with pytest.raises(DataError, match="type"):
        Examples(table)


def test_score_table():
    table = slates(1).score_table(np.array([0.1, 0.2, 0.3, 0.4]))
    assert table.column_names == [
        "label",
        "probability",
        "group",
        "user_id",
        "weight",
        "item_cold",
        "user_cold",
    ]
    assert table["group"].to_pylist() == ["r0"] * 4
