"""Rows about new items tell of new items, and leave the order of the others alone."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("peft")

from small_shop import build
from tiny_models import save_tiny_model

from footfall.finetune import ClickModel, ClickSettings
from footfall.finetune.example_table import Examples

pytestmark = pytest.mark.train


def rows_of(popularity, rate, seed, origin="real"):
    """Rows of so popular items (log responses), taken with such chances."""
    rng = np.random.default_rng(seed)
    return build(
        [
            {
                "search_id": f"{origin}{n}",
                "item_id": f"{value:.1f}",
                "item_text": "offer",
                "shopper_text": "somebody",
                "query": None,
                "label": bool(rng.random() < chance),
                "popularity_log": float(value),
                "origin": origin,
            }
            for n, (value, chance) in enumerate(zip(popularity, rate, strict=True))
        ]
    )


def test_new_items_do_not_turn_the_order_of_known_ones(tmp_path):
    # The more popular the likelier, from one in four to three in four; new items are taken by half,
    # more than the less popular half of those far above them.
    known = np.tile(np.linspace(6.0, 7.0, 5), 120)
    real = rows_of(known, 0.25 + 0.5 * (known - 6.0), 1)
    made = rows_of(np.zeros(300), np.full(300, 0.6), 2, origin="run")
    settings = ClickSettings(
        encoder=save_tiny_model(tmp_path / "bert"),
        tuning="none",
        epochs=4,
        batch_size=100,
        device="cpu",
        max_tokens=16,
    )
    held_out = rows_of(np.array([6.0, 7.0, 0.0]), np.zeros(3), 3)
    alone = ClickModel(settings).fit(real).predict_proba(held_out)
    both = ClickModel(settings).fit(Examples.concat([real, made])).predict_proba(held_out)
    assert alone[1] - alone[0] > 0.3
    assert both[1] - both[0] == pytest.approx(alone[1] - alone[0], abs=0.1)
    assert both[2] == pytest.approx(0.6, abs=0.1)
