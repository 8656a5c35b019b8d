"""Every way of tuning on every family of models, tiny and randomly initialised."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("peft")

import torch
from tiny_models import DECODERS, ENCODERS, save_tiny_model

from footfall.errors import SettingError
from footfall.finetune import ClickModel, ClickSettings
from footfall.finetune.backbone import load_tokenizer, pool, pooling_of
from footfall.finetune.batches import TokenTable
from footfall.finetune.hidden_states import STATES
from footfall.finetune.network import build_network

pytestmark = pytest.mark.train

BRIEF = ClickSettings(
    batch_size=24,
    max_steps=6,
    epochs=9,
    learning_rate=2e-2,
    evaluations=2,
    device="cpu",
    max_tokens=24,
)
TUNINGS = ("lora", "adalora", "ia3", "prefix", "full", "none")
#: Models that take no keys and values from outside.
NO_PREFIX = ("mpnet", "distilbert")


@pytest.fixture(scope="module")
def encoder_of(tmp_path_factory):
    folder = tmp_path_factory.mktemp("encoders")
    return lambda kind: save_tiny_model(folder / kind, kind)


def settings_of(encoder, **changes):
    return BRIEF.model_copy(update={"encoder": encoder, **changes})


@pytest.mark.parametrize("kind", [*ENCODERS, *DECODERS])
@pytest.mark.parametrize("tuning", TUNINGS)
def test_what_is_trained_moves_and_is_saved(kind, tuning, encoder_of, text_decides, tmp_path):
    settings = settings_of(encoder_of(kind), tuning=tuning)
    train, held_out = text_decides(20, 1), text_decides(8, 3)
    if tuning == "prefix" and kind in NO_PREFIX:
        with pytest.raises(SettingError, match="no prefix"):
            ClickModel(settings).fit(train)
        return
    torch.manual_seed(0)
    fresh = build_network(settings, 7, steps=6)
    model = ClickModel(settings).fit(train, folder=tmp_path / "model")
    before = dict(fresh.encoder.named_parameters())
    moved = {
        name
        for name, value in model._network.encoder.named_parameters()
        if not torch.equal(value, before[name])
    }
    assert bool(moved) == (tuning != "none")
    if tuning not in {"full", "none"}:
        assert all(name.split(".")[-1] in {"default", "weight"} for name in moved)
        marks = {"lora": "lora_", "adalora": "lora_", "ia3": "ia3_l", "prefix": "prompt_encoder"}
        assert all(marks[tuning] in name for name in moved)
    again = ClickModel.load(tmp_path / "model")
    expected = model.predict_log_odds(held_out)
    assert np.ptp(expected) > 0
    assert again.predict_log_odds(held_out) == pytest.approx(expected, abs=1e-5)
    assert (tmp_path / "model" / "adapter").exists() == (tuning not in {"full", "none"})


@pytest.mark.parametrize("tuning", ["lora", "ia3"])
@pytest.mark.parametrize("kind", ["albert", "smollm3", "phi3"])
def test_types_in_no_table_are_adapted_by_the_usual_names(
    kind, tuning, encoder_of, text_decides, tmp_path
):
    settings = settings_of(encoder_of(kind), tuning=tuning, max_steps=2)
    train, held_out = text_decides(10, 1), text_decides(4, 3)
    model = ClickModel(settings).fit(train, folder=tmp_path / "model")
    adapted = {
        name.split(".lora_A")[0].split(".ia3_l")[0].split(".")[-1]
        for name, value in model._network.encoder.named_parameters()
        if value.requires_grad and (".lora_A" in name or ".ia3_l" in name)
    }
    names = {
        ("albert", "lora"): {"query", "value"},
        ("albert", "ia3"): {"key", "value", "ffn_output"},
        ("smollm3", "lora"): {"q_proj", "v_proj"},
        ("smollm3", "ia3"): {"k_proj", "v_proj", "down_proj"},
        ("phi3", "lora"): {"qkv_proj"},
        ("phi3", "ia3"): {"qkv_proj", "down_proj"},
    }
    assert adapted == names[kind, tuning]
    again = ClickModel.load(tmp_path / "model")
    assert again.predict_log_odds(held_out) == pytest.approx(
        model.predict_log_odds(held_out), abs=1e-5
    )


def test_nothing_trained_reads_every_text_once(encoder_of, text_decides):
    STATES.clear()
    train = text_decides(20, 1)
    model = ClickModel(settings_of(encoder_of("gpt2"), tuning="none")).fit(train)
    texts = set(train.column("shopper_text")) | set(train.column("item_text"))
    assert len(STATES) == len(texts)
    assert STATES.size == len(texts) * 16 * 4
    kept = model.predict_log_odds(train)
    model._network.split = None
    assert model.predict_log_odds(train) == pytest.approx(kept, abs=1e-5)


def test_adaptive_ranks_end_at_the_rank_asked_for(encoder_of, text_decides):
    settings = settings_of(encoder_of("bert"), tuning="adalora", lora_rank=4, max_steps=20)
    model = ClickModel(settings).fit(text_decides(60, 1))
    ranks = [
        int((value != 0).sum())
        for name, value in model._network.encoder.named_parameters()
        if "lora_E" in name
    ]
    # Three layers with two matrices each, of 6 at first.
    assert len(ranks) == 6
    assert sum(ranks) == 6 * 4


def test_all_linear_layers_can_be_adapted(encoder_of):
    for kind in (*ENCODERS, *DECODERS):
        network = build_network(settings_of(encoder_of(kind), lora_targets="all"), 6)
        names = {n.rpartition(".lora_A")[0] for n, _ in network.named_parameters() if "lora_A" in n}
        assert len(names) >= 3 * 4, kind
        assert not any("pooler" in name for name in names)


def test_trained_layers_take_every_kind_of_adapter(encoder_of, text_decides):
    held_out = text_decides(8, 3)
    for tuning in ("lora", "adalora", "ia3", "full"):
        settings = settings_of(encoder_of("roberta"), tuning=tuning, trained_layers=1)
        model = ClickModel(settings).fit(text_decides(20, 1))
        halves = model.predict_log_odds(held_out)
        model._network.split = None
        assert model.predict_log_odds(held_out) == pytest.approx(halves, abs=1e-5)


@pytest.mark.parametrize("kind", [*ENCODERS, *DECODERS])
@pytest.mark.parametrize("tuning", ["lora", "adalora", "full"])
def test_dropout_is_where_the_settings_say_and_nowhere_else(encoder_of, kind, tuning):
    """Before the adapters, or in the encoder itself where all of it is trained."""
    network = build_network(settings_of(encoder_of(kind), tuning=tuning, dropout=0.37), 6)
    rates = {
        ("lora_dropout" in name, module.p)
        for name, module in network.encoder.named_modules()
        if isinstance(module, torch.nn.Dropout) and module.p
    }
    # Llama and its like drop attention weights only, which is off.
    bare = tuning == "full" and kind in {"llama", "qwen2"}
    assert rates == (set() if bare else {(tuning != "full", 0.37)})
    told = network.encoder.config.to_dict()
    assert not any(value for name, value in told.items() if "att" in name and "dropout" in name)
    if tuning != "full":
        # At first an adapter adds nothing, whatever it drops.
        for name, value in network.encoder.named_parameters():
            if "lora_B" in name or "lora_E" in name:
                torch.nn.init.ones_(value)
    chunk = (torch.tensor([[5, 6, 7, 8]]), torch.ones(1, 4, dtype=torch.long))
    with torch.no_grad():
        network.train()
        assert torch.equal(network.encode([chunk]), network.encode([chunk])) == bare
        network.eval()
        assert torch.equal(network.encode([chunk]), network.encode([chunk]))


def test_pooling_by_hand():
    states = torch.tensor([[[1.0], [3.0], [9.0]], [[2.0], [4.0], [6.0]]])
    mask = torch.tensor([[1, 1, 0], [1, 1, 1]])
    assert pool(states, mask, "mean").flatten().tolist() == [2.0, 4.0]
    assert pool(states, mask, "last").flatten().tolist() == [3.0, 6.0]
    assert pool(states, mask, "first").flatten().tolist() == [1.0, 2.0]


def test_pooling_is_read_from_the_folder(tmp_path):
    settings = settings_of(save_tiny_model(tmp_path, "llama"))
    assert pooling_of(settings) == "mean"
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "1_Pooling" / "config.json").write_text(
        '{"pooling_mode_mean_tokens": false, "pooling_mode_lasttoken": true}'
    )
    assert pooling_of(settings) == "last"
    assert pooling_of(settings.model_copy(update={"pooling": "first"})) == "first"


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_a_decoder_reads_to_the_last_token_and_takes_empty_texts(kind, encoder_of):
    encoder = encoder_of(kind)
    network = build_network(settings_of(encoder, pooling="last"), 6).eval()
    tokens = TokenTable(["red soup", "", "red shoes and lamps"], load_tokenizer(encoder), 24)
    assert tokens.lengths.min() == 1
    with torch.no_grad():
        together = network.encode([tokens.padded(np.arange(3))])
        alone = [network.encode([tokens.padded(np.array([n]))])[0] for n in range(3)]
    assert torch.allclose(together, torch.stack(alone), atol=1e-5)


def test_an_unknown_architecture_is_told(encoder_of):
    from transformers import AutoModel

    from footfall.finetune.adapters import adapt

    # Its attention has no linear layers.
    model = AutoModel.from_pretrained(encoder_of("xlnet"))
    with pytest.raises(SettingError, match=r"'xlnet'.*lora_targets"):
        adapt(model, settings_of("x"))
    with pytest.raises(SettingError, match=r"'xlnet'.*IA3"):
        adapt(model, settings_of("x", tuning="ia3"))
