"""Tuning small random models: it learns, merges, saves and resumes."""

from __future__ import annotations

import json
import shutil
import warnings
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from small_shop import day
from tuning_parts import clicks_log, tiny_model

from footfall.errors import TrainingError
from footfall.finetune.tuning import read_tuning_card, tune_model
from footfall.finetune.tuning_settings import TuningSettings
from footfall.simulator.engines.bundled import model_hash
from footfall.simulator.engines.tuned import served_folder
from footfall.simulator.log import Log

torch = pytest.importorskip("torch")
pytest.importorskip("peft")
pytestmark = pytest.mark.train

UNTIL: datetime = day(50)


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    """Small matrices are quicker without threads that wait for one another."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def _settings(model: str, **more) -> TuningSettings:
    values = {
        "model": model,
        "queries": 40,
        "choices": 40,
        "page_size": 4,
        "epochs": 6.0,
        "batch_tokens": 512,
        "learning_rate": 5e-3,
        "dropout": 0.1,
        "rank": 4,
        "alpha": 8.0,
        "serving": "merged",
        "evaluations": 3,
        # Merged weights are rounded to the type they are tuned in: bfloat16 on some processors.
        "dtype": "float32",
    }
    return TuningSettings(**values | more)


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    shop = clicks_log(tmp_path_factory.mktemp("log") / "shop.duckdb")
    yield shop.log
    shop.log.close()


@pytest.mark.parametrize("kind", ["llama", "gpt2", "qwen2"])
def test_it_learns_and_the_merged_weights_are_base_and_adapter(
    kind: str, log: Log, tmp_path: Path
) -> None:
    base = tiny_model(tmp_path / "base", kind)
    card = tune_model(log, tmp_path / "tuned", until=UNTIL, settings=_settings(base))
    assert card.after.query < card.before.query - 0.5
    assert card.after.total < card.before.total - 1.0
    assert card.kept.startswith("step")
    assert card.candidates == "reconstructed"
    assert card.base_hash == model_hash(base)
    assert (card.until, card.part) == (UNTIL.isoformat(), None)
    assert read_tuning_card(tmp_path / "tuned") == card
    assert not (tmp_path / "tuned" / "checkpoints").exists()

    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        merged = AutoModelForCausalLM.from_pretrained(tmp_path / "tuned", dtype=torch.float32)
        plain = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
        beside = PeftModel.from_pretrained(
            AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32),
            tmp_path / "tuned" / "adapter",
        )
        ids = AutoTokenizer.from_pretrained(tmp_path / "tuned")("Query:", return_tensors="pt")
    assert merged.config.use_cache == plain.config.use_cache is True
    with torch.no_grad():
        values = [model.eval()(ids["input_ids"]).logits for model in (merged, beside, plain)]
    assert torch.allclose(values[0], values[1], atol=1e-4)
    assert float((values[0] - values[2]).abs().max()) > 0.1


def test_a_resumed_tuning_ends_as_an_undisturbed_one(
    log: Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from footfall.finetune import tuning_trainer

    base = tiny_model(tmp_path / "base", "llama")
    settings = _settings(base)
    whole = tune_model(log, tmp_path / "whole", until=UNTIL, settings=settings)

    class PowerCutError(Exception):
        """The power goes out."""

    real, calls = tuning_trainer.answer_loss, []

    def interrupted(model, batch):
        calls.append(1)
        if len(calls) > 2 + 0.7 * whole.steps:
            raise PowerCutError
        return real(model, batch)

    monkeypatch.setattr(tuning_trainer, "answer_loss", interrupted)
    with pytest.raises(PowerCutError):
        tune_model(log, tmp_path / "cut", until=UNTIL, settings=settings)
    monkeypatch.undo()
    assert not (tmp_path / "cut" / "config.json").exists()
    with pytest.raises(TrainingError, match="other settings") as caught:
        tune_model(
            log, tmp_path / "cut", until=UNTIL, settings=_settings(base, seed=1), resume=True
        )
    assert caught.value.hint
    resumed = tune_model(log, tmp_path / "cut", until=UNTIL, settings=settings, resume=True)
    assert resumed.steps == whole.steps
    assert resumed.after == whole.after
    assert _weights(tmp_path / "cut") == _weights(tmp_path / "whole")
    # Once finished, nothing is done again, and nothing is overwritten by mistake.
    again = tune_model(log, tmp_path / "cut", until=UNTIL, settings=settings, resume=True)
    assert again == resumed
    with pytest.raises(TrainingError, match="already"):
        tune_model(log, tmp_path / "cut", until=UNTIL, settings=settings)
    shutil.rmtree(tmp_path / "cut")


def _weights(folder: Path) -> str:
    return model_hash(folder / "adapter")


def test_where_nothing_is_learned_the_base_is_kept(log: Log, tmp_path: Path) -> None:
    """A rate that ruins the model: validation says that the start was better."""
    base = tiny_model(tmp_path / "base", "llama")
    settings = _settings(base, learning_rate=1.0, epochs=1.0, evaluations=1)
    card = tune_model(log, tmp_path / "tuned", until=UNTIL, settings=settings)
    assert card.kept == "start"
    assert card.after == card.before
    from safetensors.numpy import load_file

    adapter = load_file(tmp_path / "tuned" / "adapter" / "adapter_model.safetensors")
    assert all(np.all(value == 0) for name, value in adapter.items() if "lora_B" in name)


def test_the_card_names_the_training_part_that_the_log_is(tmp_path: Path) -> None:
    base = tiny_model(tmp_path / "base", "llama")
    shop = clicks_log(tmp_path / "part.duckdb")
    shop.log.start_run("cut", "part", {"part": "this-part"}, seed=0)
    settings = _settings(base, epochs=1.0, evaluations=1)
    card = tune_model(shop.log, tmp_path / "tuned", settings=settings)
    shop.log.close()
    assert (card.until, card.part) == (None, "this-part")
    assert served_folder(str(tmp_path / "tuned"), "card").part == "this-part"


def test_a_loss_that_is_no_number_is_an_error(log: Log, tmp_path: Path) -> None:
    base = tiny_model(tmp_path / "base", "llama")
    settings = _settings(base, learning_rate=1e6, epochs=1.0, evaluations=1)
    with pytest.raises(TrainingError, match="not finite") as caught:
        tune_model(log, tmp_path / "tuned", until=UNTIL, settings=settings)
    assert "learning_rate" in caught.value.hint
    assert not (tmp_path / "tuned" / "config.json").exists()


def test_a_time_limit_ends_with_what_was_learned_by_then(log: Log, tmp_path: Path) -> None:
    base = tiny_model(tmp_path / "base", "llama")
    settings = _settings(base, epochs=1000.0, max_minutes=0.02)
    card = tune_model(log, tmp_path / "tuned", until=UNTIL, settings=settings)
    assert 1 <= card.steps < card.planned_steps
    assert card.seconds < 60
    assert json.loads((tmp_path / "tuned" / "config.json").read_text())["model_type"] == "llama"
