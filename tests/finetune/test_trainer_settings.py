"""That what the settings say of training is what the trainer does."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("peft")

import torch
from scipy.special import logit
from tiny_models import save_tiny_model

from footfall.finetune import ClickModel, ClickSettings, click_task, training
from footfall.finetune.network import TwoTowers
from footfall.finetune.prediction import predict_log_odds

pytestmark = pytest.mark.train

BRIEF = ClickSettings(
    batch_size=24, epochs=2, learning_rate=1e-2, evaluations=10, device="cpu", max_tokens=48
)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return save_tiny_model(tmp_path_factory.mktemp("encoder") / "bert")


def settings_of(encoder, **changes):
    return ClickSettings.model_validate(BRIEF.model_dump() | {"encoder": encoder, **changes})


@pytest.fixture
def trainers(monkeypatch):
    """The trainers that are made, with every step's learning rate of the encoder."""
    made: list[Any] = []
    make = training._trainer

    class Rates(training.TrainerCallback):
        def on_step_begin(self, args, state, control, optimizer=None, **_):
            made[-1].rates.append(optimizer.param_groups[0]["lr"])

    def kept(*arguments):
        trainer = make(*arguments)
        trainer.rates = []
        trainer.add_callback(Rates())
        made.append(trainer)
        return trainer

    monkeypatch.setattr(training, "_trainer", kept)
    return made


@pytest.mark.parametrize(("name", "kind"), [("adamw", torch.optim.AdamW), ("sgd", torch.optim.SGD)])
def test_the_optimizer_decays_the_encoder_s_weights_alone(
    encoder, text_decides, trainers, name, kind
):
    settings = settings_of(
        encoder, optimizer=name, weight_decay=0.07, head_learning_rate=0.03, max_steps=1
    )
    ClickModel(settings).fit(text_decides(8, 1))
    optimizer = trainers[0].optimizer
    assert isinstance(getattr(optimizer, "optimizer", optimizer), kind)
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.07, 0.0]
    assert [group["initial_lr"] for group in optimizer.param_groups] == [0.01, 0.03]
    if name == "sgd":
        assert {group["momentum"] for group in optimizer.param_groups} == {0.9}


@pytest.mark.parametrize(
    ("schedule", "shares"),
    [
        ("constant", [0.0, 0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]),
        ("linear", [0.0, 0.5, *(1 - n / 6 for n in range(6))]),
        ("cosine", [0.0, 0.5, *(0.5 * (1 + np.cos(np.pi * n / 6)) for n in range(6))]),
    ],
)
def test_the_learning_rate_warms_up_and_follows_the_schedule(
    encoder, text_decides, trainers, schedule, shares
):
    settings = settings_of(encoder, schedule=schedule, warmup_share=0.25, max_steps=8)
    ClickModel(settings).fit(text_decides(32, 1))
    assert trainers[0].rates == pytest.approx([0.01 * share for share in shares])


def against(rows):
    """The same rows with the other labels: what training learns is wrong there."""
    return rows.with_column("label", ~rows.labels)


@pytest.mark.parametrize("patience", [1, 3])
def test_training_stops_where_validation_gets_worse_and_keeps_the_best(
    encoder, text_decides, monkeypatch, patience
):
    losses = iter([0.9, 0.5, 0.6, 0.7, 0.8, *[0.4] * 20])
    measured = []

    def told(network, validation):
        measured.append(predict_log_odds(network, validation).copy())
        return {"loss": next(losses), "auc": 0.5 + len(measured) / 100}

    monkeypatch.setattr(click_task, "validation_metrics", told)
    settings = settings_of(encoder, max_steps=10, patience=patience)
    validation = text_decides(10, 2)
    model = ClickModel(settings).fit(text_decides(40, 1), validation)
    figures = model.card["training"]
    # After the start 0.5 is the best, and then it gets worse.
    assert (figures["planned_steps"], figures["steps"]) == (10, 1 + patience)
    assert (figures["start_log_loss"], figures["best_log_loss"]) == (0.9, 0.5)
    assert (figures["start_metrics"], figures["best_metrics"]) == ({"auc": 0.51}, {"auc": 0.52})
    odds = logit(model.predict_proba(validation))
    assert odds == pytest.approx(measured[1], abs=1e-5)
    assert odds != pytest.approx(measured[-1], abs=1e-5)


def test_where_nothing_is_better_than_the_start_the_start_is_kept(
    encoder, text_decides, monkeypatch
):
    losses = iter([0.3, 0.5, 0.4, 0.6, 0.7, 0.8])
    monkeypatch.setattr(click_task, "validation_metrics", lambda *_: {"loss": next(losses)})
    settings = settings_of(encoder, max_steps=10, patience=2)
    model = ClickModel(settings).fit(text_decides(40, 1), text_decides(10, 2))
    assert model.card["training"]["kept"] == "start"
    assert model.card["training"]["steps"] == 4


