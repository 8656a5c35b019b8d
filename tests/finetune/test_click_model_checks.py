from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from pydantic import ValidationError
from small_shop import build

from footfall.errors import (
    EmptyLogError,
    InputError,
    MissingPartError,
    NoResponseError,
    TrainingError,
)
from footfall.finetune import ClickModel, ClickSettings, click_model, model_files

BOTH = [{"label": True}, {"label": False}]


@pytest.fixture
def no_models(monkeypatch):
    """Bad input must be found before any model is looked for."""

    def fail():
        raise AssertionError("the packages were looked for first")

    monkeypatch.setattr(click_model, "check_parts", fail)


def test_bad_rows_are_found_before_models_are_loaded(no_models):
    model = ClickModel()
    with pytest.raises(EmptyLogError):
        model.fit(build([]))
    with pytest.raises(EmptyLogError):
        model.fit(build([row | {"weight": 0.0} for row in BOTH]))
    with pytest.raises(NoResponseError, match="False"):
        model.fit(build([{"label": False}] * 3))
    with pytest.raises(NoResponseError, match="True"):
        model.fit(build([{"label": True}] * 3))
    with pytest.raises(NoResponseError, match="validation"):
        model.fit(build(BOTH), build([{"label": True}]))
    with pytest.raises(InputError, match="synthetic"):
        model.fit(build(BOTH), build([row | {"origin": "run"} for row in BOTH]))


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(model_files, "find_spec", lambda name: None if name == "peft" else True)
    with pytest.raises(MissingPartError, match=r"peft.*pip install"):
        ClickModel().fit(build(BOTH))


def test_an_untrained_model_neither_predicts_nor_saves(tmp_path):
    with pytest.raises(TrainingError, match="not been trained"):
        ClickModel().predict_proba(build(BOTH))
    with pytest.raises(TrainingError, match="not been trained"):
        ClickModel().save(tmp_path / "model")


def test_loading_what_is_no_model(tmp_path):
    with pytest.raises(InputError, match="does not hold"):
        ClickModel.load(tmp_path)


@pytest.mark.parametrize(
    "wrong",
    [
        {"tuning": "ia4"},
        {"learning_rate": 0},
        {"rank": 4},
        {"dropout": 1.0},
        {"features": ["colour"]},
        {"features": ["price_log", "price_log"]},
        {"tuning": "prefix", "trained_layers": 1},
        {"tuning": "none", "trained_layers": 1},
    ],
)
def test_wrong_settings(wrong):
    with pytest.raises(ValidationError):
        ClickSettings(**wrong)


def test_every_setting_has_a_sentence():
    for name, field in ClickSettings.model_fields.items():
        assert field.description, name
        assert field.description.endswith("."), name


def test_importing_the_room_loads_nothing_heavy():
    program = (
        "import sys, footfall.finetune as f; f.ClickModel, f.read_examples, f.FusionSettings;"
        "import footfall.finetune.fuse;"
        "print([m for m in ('torch', 'transformers', 'peft', 'sklearn') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_probability_of_extreme_log_odds_stays_inside(monkeypatch):
    model = ClickModel()
    monkeypatch.setattr(model, "predict_log_odds", lambda examples: np.array([-900.0, 0.0, 900.0]))
    probability = model.predict_proba(build([]))
    assert (probability > 0).all()
    assert (probability < 1).all()
    assert probability[1] == 0.5
