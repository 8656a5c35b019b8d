"""Small logs and small random language models to tune."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from small_shop import Shop

GAMES = ("halo wars", "forza racing", "fifa soccer", "dead island", "just dance", "gears war")
ADDED = ("", " limited edition", " bundle")


def clicks_log(path: Path, *, searches: int = 60, seed: int = 0) -> Shop:
    """Clicks only: each shopper types the first word of what they click, on rising days."""
    rng = np.random.default_rng(seed)
    shop = Shop(path)
    for number, game in enumerate(GAMES):
        for place, added in enumerate(ADDED):
            shop.item(f"i{number}{place}", game + added, "games")
    for user in range(20):
        shop.user(f"u{user}", demographics='{"age": "25-34"}')
    for number in range(searches):
        game = int(rng.integers(len(GAMES)))
        item = f"i{game}{int(rng.integers(len(ADDED)))}"
        shop.slate(
            f"s{number}",
            f"u{int(rng.integers(20))}",
            float(number),
            {item: True},
            query=GAMES[game].split()[0],
            label="clicked",
        )
    return shop


def copy_tokenizer(folder: Path) -> None:
    """The bundled model's tokeniser, which needs its files only."""
    from footfall.simulator.engines import prepare_model

    source = Path(prepare_model("smollm2-135m-instruct"))
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        if (source / name).is_file():
            (folder / name).write_bytes((source / name).read_bytes())


def tiny_model(folder: Path, kind: str) -> str:
    """A model with random weights: ``llama``, ``gpt2`` or ``qwen2``."""
    import torch
    from transformers import (
        GPT2Config,
        GPT2LMHeadModel,
        LlamaConfig,
        LlamaForCausalLM,
        Qwen2Config,
        Qwen2ForCausalLM,
    )

    folder.mkdir(parents=True)
    copy_tokenizer(folder)
    torch.manual_seed(0)
    common = {"vocab_size": 49152, "tie_word_embeddings": True, "bos_token_id": 1}
    layers = {
        "hidden_size": 64,  # vLLM on a CPU needs heads of 32 or more
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "max_position_embeddings": 1024,
        "initializer_range": 0.1,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if kind == "llama":
            model = LlamaForCausalLM(LlamaConfig(**common, **layers, eos_token_id=2))
        elif kind == "qwen2":
            model = Qwen2ForCausalLM(
                Qwen2Config(**{**common, "tie_word_embeddings": False}, **layers, eos_token_id=2)
            )
        else:
            model = GPT2LMHeadModel(
                GPT2Config(
                    **common,
                    n_embd=32,
                    n_layer=2,
                    n_head=2,
                    n_positions=1024,
                    eos_token_id=2,
                    initializer_range=0.2,
                )
            )
        model.save_pretrained(folder)
    return str(folder)
