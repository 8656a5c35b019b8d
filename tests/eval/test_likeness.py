from __future__ import annotations

from collections import Counter
from datetime import datetime

import numpy as np
import pyarrow as pa
import pytest

from conftest import START, fill, make_sessions
from footfall.errors import EmptyLogError, SettingError
from footfall.eval.distinctness import query_words
from footfall.eval.likeness import Likeness, likeness
from footfall.simulator.log import Log


def test_measures_equal_plain_sql_over_the_log(log):
    found = likeness(log, "run-1", splits=10)
    for origin, side in (("real", "real"), ("run-1", "synthetic")):
        sessions = log.count("sessions", origin)
        clicks = log.scalar(f"SELECT count(*) FROM impressions WHERE clicked AND origin='{origin}'")
        shown = log.count("impressions", origin)
        slates = log.count("searches", origin)
        assert getattr(found.row("clicks per session"), side) == pytest.approx(clicks / sessions)
        assert getattr(found.row("clicks per impression"), side) == pytest.approx(clicks / shown)
        assert getattr(found.row("slates per session"), side) == pytest.approx(slates / sessions)
        assert getattr(found.row("impressions per slate"), side) == 5.0
        price = log.scalar(
            f"SELECT avg(price) FROM impressions WHERE purchased AND origin='{origin}'"
        )
        assert getattr(found.row("mean price of purchases"), side) == pytest.approx(price)
    assert (found.real_sessions, found.synthetic_sessions, found.real_users) == (120, 60, 60)


def test_a_different_run_is_further_away_than_real_parts(log):
    row = likeness(log, "run-1", splits=10).row("clicks per impression")
    assert row.distance == pytest.approx(abs(row.real - row.synthetic))
    assert row.floor_low <= row.floor <= row.floor_high < row.distance
    assert row.ratio > 1
    assert "times as far as real against real" in row.note


def test_the_floor_of_a_short_run_is_that_of_a_short_real_part(log):
    long = likeness(log, "run-1", splits=40).row("clicks per session").floor
    log.execute("DELETE FROM sessions WHERE origin = 'run-1' AND user_id <> 'run-1-u0'")
    short = likeness(log, "run-1", splits=40).row("clicks per session").floor
    # 2 sessions instead of 60: about sqrt(1/2) against sqrt(1/60 + 1/60).
    assert short > 2 * long


def test_a_run_like_the_real_log_is_as_close_as_its_parts(log):
    fill(log, make_sessions("twin", 60, np.random.default_rng(99), clicks=0.4))
    found = likeness(log, "twin", splits=20)
    close = [row for row in found.rows if row.note.startswith("within real against real")]
    assert len(close) >= len([row for row in found.rows if row.floor is not None]) * 0.6


def test_what_the_real_log_lacks_is_said_and_not_invented(log):
    log.execute("UPDATE impressions SET clicked = NULL, position = NULL WHERE origin = 'real'")
    log.execute("UPDATE searches SET query = NULL WHERE origin = 'real'")
    found = likeness(log, "run-1", splits=5)
    for measure in (
        "clicks per session",
        "clicks per impression",
        "purchases by position",
        "query length in words",
        "distinct-1 of queries",
    ):
        row = found.row(measure)
        assert (row.real, row.distance, row.floor) == (None, None, None)
        assert row.note == "not recorded in the real log"
    assert found.row("clicks per session").synthetic > 0
    assert found.positions == []
    with pytest.raises(KeyError):  # carts: recorded on neither side
        found.row("items put in the cart per session")
    assert found.row("purchases per session").real > 0


def test_sampled_slates_do_not_count_as_shown(log):
    log.execute("UPDATE searches SET candidates = 'sampled' WHERE origin = 'real'")
    found = likeness(log, "run-1", splits=5)
    for measure in ("impressions per slate", "slates per session", "purchases per impression"):
        assert found.row(measure).note == "not recorded in the real log"
    assert found.row("purchases per session").real > 0


def test_sample_rates_restore_the_number_of_impressions(log):
    before = likeness(log, "run-1", splits=3).row("clicks per impression").real
    # Keep every second impression without a click, and say so in the sample rate.
    log.execute(
        "UPDATE impressions SET sample_rate = 0.5 WHERE origin = 'real' AND NOT clicked"
        " AND hash(search_id || item_id) % 2 = 0"
    )
    log.execute("DELETE FROM impressions WHERE origin = 'real' AND NOT clicked AND sample_rate = 1")
    after = likeness(log, "run-1", splits=3).row("clicks per impression").real
    assert after == pytest.approx(before, rel=0.15)


def test_purchases_outside_the_slates_are_used_where_slates_have_none(log):
    log.execute("UPDATE impressions SET clicked = NULL, purchased = NULL WHERE origin = 'real'")
    bought = log.query(
        "SELECT user_id, 'i3' AS item_id, session_id, 2.0 AS quantity, 5.0 AS amount,"
        " started_at AS purchased_at, 'real' AS origin FROM sessions WHERE origin = 'real'"
    )
    log.append("purchases", pa.concat_tables([bought, bought]))
    found = likeness(log, "run-1", splits=5)
    row = found.row("purchases per session")
    assert row.real == 2.0
    assert "the real log holds only sessions with a purchase" in row.note
    assert found.row("mean price of purchases").real == 2.5
    synthetic = log.scalar(
        "SELECT count(*) FILTER (WHERE purchased) FROM impressions WHERE origin = 'run-1'"
    )
    assert row.synthetic == pytest.approx(synthetic / 60)
    assert found.row("purchases per impression").note == "not recorded in the real log"
    assert {share.name for share in found.categories} >= {"drinks"}


