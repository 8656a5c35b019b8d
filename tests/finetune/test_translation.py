from __future__ import annotations

import json
import warnings

import pytest
from small_shop import build

from footfall.errors import EngineMissingError
from footfall.finetune.augment import augment_with_report
from footfall.finetune.augmentation_settings import AugmentationSettings
from footfall.finetune.translation import TranslationModel

TEXTS = ["red shoes", "garden hose", "big lamp", "usb hub", "tomato soup", "rain coat"]


@pytest.fixture(scope="module")
def marian(tmp_path_factory):
    """A tiny MarianMT model with random weights and a tokeniser of its own: it babbles."""
    sentencepiece = pytest.importorskip("sentencepiece")
    torch = pytest.importorskip("torch")
    from transformers import MarianConfig, MarianMTModel, MarianTokenizer

    folder = tmp_path_factory.mktemp("marian")
    (folder / "texts.txt").write_text("\n".join(TEXTS * 20), encoding="utf-8")
    sentencepiece.SentencePieceTrainer.train(
        input=str(folder / "texts.txt"),
        model_prefix=str(folder / "source"),
        vocab_size=48,
        hard_vocab_limit=False,
        minloglevel=3,
    )
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(folder / "source.model"))
    words = ["</s>", "<unk>", *(pieces.id_to_piece(n) for n in range(3, len(pieces))), "<pad>"]
    vocabulary = {word: number for number, word in enumerate(words)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    spm = str(folder / "source.model")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Recommended: pip install sacremoses")
        tokenizer = MarianTokenizer(spm, spm, str(folder / "vocab.json"))
    torch.manual_seed(0)
    padding = len(words) - 1
    config = MarianConfig(
        vocab_size=len(words),
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        pad_token_id=padding,
        eos_token_id=0,
        decoder_start_token_id=padding,
        forced_eos_token_id=0,
        bad_words_ids=[[padding]],
    )
    saved = folder / "model"
    MarianMTModel(config).save_pretrained(saved)
    tokenizer.save_pretrained(saved)
    return saved


def test_a_folder_of_a_translation_model_is_used(marian):
    model = TranslationModel(marian, batch_size=2, max_tokens=6)
    found = model.translate([*TEXTS, " "], [0] * len(TEXTS) + [0])
    assert len(found) == len(TEXTS) + 1
    assert found[-1] == ""
    assert all(found[:-1])
    assert found == model.translate([*TEXTS, " "], [0] * len(TEXTS) + [0])
    # Translated together or alone, a text has the same translation.
    assert model.translate([TEXTS[3]], [0]) == [found[3]]
    assert model.translate([TEXTS[3]], [1]) != [found[3]]
    assert model.translate([], []) == []


def test_two_translation_models_take_the_engines_place(marian):
    real = build(
        [
            {"search_id": f"r{number}", "item_id": f"i{item}", "query": query, "label": item == 0}
            for number, query in enumerate(TEXTS)
            for item in range(2)
        ]
    )
    settings = AugmentationSettings(forth_model=marian, back_model=marian, tries=1)
    made = augment_with_report(real, "back-translation", 8, settings=settings)
    assert len(made.examples) == 8
    assert made.asked >= 4
    assert set(made.examples.column("origin")) == {"augment:back-translation"}
    assert not set(made.examples.column("query")) & set(TEXTS)


def test_a_folder_without_a_model_is_named(tmp_path):
    with pytest.raises(EngineMissingError, match="no such folder"):
        TranslationModel(tmp_path / "none").translate(["a"], [0])
    with pytest.raises(EngineMissingError, match="no translation model"):
        TranslationModel(tmp_path).translate(["a"], [0])