@pytest.mark.parametrize("grouped", [True, False])
def test_batches_are_grouped_by_the_lengths_of_the_texts(
    encoder, text_decides, monkeypatch, grouped
):
    given = []
    sampler = click_task.SlateSampler

    def seen(slates, seed, **options):
        given.append(options)
        return sampler(slates, seed, **options)

    monkeypatch.setattr(click_task, "SlateSampler", seen)
    settings = settings_of(encoder, length_grouped=grouped, max_steps=2)
    ClickModel(settings).fit(text_decides(20, 1))
    assert given
    for options in given:
        assert options["batch"] == 24
        if grouped:
            assert len(set(options["lengths"].tolist())) > 1
        else:
            assert options["lengths"] is None


@pytest.mark.parametrize("tuning", ["lora", "adalora"])
def test_an_interrupted_training_goes_on_to_the_same_model(
    encoder, text_decides, tmp_path, monkeypatch, tuning
):
    settings = settings_of(encoder, tuning=tuning, max_steps=10, lora_rank=4, patience=20)
    rows, validation, held_out = text_decides(40, 1), text_decides(20, 2), text_decides(10, 3)
    whole = ClickModel(settings).fit(rows, validation, tmp_path / "whole").predict_proba(held_out)

    def broken_off(watch, args, state, control, **_):
        if state.global_step == 7:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(training._Watch, "on_step_end", broken_off)
        with pytest.raises(KeyboardInterrupt):
            ClickModel(settings).fit(rows, validation, tmp_path / "again")
    resumed = ClickModel(settings).fit(rows, validation, tmp_path / "again", resume=True)
    assert resumed.card["training"]["resumed_at_step"] == 6
    assert resumed.predict_proba(held_out) == pytest.approx(whole, abs=1e-6)


def test_a_training_that_had_stopped_stops_when_it_is_resumed(
    encoder, text_decides, tmp_path, monkeypatch
):
    rows, held_out = text_decides(60, 1), text_decides(10, 3)
    settings = settings_of(encoder, max_steps=20, evaluations=20, patience=1)
    whole = ClickModel(settings).fit(rows, against(rows), tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(training, "_keep_best", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            ClickModel(settings).fit(rows, against(rows), tmp_path / "again")
    resumed = ClickModel(settings).fit(rows, against(rows), tmp_path / "again", resume=True)
    for metrics in ("start_metrics", "best_metrics"):
        assert resumed.card["training"][metrics] == whole.card["training"][metrics] != {}
    assert whole.card["training"]["steps"] < 19
    assert resumed.card["training"]["steps"] == whole.card["training"]["steps"] + 1
    assert resumed.predict_proba(held_out) == pytest.approx(whole.predict_proba(held_out))


def test_half_the_bits_train_nearly_the_same_model(encoder, text_decides, monkeypatch):
    rows, validation, held_out = text_decides(60, 1), text_decides(20, 2), text_decides(10, 3)
    seen = []
    read = TwoTowers.read

    def spied(network, chunks):
        found = read(network, chunks)
        seen.append((network.training, torch.is_autocast_enabled("cpu")))
        return found

    monkeypatch.setattr(TwoTowers, "read", spied)
    settings = settings_of(encoder, max_steps=12, evaluations=2, precision="bfloat16")
    half = ClickModel(settings).fit(rows, validation)
    assert (True, True) in seen
    # Steps alone: what is judged and scored has all bits.
    assert {mixed for training, mixed in seen if not training} == {False}
    whole = ClickModel(settings.model_copy(update={"precision": "float32"})).fit(rows, validation)
    scores = [model.predict_proba(held_out) for model in (half, whole)]
    assert np.abs(scores[0] - scores[1]).max() < 0.05
    assert (scores[0] != scores[1]).any()
    assert {value.dtype for value in half._network.parameters()} == {torch.float32}
    assert (pickle.loads(pickle.dumps(half)).predict_proba(held_out) == scores[0]).all()


def test_a_model_of_an_encoder_in_a_folder_is_loaded_from_elsewhere(
    encoder, text_decides, tmp_path, monkeypatch
):
    rows = text_decides(10, 1)
    monkeypatch.chdir(Path(encoder).parent)
    settings = settings_of(Path(encoder).name, max_steps=1)
    model = ClickModel(settings).fit(rows, folder=tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    again = ClickModel.load(tmp_path / "model")
    assert again.predict_log_odds(rows) == pytest.approx(model.predict_log_odds(rows), abs=1e-6)
