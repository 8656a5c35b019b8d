"""Randomly initialised models of a few thousand weights, with a tokeniser of characters."""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any

_WIDTH = 16


def tokenizer(kind: str) -> Any:
    """Every character is a token; encoders get marks around a text, decoders none."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    marks = ["[PAD]", "[CLS]", "[SEP]", "[UNK]"]
    letters = [*marks, *string.printable, *"红小汤面包皂鞋灯咖啡"]
    vocabulary = {letter: number for number, letter in enumerate(dict.fromkeys(letters))}
    made = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    if kind in {*ENCODERS, "albert", "xlnet"}:
        made.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]",
            pair="[CLS] $A [SEP] $B:1 [SEP]:1",
            special_tokens=[("[CLS]", 1), ("[SEP]", 2)],
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        # GPT-2's own tokeniser has no padding either.
        pad_token=None if kind == "gpt2" else "[PAD]",
        eos_token="[SEP]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        unk_token="[UNK]",
        model_max_length=64,
    )


def _config(kind: str, layers: int, words: int) -> Any:
    import transformers as t

    common = {"vocab_size": words, "hidden_size": _WIDTH, "num_attention_heads": 2}
    common |= {"num_hidden_layers": layers, "intermediate_size": 32, "pad_token_id": 0}
    common |= {"max_position_embeddings": 80}
    made = {
        "bert": lambda: t.BertConfig(**common),
        "roberta": lambda: t.RobertaConfig(**common),
        "electra": lambda: t.ElectraConfig(**common, embedding_size=8),
        "mpnet": lambda: t.MPNetConfig(**common),
        "distilbert": lambda: t.DistilBertConfig(
            vocab_size=words, dim=_WIDTH, n_heads=2, n_layers=layers, hidden_dim=32,
            max_position_embeddings=80, pad_token_id=0,
        ),
        "albert": lambda: t.AlbertConfig(**common, embedding_size=8),
        "smollm3": lambda: t.SmolLM3Config(**common, num_key_value_heads=1),
        "phi3": lambda: t.Phi3Config(**common, num_key_value_heads=1),
        "xlnet": lambda: t.XLNetConfig(
            vocab_size=words, d_model=_WIDTH, n_layer=layers, n_head=2, d_inner=32, pad_token_id=0,
        ),
        "llama": lambda: t.LlamaConfig(**common, num_key_value_heads=1),
        "qwen2": lambda: t.Qwen2Config(**common, num_key_value_heads=1),
        "gpt2": lambda: t.GPT2Config(
            vocab_size=words, n_embd=_WIDTH, n_layer=layers, n_head=2, n_positions=80,
            bos_token_id=2, eos_token_id=2,
        ),
    }  # fmt: skip
    return made[kind]()


ENCODERS = ("bert", "roberta", "electra", "mpnet", "distilbert")
DECODERS = ("llama", "qwen2", "gpt2")


def save_tiny_model(folder: Path, kind: str = "bert", *, layers: int = 3, seed: int = 0) -> str:
    """A model and its tokeniser in a folder; the folder's name."""
    import torch
    from transformers import AutoModel

    words = tokenizer(kind)
    torch.manual_seed(seed)
    model = AutoModel.from_config(_config(kind, layers, len(words)))
    with torch.no_grad():
        # The usual 0.02 would give all texts nearly the same vector.
        for value in model.parameters():
            if value.dim() > 1:
                value.mul_(8)
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    return str(folder)
