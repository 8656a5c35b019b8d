"""The weight of a fusion's synthetic rows, chosen on real validation rows."""

from __future__ import annotations

import json

import numpy as np
import pytest

from footfall.errors import DataError, SettingError
from footfall.finetune import (
    ClickSettings,
    Examples,
    chosen_weight,
    load_examples,
    save_examples,
)
from footfall.finetune.alpha_halving import planned_trainings
from footfall.finetune.chosen_weight import choose_weight


class Counted:
    """A classifier whose log loss depends on the synthetic weight that it was trained with."""

    seen: list  # (weight of synthetic rows over that of real ones, slates, seed)

    def __init__(self, settings):
        self.seed = settings.seed

    def fit(self, rows, validation):
        assert not validation.synthetic.any()
        weight = rows.weights[rows.synthetic].mean() if rows.synthetic.any() else 0.0
        Counted.seen.append((round(float(weight), 6), len(rows), self.seed))
        # The nearer the weight is to 0.5, the surer the model is of the right labels.
        self.sure = 2.0 - abs(weight - Counted.best)
        return self

    def predict_proba(self, examples):
        odds = np.where(examples.labels, self.sure, -self.sure)
        return 1 / (1 + np.exp(-odds))


@pytest.fixture
def fused(tmp_path, text_decides, monkeypatch):
    monkeypatch.setattr(chosen_weight, "ClickModel", Counted)
    Counted.seen = []
    real, validation = text_decides(8, 1), text_decides(4, 2)
    added = text_decides(8, 3).with_column("origin", ["run-1"] * 48)
    repeated = text_decides(8, 1).with_column("origin", ["oversampled"] * 48)
    save_examples(validation, tmp_path / "validation.parquet")
    for name, rows in (("synthetic", added), ("oversampled", repeated)):
        halved = rows.with_column("weight", np.full(48, 0.5))
        save_examples(Examples.concat([real, halved]), tmp_path / f"{name}.parquet")
    return tmp_path


def test_the_best_weight_is_written_into_all_sets(fused):
    Counted.best = 0.25
    tried = {"factors": (0.5, 1.0, 2.0), "seeds": (0, 1), "budgets": (0.5, 1.0)}
    choice = choose_weight(fused, **tried)
    assert choice.alpha == 0.5
    assert planned_trainings(*tried.values()) == [(0.5, 4), (1.0, 6)]
    assert len(Counted.seen) == 10
    # On half of the slates all are tried with one seed, on all of them the better half with both.
    assert {(w, seed) for w, rows, seed in Counted.seen if rows == 48} == {
        (0.0, 0), (0.25, 0), (0.5, 0), (1.0, 0)
    }  # fmt: skip
    assert {(w, seed) for w, rows, seed in Counted.seen if rows == 96} == {
        (0.0, 0), (0.0, 1), (0.25, 0), (0.25, 1), (0.5, 0), (0.5, 1)
    }  # fmt: skip
    for name in ("synthetic", "oversampled"):
        before = load_examples(fused / f"{name}.parquet")
        after = load_examples(fused / "chosen" / f"{name}.parquet")
        assert after.weights[after.synthetic] == pytest.approx(0.25)
        assert (after.weights[~after.synthetic] == before.weights[~before.synthetic]).all()
        assert before.weights[before.synthetic] == pytest.approx(0.5)
    assert not (fused / "chosen" / "random-pairs.parquet").exists()
    told = json.loads((fused / "chosen" / "alpha.json").read_text())
    assert told["alpha"] == 0.5
    assert [rung["budget"] for rung in told["rungs"]] == [0.5, 1.0]


def test_without_a_gain_no_synthetic_row_is_left(fused):
    Counted.best = 0.0
    choice = choose_weight(fused, factors=(0.5, 1.0), seeds=(0, 1), budgets=(1.0,))
    assert choice.alpha == 0
    assert choice.gain < 0
    for name in ("synthetic", "oversampled"):
        after = load_examples(fused / "chosen" / f"{name}.parquet")
        assert len(after) == 48
        assert not after.synthetic.any()


def test_without_synthetic_rows_there_is_nothing_to_choose(fused, text_decides):
    save_examples(text_decides(8, 1), fused / "synthetic.parquet")
    with pytest.raises(DataError, match="no synthetic row"):
        choose_weight(fused)
    (fused / "validation.parquet").unlink()
    with pytest.raises(DataError, match=r"validation\.parquet"):
        choose_weight(fused)
    assert not (fused / "chosen").exists()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"factors": (0.0,)}, "factors"),
        ({"budgets": (0.5, 2.0)}, "budgets"),
        ({"settings": ClickSettings(report_to="tensorboard")}, "report_to"),
    ],
)
def test_what_makes_no_choice_is_refused_before_any_training(fused, wrong, said):
    with pytest.raises(SettingError, match=said):
        choose_weight(fused, **wrong)
    assert Counted.seen == []
