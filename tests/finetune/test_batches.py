from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_shop import build

from footfall.errors import DataError
from footfall.finetune.probability import (
    correct_log_odds,
    mean_negative_rate,
    negative_rates,
)
from footfall.finetune.standardise import HAS_HISTORY, Standardiser

torch = pytest.importorskip("torch")
batches = pytest.importorskip("footfall.finetune.batches")


class Letters:
    """A tokeniser whose tokens are code points, between 1 and 2."""

    pad_token_id = 0
    eos_token_id = 2

    def __call__(self, texts, *, truncation, max_length):
        return {"input_ids": [[1, *map(ord, text[: max_length - 2]), 2] for text in texts]}


def table(rows, **columns):
    examples = build(rows)
    numbers = np.zeros((len(examples), 6), np.float32)
    return batches.PairTable.from_examples(examples, numbers, Letters(), 20)


def texts_of(batch):
    found = []
    for ids, mask in batch["chunks"]:
        for row, kept in zip(ids.tolist(), mask.tolist(), strict=True):
            assert [i != 0 for i in row] == [bool(m) for m in kept]
            found.append("".join(map(chr, row[1 : sum(kept) - 1])))
    return found


def test_each_distinct_text_is_encoded_once_and_rows_point_at_theirs():
    pairs = table(
        [
            {"search_id": "s", "query": "tea", "shopper_text": "ann", "item_text": "green tea"},
            {"search_id": "s", "query": "tea", "shopper_text": "ann", "item_text": "mug"},
            {"search_id": "t", "query": None, "shopper_text": "bob", "item_text": "mug"},
        ]
    )
    batch = batches.collate(pairs, [2, 0, 1])
    texts = texts_of(batch)
    assert sorted(texts) == ["ann", "bob", "green tea", "mug", "tea"]
    assert [texts[n] for n in batch["item"]] == ["mug", "green tea", "mug"]
    assert [texts[n] for n in batch["shopper"]] == ["bob", "ann", "ann"]
    assert [texts[n] for n in batch["query"]][1:] == ["tea", "tea"]
    assert batch["asked"].tolist() == [0.0, 1.0, 1.0]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.text(st.characters(min_codepoint=3, max_codepoint=900), max_size=30)))
def test_chunks_hold_every_text_with_little_padding(texts):
    tokens = batches.TokenTable(texts, Letters(), 20)
    parts, places = tokens.parts(np.arange(len(texts)), size=4)
    chunks = [tokens.padded(part) for part in parts]
    found = texts_of({"chunks": chunks})
    assert [found[place] for place in places] == [text[:18] for text in texts]
    widths = [ids.shape[1] for ids, _ in chunks]
    assert widths == sorted(widths)


def test_a_slate_stays_together_and_epochs_differ():
    slates = np.array([0, 1, 0, 2, 1, 2, 3, 3])
    sampler = batches.SlateSampler(slates, seed=1)
    first = list(sampler)
    assert sorted(first) == list(range(8))
    changes = np.count_nonzero(np.diff(slates[first]))
    assert changes == 3
    assert first == list(sampler)
    orders = set()
    for epoch in range(6):
        sampler.set_epoch(epoch)
        orders.add(tuple(sampler))
    assert len(orders) > 1


def test_weights_have_mean_one():
    pairs = table([{"weight": 1.0}, {"weight": 3.0}])
    assert pairs.weights.tolist() == [0.5, 1.5]


def test_standardiser_by_hand():
    train = build([{"price_log": 1.0}, {"price_log": 3.0}])
    standard = Standardiser.fit(train)
    assert standard.apply(train)[:, 0].tolist() == [-1.0, 1.0]
    # A constant feature becomes 0, also where it is another; what lies outside counts as the end.
    assert standard.apply(train)[:, 1].tolist() == [0.0, 0.0]
    outside = standard.apply(build([{"price_log": 1e9, "popularity_log": 5.0}, {"price_log": 0.5}]))
    assert outside[:, 0].tolist() == [1.0, -1.0]
    assert not outside[:, 1:].any()
    # One odd row among many does not decide alone.
    odd = build([{"price_log": float(n == 0) * 1e9} for n in range(100)])
    assert Standardiser.fit(odd).apply(odd)[0, 0] == 8.0
    # Models saved before there was a range have none.
    old = Standardiser.model_validate(standard.model_dump(exclude={"low", "high"}))
    assert old.apply(build([{"price_log": 4.0}]))[0, 0] == 2.0
    with pytest.raises(DataError, match="price_log"):
        standard.apply(build([{"price_log": float("nan")}]))


def test_whether_there_is_any_history_stands_beside_how_much():
    rows = build([{"popularity_log": value} for value in (0.0, 0.0, 4.0, 5.0)])
    standard = Standardiser.fit(rows, ["popularity_log", "price_log"])
    assert standard.names == ("popularity_log", "price_log", HAS_HISTORY)
    assert standard.apply(rows)[:, 2].tolist() == [-1.0, -1.0, 1.0, 1.0]
    # Mean and spread of the popularity are those of 4 and 5; new items count as the least popular.
    assert standard.apply(rows)[:, 0].tolist() == [-1.0, -1.0, -1.0, 1.0]
    # Where training rows have no new item, new ones are as what it knows.
    known = Standardiser.fit(rows.take(np.array([2, 3])), ["popularity_log"])
    assert known.apply(rows)[:, 1].tolist() == [0.0] * 4
    assert Standardiser.fit(rows, ["price_log"]).names == ("price_log",)
    # Models saved before it was read off name what they have.
    old = standard.model_dump() | {"names": ("popularity_log", "price_log")}
    old |= {name: old[name][:2] for name in ("mean", "spread", "low", "high")}
    assert Standardiser.model_validate(old).apply(rows).shape == (4, 2)


def test_prior_correction_by_hand():
    # 10 responses, 90 others of which a third were kept: odds 1/3 sampled, 1/9 in truth.
    assert np.exp(correct_log_odds(np.log([1 / 3]), np.array([1 / 3]))) == pytest.approx([1 / 9])


def test_rates_do_not_tell_the_label():
    rows = [
        {"search_id": "a", "label": True, "sample_rate": 1.0},
        {"search_id": "a", "label": False, "sample_rate": 0.1},
        {"search_id": "b", "label": False, "sample_rate": 0.2},
        {"search_id": "b", "label": False, "sample_rate": 0.4},
    ]
    assert negative_rates(build(rows)) == pytest.approx([0.1, 0.1, 0.3, 0.3])
    rows.append({"search_id": "c", "label": True, "sample_rate": 1.0})
    # One slate has no negative, so all take the overall rate 3 / (10 + 5 + 2.5).
    assert negative_rates(build(rows)) == pytest.approx([3 / 17.5] * 5)
    rows.append({"search_id": "d", "label": False, "origin": "run", "sample_rate": 1.0})
    assert negative_rates(build(rows))[-1] == 1.0


def test_no_rows_no_rates():
    assert len(negative_rates(build([]))) == 0
    assert mean_negative_rate(build([])) == 1.0


def test_the_rate_of_training_by_hand():
    rows = [
        {"label": True, "sample_rate": 1.0, "weight": 7.0},
        {"label": False, "sample_rate": 0.5, "weight": 1.0},
        {"label": False, "sample_rate": 0.25, "weight": 2.0},
        {"label": False, "sample_rate": 0.01, "weight": 0.0},
    ]
    # 3 kept of 1 / .5 + 2 / .25 = 10; responses and rows without weight do not count.
    assert mean_negative_rate(build(rows)) == pytest.approx(0.3)
