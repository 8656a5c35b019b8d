from __future__ import annotations

import re

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("peft")

import torch
from tiny_models import save_tiny_model

from footfall.errors import SettingError
from footfall.finetune import ClickModel, ClickSettings, hidden_states
from footfall.finetune.hidden_states import STATES, StateCache
from footfall.finetune.layer_split import LayerSplit
from footfall.finetune.network import build_network

pytestmark = pytest.mark.train

BRIEF = ClickSettings(
    trained_layers=1,
    batch_size=24,
    epochs=2,
    learning_rate=1e-2,
    evaluations=2,
    device="cpu",
    max_tokens=16,
)


@pytest.fixture(autouse=True)
def _nothing_kept():
    STATES.clear()
    yield
    STATES.clear()


def chunk(seed=0):
    ids = torch.from_numpy(np.random.default_rng(seed).integers(4, 90, (5, 12)))
    mask = (torch.arange(12) < torch.tensor([12, 3, 7, 1, 9])[:, None]).long()
    return ids * mask, mask


@pytest.mark.parametrize("kind", ["bert", "roberta", "electra", "distilbert", "llama", "qwen2"])
@pytest.mark.parametrize("trained", [1, 2, 3])
def test_two_halves_are_the_whole(tmp_path, kind, trained):
    settings = BRIEF.model_copy(
        update={
            "encoder": save_tiny_model(tmp_path, kind),
            "trained_layers": trained,
            "tuning": "full" if kind == "distilbert" else "lora",
        }
    )
    network = build_network(settings, 6).eval()
    with torch.no_grad():
        for value in network.encoder_parameters():
            value.add_(torch.randn_like(value) * 0.3)
    ids, mask = chunk()
    whole = network.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
    entering, _ = network.split.lower(ids, mask)
    kept = mask.bool()
    assert torch.allclose(network.split.upper(entering, mask)[kept], whole[kept], atol=1e-5)
    assert not torch.allclose(entering[kept], whole[kept], atol=1e-2)
    adapted = {
        re.search(r"layers?\.(\d)", name)[1]
        for name, value in network.named_parameters()
        if value.requires_grad and name.startswith("encoder.")
    }
    assert adapted == {str(n) for n in range(3 - trained, 3)}


def test_the_whole_forward_pass_gives_the_same_log_odds(text_decides, tmp_path):
    settings = BRIEF.model_copy(update={"encoder": save_tiny_model(tmp_path / "encoder")})
    model = ClickModel(settings).fit(text_decides(30, 1), text_decides(10, 2))
    held_out = text_decides(20, 3)
    halves = model.predict_log_odds(held_out)
    model._network.split = None
    assert np.ptp(halves) > 0.1
    assert model.predict_log_odds(held_out) == pytest.approx(halves, abs=1e-5)


@pytest.mark.parametrize("tuning", ["lora", "full"])
def test_training_without_memory_gives_the_same_model(text_decides, tmp_path, tuning):
    encoder = save_tiny_model(tmp_path / "encoder")
    train, validation, held_out = (text_decides(n, n) for n in (30, 10, 20))
    found = {}
    for memory in (1.0, 0.0):
        STATES.clear()
        settings = BRIEF.model_copy(
            update={"encoder": encoder, "state_memory": memory, "tuning": tuning}
        )
        model = ClickModel(settings).fit(train, validation, tmp_path / f"{tuning} {memory}")
        assert (len(STATES) > 0) == (memory > 0)
        found[memory] = model.predict_log_odds(held_out)
        loaded = ClickModel.load(tmp_path / f"{tuning} {memory}")
        assert loaded.predict_log_odds(held_out) == pytest.approx(found[memory], abs=1e-5)
    assert found[0.0] == pytest.approx(found[1.0], abs=1e-4)


def test_models_share_what_was_read(text_decides, tmp_path, monkeypatch):
    settings = BRIEF.model_copy(update={"encoder": save_tiny_model(tmp_path / "encoder")})
    read = []
    original = LayerSplit.lower

    def counted(self, ids, mask):
        read.append(len(ids))
        return original(self, ids, mask)

    monkeypatch.setattr(LayerSplit, "lower", counted)
    train = text_decides(30, 1)
    ClickModel(settings).fit(train)
    texts = len(set(train.column("shopper_text")) | set(train.column("item_text")))
    assert sum(read) == texts == len(STATES)
    ClickModel(settings.model_copy(update={"seed": 1})).fit(train).predict_proba(train)
    assert sum(read) == texts
    # Another number of trained layers, or another encoder, shares nothing.
    ClickModel(settings.model_copy(update={"trained_layers": 2})).fit(train)
    assert sum(read) == 2 * texts
    other = save_tiny_model(tmp_path / "other", seed=1)
    ClickModel(settings.model_copy(update={"encoder": other})).fit(train)
    assert sum(read) == 3 * texts


def test_the_least_recently_used_states_go_first():
    row = np.zeros((1, 2), np.float32)
    cache = StateCache(3 * row.nbytes)
    for text in "abc":
        cache.put(("model", text), row)
    cache.get(("model", "a"))
    cache.put(("model", "d"), row)
    assert [cache.get(("model", text)) is not None for text in "abcd"] == [True, False, True, True]
    assert cache.size == 3 * row.nbytes
    cache.put(("model", "large"), np.zeros((9, 2), np.float32))
    assert len(cache) == 3
    cache.set_limit(row.nbytes)
    assert len(cache) == 1
    assert cache.get(("model", "d")) is not None


def test_lower_layers_stand_still_and_drop_nothing(tmp_path):
    settings = BRIEF.model_copy(
        update={"encoder": save_tiny_model(tmp_path), "tuning": "full", "dropout": 0.5}
    )
    network = build_network(settings, 6).train()
    trained = {name for name, p in network.encoder.named_parameters() if p.requires_grad}
    assert {name.split(".")[2] for name in trained if "layer." in name} == {"2"}
    assert not any("embeddings" in name for name in trained)
    ids, mask = chunk()
    entering, _ = network.split.lower(ids, mask)
    assert (network.split.lower(ids, mask)[0] == entering).all()
    assert (network.split.upper(entering, mask) != network.split.upper(entering, mask)).any()


def test_what_cannot_be_cut_is_told(tmp_path):
    with pytest.raises(SettingError, match=r"'gpt2'.*trained_layers = 0"):
        build_network(BRIEF.model_copy(update={"encoder": save_tiny_model(tmp_path, "gpt2")}), 6)
    encoder = save_tiny_model(tmp_path / "bert")
    with pytest.raises(SettingError, match="has 3 layers"):
        build_network(BRIEF.model_copy(update={"encoder": encoder, "trained_layers": 4}), 6)


def test_many_texts_show_progress(text_decides, tmp_path, monkeypatch):
    shown = []
    original = hidden_states.track
    monkeypatch.setattr(hidden_states, "_SHOWN_FROM", 1)
    monkeypatch.setattr(
        hidden_states, "track", lambda words, total: shown.append(total) or original(words, total)
    )
    settings = BRIEF.model_copy(update={"encoder": save_tiny_model(tmp_path / "encoder")})
    ClickModel(settings).fit(text_decides(10, 1))
    assert len(shown) == 1
    assert shown[0] == len(STATES)
