"""The models that the classifier is compared with learn what is there to be learned."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import roc_auc_score

from footfall.finetune.example_table import EXAMPLE_SCHEMA, FEATURE_NAMES, Examples

pytest.importorskip("torch")

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
KINDS = ("pizza", "yogurt", "soup", "bread", "牛奶", "面条")


@pytest.fixture(scope="module")
def baselines():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        import click_baselines

        yield click_baselines
    sys.modules.pop("click_baselines", None)


def made(rows, seed, *, by):
    """Rows whose response is decided by the item's kind, by kind and history, or by a habit."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(len(KINDS), size=rows)
    liked = rng.integers(len(KINDS), size=rows)
    often = np.random.default_rng([seed, 1]).random(rows) < 0.5
    decides = {"item": kind < 3, "history": kind == liked, "habit": often}
    chance = np.where(decides[by], 0.9, 0.1)
    said = [
        json.dumps({KINDS[n]: "often" if one else "never"})
        for one, n in zip(often, kind, strict=True)
    ]
    columns = {
        "example_id": [f"e{n}" for n in range(rows)],
        "search_id": [f"s{n // 6}" for n in range(rows)],
        "session_id": [f"s{n // 6}" for n in range(rows)],
        "user_id": [f"u{seed}-{n}" for n in range(rows)],
        "item_id": [f"i{n}" for n in kind],
        "query": pa.nulls(rows, pa.string()),
        "shopper_text": [KINDS[n] for n in liked],
        "shopper_profile": [""] * rows,
        "shopper_demographics": said if by == "habit" else ["{}"] * rows,
        "shopper_history": [[f"{KINDS[n]} family"] for n in liked],
        "item_text": [f"{KINDS[n]} family" for n in kind],
        "item_category": [f"food > {KINDS[n]}" for n in kind],
        "item_brand": pa.nulls(rows, pa.string()),
        "label": rng.random(rows) < chance,
        "weight": np.ones(rows),
        "sample_rate": np.ones(rows),
        "origin": ["real"] * rows,
        "shown_at": pa.nulls(rows, pa.timestamp("us")),
        "position": pa.nulls(rows, pa.int32()),
        "score": pa.nulls(rows, pa.float64()),
        "item_cold": np.zeros(rows, bool),
        "user_cold": np.ones(rows, bool),
    }
    columns |= {name: rng.normal(size=rows) for name in FEATURE_NAMES}
    return Examples(pa.table({name: columns[name] for name in EXAMPLE_SCHEMA.names}))


def auc(baselines, name, by):
    parts = [made(rows, seed, by=by) for seed, rows in enumerate((1200, 400, 600))]
    facts, sizes = baselines.read_facts(parts)
    found = baselines.BASELINES[name](facts, sizes, 0)
    assert found.chosen
    assert np.isfinite(found.test).all()
    assert ((found.test >= 0) & (found.test <= 1)).all()
    return roc_auc_score(parts[2].labels, found.test)


@pytest.mark.parametrize("name", ["logistic regression", "LightGBM", "DeepFM", "DIN"])
def test_every_model_learns_which_items_are_taken(baselines, name):
    # A response is known from its kind in nine of ten rows.
    assert auc(baselines, name, "item") > 0.8


@pytest.mark.parametrize("name", ["logistic regression", "LightGBM", "DeepFM", "DIN"])
def test_every_model_reads_what_shoppers_say_of_the_kind_of_item(baselines, name):
    assert auc(baselines, name, "habit") > 0.8


def test_an_interest_network_weighs_the_history_by_the_item(baselines):
    assert auc(baselines, "DIN", "history") > 0.75


def test_what_training_rows_lack_is_unknown(baselines):
    train, other = made(60, 0, by="item"), made(60, 1, by="item")
    facts, sizes = baselines.read_facts([train, other, other])
    users = baselines.CODES.index("user_id")
    assert (facts[1].codes[:, users] == baselines.UNKNOWN).all()
    assert facts[0].codes[:, users].min() > baselines.UNKNOWN
    for codes, size in zip(facts[0].codes.T, sizes, strict=False):
        assert codes.max() < size
    assert facts[0].history.shape == (60, baselines.HISTORY)
    assert (facts[0].history[:, :-1] == baselines.PADDING).all()
    item = baselines.CODES.index("item_text")
    same = facts[0].history[:, -1] == facts[0].codes[:, item]
    assert (same == (train.column("shopper_text") + " family" == train.column("item_text"))).all()
