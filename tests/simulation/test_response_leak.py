"""A response must not be among its own causes when the click curve is fitted."""

from datetime import datetime

import numpy as np
import pytest

from footfall.simulator.behaviour import popularity_deviation
from footfall.simulator.calibration import calibrate
from footfall.simulator.catalog import Catalog
from footfall.simulator.engines.scripted import ScriptedEngine
from footfall.simulator.log import Log
from footfall.simulator.prompts import PromptBook

UNTIL = datetime(2024, 3, 1)


def fit(path, weeks):
    with Log.open(path) as log:
        return calibrate(
            log,
            Catalog.from_log(log, until=UNTIL),
            ScriptedEngine(),
            PromptBook(),
            until=UNTIL,
            scored_slates=0,
            weeks=weeks,
        ).behaviour


def test_popularity_that_decides_nothing_gets_no_weight(tmp_path, make_log):
    path = make_log(tmp_path / "shop.duckdb", sessions=1500)
    rate = fit(path, weeks=4).on_popularity
    assert rate.source == "fitted"
    assert abs(rate.value) < 4 * rate.standard_error


def test_affinity_that_decides_gets_weight(tmp_path, make_log):
    path = make_log(tmp_path / "shop.duckdb", sessions=1500)
    rate = fit(path, weeks=4).on_affinity
    assert rate.value > 4 * rate.standard_error


def test_purchases_of_the_fitted_weeks_do_not_count_as_popularity(tmp_path, make_log):
    path = make_log(tmp_path / "shop.duckdb", sessions=300)
    with Log.open(path, read_only=False) as log:
        log.execute("DELETE FROM purchases WHERE purchased_at < TIMESTAMP '2024-02-02'")
        log.execute(
            "UPDATE impressions SET purchased = false WHERE shown_at < TIMESTAMP '2024-02-02'"
        )
    rate = fit(path, weeks=4).on_popularity
    assert (rate.value, rate.source) == (0.0, "prior")
    assert "nothing to fit on" in rate.note


def test_popularity_is_in_log_units_around_the_slate():
    found = popularity_deviation(np.array([0.0, np.e - 1.0, np.nan]))
    assert found == pytest.approx([-1 / 3, 2 / 3, -1 / 3])
    assert popularity_deviation(np.array([])).size == 0


def test_a_price_that_only_a_later_sale_tells_has_no_weight(tmp_path, make_log):
    """Items sold in the fitted weeks have a price of their own then; the others, the median."""
    path = make_log(tmp_path / "shop.duckdb", sessions=600)
    with Log.open(path, read_only=False) as log:
        log.execute("UPDATE items SET price = NULL")
        log.execute("DELETE FROM purchases WHERE purchased_at < TIMESTAMP '2024-02-02'")
        log.execute("UPDATE purchases SET amount = quantity * 9.5")
        log.execute(
            "UPDATE impressions SET purchased = false WHERE shown_at < TIMESTAMP '2024-02-02'"
        )
    rate = fit(path, weeks=4).on_price
    assert (rate.value, rate.source) == (0.0, "prior")


def test_prices_known_before_get_their_weight(tmp_path, make_log):
    path = make_log(tmp_path / "shop.duckdb", sessions=1500)
    with Log.open(path, read_only=False) as log:
        log.execute(
            "UPDATE impressions SET purchased = purchased AND hash(search_id, item_id) % 7 "
            ">= (SELECT price FROM items WHERE items.item_id = impressions.item_id) - 1"
        )
    rate = fit(path, weeks=4).on_price
    assert rate.value < -3 * rate.standard_error


def test_a_log_shorter_than_the_weeks_is_fitted_on_its_later_half(tmp_path, make_log):
    path = make_log(tmp_path / "shop.duckdb", sessions=1500)
    rates = fit(path, weeks=20)
    assert rates.on_affinity.value > 4 * rates.on_affinity.standard_error
    assert rates.on_popularity.source == "fitted"
    rows = int(rates.intercept.note.split()[0].replace(",", ""))
    assert rows == pytest.approx(7500, abs=100)
