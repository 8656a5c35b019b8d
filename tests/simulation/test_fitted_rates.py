"""Rates that a log with positions and carts tells, counted by hand."""

import numpy as np
import pytest

from footfall.simulator.behaviour_fit import FitData, fit_behaviour
from footfall.simulator.log import Log

# Of 400 rows each: clicked at positions 1 to 3; position 4 is shown too rarely to be fitted.
CLICKED = {1: 200, 2: 80, 3: 100, 4: 5}
SHOWN = {1: 400, 2: 400, 3: 400, 4: 10}


@pytest.fixture
def behaviour(tmp_path):
    with Log.create(tmp_path / "shop.duckdb") as log:
        for position, shown in SHOWN.items():
            log.execute(
                "INSERT INTO impressions (search_id, item_id, position, clicked, carted, "
                "purchased, shown_at, sample_rate, origin) SELECT 'q' || n, 'i', $position, "
                "n < $clicked, n < $clicked // 2, n < $clicked // 4, TIMESTAMP '2024-01-01', 1, "
                "'real' FROM range($shown) AS r(n)",
                {"position": position, "clicked": CLICKED[position], "shown": shown},
            )
        data = FitData(np.repeat([1.0, 0.0], 50), np.ones(100), *(np.zeros(100) for _ in range(3)))
        yield fit_behaviour(log, data)


def test_looks_fall_with_position_and_end_where_too_little_was_shown(behaviour):
    # 80 and 100 of 400 are out of order, so both become their mean, 90: 0.45 of 200.
    assert [rate.value for rate in behaviour.look] == pytest.approx([1.0, 0.45, 0.45])
    assert {rate.source for rate in behaviour.look} == {"fitted"}


def test_carts_and_purchases_are_shares_of_what_came_before(behaviour):
    assert behaviour.cart_after_click.value == pytest.approx(192 / 385)
    assert behaviour.purchase_after_cart.value == pytest.approx(96 / 192)


def test_every_rate_is_fitted_or_says_what_was_assumed(behaviour):
    for name in type(behaviour).model_fields:
        value = getattr(behaviour, name)
        for rate in value if isinstance(value, tuple) else (value,):
            assert rate.note, name
            assert (rate.source == "fitted") == (rate.standard_error is not None), name
