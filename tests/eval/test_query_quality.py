"""Likeness of generated queries, by small samples whose answer is known."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from footfall.errors import EmptyLogError
from footfall.eval.query_quality import TypedQueries, distinct_share, query_quality


class Hashed:
    """A direction of its own for every text."""

    identity = "hashed"

    def encode(self, texts, *, normalize=True, description=""):
        seeds = [int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) for text in texts]
        return np.array([np.random.default_rng(seed).normal(size=4) for seed in seeds], np.float32)


def _typed(queries) -> TypedQueries:
    return TypedQueries(tuple(queries), tuple(f"u{n}" for n in range(len(queries))))


def _figures(generated, later, earlier=("x",)):
    rows = query_quality(generated, _typed(later), _typed(earlier), Hashed(), splits=8)
    return {row.measure: row for row in rows}


def test_distinct_shares_by_hand() -> None:
    assert distinct_share(["halo wars", "halo reach"], 1) == 3 / 4
    assert distinct_share(["halo wars", "halo wars", "fifa"], 2) == 1 / 2
    # Every Chinese sign is a word.
    assert distinct_share(["纯牛奶", "牛奶"], 1) == 3 / 5
    assert np.isnan(distinct_share(["halo"], 2))


def test_real_queries_held_against_real_ones_are_at_the_floor() -> None:
    rng = np.random.default_rng(0)
    words = [f"word{number}" for number in rng.integers(0, 40, size=600)]
    found = _figures(words[:300], words[300:])
    for row in found.values():
        assert row.sample == 100
        spread = row.real_high - row.real_low
        assert abs(row.generated - row.real) <= max(2 * spread, 1e-9), row.measure


def test_strange_queries_are_far_from_the_floor() -> None:
    rng = np.random.default_rng(0)
    later = [f"word{number}" for number in rng.integers(0, 40, size=600)]
    found = _figures(["same thing"] * 300, later)
    assert found["distinct-1"].generated < found["distinct-1"].real / 2
    assert found["also typed by later shoppers"].generated == 0
    assert found["also typed by later shoppers"].real > 0.9
    distance = found["embedding Frechet distance"]
    assert distance.generated > distance.real_high
    assert distance.better == "low"


def test_queries_are_the_same_whatever_their_case_and_width() -> None:
    later = ["Halo  Wars", "ＦＩＦＡ"] * 30
    found = _figures(["halo wars", "fifa"] * 30, later, earlier=("HALO wars",))
    assert found["also typed by later shoppers"].generated == 1.0
    before = found["also typed in the training part"]
    assert before.generated == pytest.approx(0.5, abs=0.2)


def test_too_few_queries_are_refused() -> None:
    with pytest.raises(EmptyLogError, match="too few") as caught:
        _figures(["a"] * 5, ["b"] * 60)
    assert caught.value.hint


def test_likelihood_is_the_models_own() -> None:
    """Against a model whose next token is known: all tokens equally likely."""
    torch = pytest.importorskip("torch")
    from types import SimpleNamespace

    from footfall.eval.query_quality import query_likelihood
    from footfall.finetune.tuning_examples import TuningExample

    class Letters:
        pad_token_id, eos_token_id = 0, None

        def encode(self, text, add_special_tokens=True):
            return [ord(letter) % 50 for letter in text]

    class Even(torch.nn.Module):
        device = "cpu"

        def forward(self, input_ids, attention_mask):
            return SimpleNamespace(logits=torch.zeros(*input_ids.shape, 50))

    examples = [
        TuningExample("query", "Query:", f" {'x' * size}\n", (), "s", f"u{size}")
        for size in (1, 4, 7)
    ]
    found = query_likelihood(Even(), Letters(), examples)
    assert found.nats_per_token.value == pytest.approx(np.log(50))
    assert found.perplexity == pytest.approx(50)
    assert found.tokens == 3 + 6 + 9
    with pytest.raises(EmptyLogError):
        query_likelihood(Even(), Letters(), [])
