"""Small logs and example tables for the tests of the classifier."""

from __future__ import annotations

import numpy as np
import pytest
from small_shop import Shop, build

from footfall.finetune.example_table import Examples


@pytest.fixture
def shop(tmp_path):
    """Three items, two real users, purchases on days 1 to 3, slates on days 5 and 20."""
    made = Shop(tmp_path / "shop.duckdb")
    made.item("soup", "tomato soup", "food > soup")
    made.item("stew", "beef stew", "food > soup", price=8.0)
    made.item("soap", "hand soap", "home > soap", price=3.0)
    made.item("late", "new thing", "home > soap")
    made.user("ann", demographics='{"age": "25-34"}')
    made.user("bob")
    made.buy("ann", "soup", 1, quantity=2, amount=4)
    made.buy("ann", "soup", 2, quantity=1, amount=4)
    made.buy("ann", "soap", 3, quantity=1, amount=3)
    made.slate("first", "ann", 5, {"soup": True, "stew": False}, query="hot  soup")
    made.slate("second", "bob", 20, {"soup": False, "late": True, "stew": None})
    yield made
    made.log.close()


@pytest.fixture
def make_examples():
    return build


KINDS = ("soup", "bread", "soap", "shoes", "lamp", "coffee")
ADJECTIVES = ("red", "small", "best")


@pytest.fixture(scope="session")
def text_decides():
    """Examples whose label says whether shopper and item text name the same kind of thing."""

    def make(slates: int, seed: int, size: int = 6) -> Examples:
        rng = np.random.default_rng(seed)
        rows = []
        for slate in range(slates):
            wanted = rng.integers(len(KINDS))
            shown = rng.permutation(len(KINDS))[:size]
            for kind in shown:
                adjective = ADJECTIVES[rng.integers(len(ADJECTIVES))]
                # One response in ten is noise, so that the best log loss is not 0.
                label = bool((kind == wanted) ^ (rng.random() < 0.05))
                rows.append(
                    {
                        "search_id": f"{seed}-{slate}",
                        "user_id": f"user {slate % 7}",
                        "item_id": f"{adjective} {KINDS[kind]}",
                        # The shopper's words name another kind than the one they take, so that
                        # the untrained ranking is wrong and only training can be right.
                        "shopper_text": f"likes {KINDS[wanted - 1]}",
                        "item_text": f"{adjective} {KINDS[kind]}",
                        "label": label,
                        "price_log": float(rng.normal()),
                    }
                )
        return build(rows)

    return make