def test_category_mix_by_hand(log):
    counts = {"drinks": (47, 55), "dairy": (31, 26), "bakery": (29, 23)}
    for column, origin in enumerate(("real", "run-1")):
        bought = log.query(
            "SELECT split_part(category, ' > ', 1) AS top FROM impressions i JOIN items"
            " USING (item_id) WHERE purchased AND i.origin = ?",
            [origin],
        )["top"].to_pylist()
        assert Counter(bought) == {name: both[column] for name, both in counts.items()}
    found = likeness(log, "run-1", splits=5)
    assert [share.name for share in found.categories] == list(counts)
    for share in found.categories:
        real, made = counts[share.name]
        assert (share.real, share.synthetic) == pytest.approx((real / 107, made / 104))
    row = found.row("category mix of purchases")
    # exp(-(.4393 ln .4393 + .2897 ln .2897 + .2710 ln .2710)); the run's likewise.
    assert row.real == pytest.approx(2.9274, abs=1e-4)
    assert row.synthetic == pytest.approx(2.7654, abs=1e-4)
    # The root of the mean of both Kullback-Leibler divergences from the mean mix, in bits.
    assert row.distance == pytest.approx(0.07666, abs=1e-4)


def test_new_items_are_those_without_an_earlier_response(log):
    until = datetime(2026, 2, 1)
    row = likeness(log, "run-1", start=until, until=until, splits=5).row(
        "share of new items in purchases"
    )
    known = log.query(
        "SELECT DISTINCT item_id FROM impressions WHERE origin = 'real' AND clicked"
        " AND shown_at < TIMESTAMP '2026-02-01'"
    )["item_id"].to_pylist()
    bought = log.query("SELECT item_id FROM impressions WHERE purchased AND origin = 'run-1'")[
        "item_id"
    ].to_pylist()
    assert row.synthetic == pytest.approx(np.mean([item not in known for item in bought]))
    with pytest.raises(KeyError):
        likeness(log, "run-1", splits=5).row("share of new items in purchases")


def test_windows_and_missing_sides(log):
    assert likeness(log, "run-1", start=datetime(2026, 2, 1), splits=3).real_sessions < 120
    with pytest.raises(EmptyLogError, match="no sessions of the run"):
        likeness(log, "run-9")
    with pytest.raises(EmptyLogError, match="no real sessions"):
        likeness(log, "run-1", end=START)
    with pytest.raises(SettingError, match="splits"):
        likeness(log, "run-1", splits=0)


def test_one_real_user_has_no_floor(tmp_path):
    generator = np.random.default_rng(0)
    with Log.create(tmp_path / "one.duckdb") as log:
        fill(log, make_sessions("real", 1, generator, clicks=0.9))
        fill(log, make_sessions("run-1", 3, generator, clicks=0.9))
        row = likeness(log, "run-1").row("clicks per session")
    assert row.floor is None
    assert "too few real users" in row.note


def test_the_same_seed_repeats_and_json_round_trips(log):
    found = likeness(log, "run-1", splits=4, seed=3)
    assert likeness(log, "run-1", splits=4, seed=3) == found
    assert Likeness.model_validate_json(found.model_dump_json()) == found
    assert found.to_arrow().num_rows == len(found.rows)
    assert "| clicks per session |" in found.to_markdown()


def test_query_words_are_characters_in_scripts_without_spaces():
    assert query_words("纯牛奶 250ml") == ["纯", "牛", "奶", "250ml"]
    assert query_words("Brown  bread") == ["brown", "bread"]
    assert query_words("") == []
    assert query_words("奶奶奶") == ["奶", "奶", "奶"]


def test_a_run_that_did_nothing_is_compared_without_an_error(log):
    log.execute("UPDATE impressions SET clicked = false, purchased = false WHERE origin = 'run-1'")
    log.execute("UPDATE searches SET query = NULL WHERE origin = 'run-1'")
    found = likeness(log, "run-1", until=START, splits=3)
    assert found.row("clicks per session").synthetic == 0.0
    for measure in ("category mix of purchases", "mean price of purchases"):
        assert found.row(measure).note == "not measurable in the run"
    assert found.row("query length in words").synthetic is None
    assert found.row("distinct-1 of queries").note == "too few queries to compare"
    assert found.categories == []
    log.execute("DELETE FROM impressions WHERE origin = 'run-1'")
    log.execute("DELETE FROM searches WHERE origin = 'run-1'")
    found = likeness(log, "run-1", splits=3)
    assert found.row("slates per session").synthetic == 0.0
    assert found.row("impressions per slate").note == "not measurable in the run"


def test_a_real_log_of_sessions_only_records_nothing(log):
    log.execute("DELETE FROM impressions WHERE origin = 'real'")
    log.execute("DELETE FROM searches WHERE origin = 'real'")
    found = likeness(log, "run-1", splits=3)
    assert found.real_sessions == 120
    assert found.row("clicks per session").note == "not recorded in the real log"
    assert all(row.distance is None for row in found.rows)
