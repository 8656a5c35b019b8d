"""Several processes that train one model, as `accelerate launch` and `torchrun` start them."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytest.importorskip("torch")
pytest.importorskip("peft")

from tiny_models import save_tiny_model
from transformers import TrainingArguments

from footfall.errors import TrainingError
from footfall.finetune import ClickModel, ClickSettings, save_examples
from footfall.finetune import training_folder as into
from footfall.finetune.processes import one_device

pytestmark = pytest.mark.train


def settings_of(encoder, batch):
    # Without dropout, what is learnt depends on which rows meet in a step, and on nothing else.
    return ClickSettings(
        encoder=encoder,
        batch_size=batch,
        epochs=2,
        learning_rate=1e-2,
        evaluations=2,
        dropout=0.0,
        device="cpu",
        max_tokens=24,
    )


def test_two_processes_learn_what_one_does_with_twice_the_batch(text_decides, tmp_path):
    encoder = save_tiny_model(tmp_path / "bert")
    train, validation, held_out = text_decides(40, 1), text_decides(10, 2), text_decides(10, 3)
    save_examples(train, tmp_path / "train.parquet")
    save_examples(validation, tmp_path / "validation.parquet")
    settings = settings_of(encoder, 12)
    (tmp_path / "settings.toml").write_text(
        "[training]\n"
        + "\n".join(
            f"{name} = {json.dumps(value)}"
            for name, value in settings.model_dump(exclude_defaults=True).items()
        )
    )
    launched = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
         "-m", "footfall", "train", "train.parquet", "model", "--validation", "validation.parquet",
         "--settings", "settings.toml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )  # fmt: skip
    assert launched.returncode == 0, launched.stderr
    # One of them speaks and writes.
    assert launched.stdout.count("Model in model") == 1
    assert not (tmp_path / "model.checkpoints").exists()
    both = ClickModel.load(tmp_path / "model")
    figures = both.card["training"]
    assert figures["processes"] == 2
    assert figures["steps"] == 20
    alone = ClickModel(settings_of(encoder, 24)).fit(train, validation)
    assert alone.card["training"]["processes"] == 1
    expected = alone.predict_log_odds(held_out)
    assert both.predict_log_odds(held_out) == pytest.approx(expected, abs=1e-3)
    start = ClickModel(settings_of(encoder, 24).model_copy(update={"learning_rate": 1e-9}))
    untrained = start.fit(train, validation).predict_log_odds(held_out)
    assert untrained != pytest.approx(expected, abs=1e-2)


def test_several_processes_need_a_folder(monkeypatch):
    monkeypatch.setattr(into, "process_count", lambda device: 2)
    with pytest.raises(TrainingError, match=r"Several processes.*no folder"):
        into.train_into(None, "cpu", lambda _: pytest.fail("trained"), lambda _: None)


@pytest.mark.parametrize(("seen", "used"), [(0, 0), (1, 1), (4, 1)])
def test_a_process_uses_one_device_however_many_it_sees(seen, used, tmp_path):
    arguments = TrainingArguments(output_dir=str(tmp_path), use_cpu=True)
    arguments._n_gpu = seen
    assert one_device(arguments).n_gpu == used
    assert arguments.train_batch_size == arguments.per_device_train_batch_size
