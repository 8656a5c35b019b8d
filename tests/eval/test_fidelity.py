"""A run compared with the real log, from the log to the verdict."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pytest
from fidelity_world import (
    START,
    UNTIL,
    HashedEncoder,
    add,
    add_run,
    copy_real,
    make_log,
    make_shoppers,
)

from footfall.errors import DataError, EmptyLogError, MissingPartError, SettingError
from footfall.eval.counted_measures import read_measures
from footfall.eval.fidelity import fidelity
from footfall.eval.fidelity_models import Trial
from footfall.eval.fidelity_results import MEASURES, Fidelity
from footfall.eval.fidelity_rows import WITHIN_WORDS
from footfall.eval.fidelity_texts import TextSides, embedding_rows
from footfall.eval.likeness_counts import Sides, Window
from footfall.eval.text_frechet import sample_texts
from footfall.simulator.log import Log

QUICK = {"splits": 20, "resamples": 40, "seed": 1, "encoder": HashedEncoder()}


@pytest.fixture
def shop(tmp_path) -> Iterator[Log]:
    with make_log(tmp_path) as log:
        yield log


@pytest.fixture(scope="module")
def copied(tmp_path_factory) -> Iterator[tuple[Log, Fidelity]]:
    """A log that no test changes, and its run ``copy`` compared."""
    with make_log(tmp_path_factory.mktemp("copied")) as log:
        yield log, fidelity(log, "copy", **QUICK)


def test_a_copy_of_real_sessions_is_within_on_every_rate(copied):
    log, found = copied
    rates = [row for row in found.rows if row.section == "rates" and row.measured]
    assert {row.measure for row in rates} >= {
        "clicks per session",
        "sessions with a click",
        "purchases per session",
        "slates per session",
        "searches per session",
        "sessions without a query",
        "sessions of one page",
        "minutes per session",
    }
    assert {row.words for row in rates} == {WITHIN_WORDS}
    assert found.row("session Frechet distance").verdict == "within"
    assert found.row("train on synthetic, test on real").synthetic.distance < 0.05
    assert found.passed(2.0)
    assert {row.measure for row in found.rows} <= set(MEASURES)
    assert found.real_sessions == log.scalar(
        "SELECT count(*) FROM sessions WHERE origin = 'real' AND started_at < ?", [UNTIL]
    )
    assert found.part_sessions == pytest.approx(found.synthetic_sessions, abs=3)


def test_values_and_distances_equal_plain_sql(copied):
    log, found = copied
    row = found.row("clicks per session")
    values = [
        log.scalar(
            """SELECT (SELECT count(*) FROM impressions JOIN searches USING (search_id)
                    JOIN sessions s USING (session_id)
                    WHERE clicked AND s.origin = $origin AND started_at < $until)
                / (SELECT count(*) FROM sessions WHERE origin = $origin AND started_at < $until)""",
            {"origin": origin, "until": UNTIL},
        )
        for origin in ("real", "copy")
    ]
    assert (row.real, row.synthetic.value) == pytest.approx(values)
    assert row.synthetic.distance == pytest.approx(abs(values[0] - values[1]))
    assert row.synthetic.low <= row.synthetic.distance <= row.synthetic.high
    assert row.synthetic.ratio == pytest.approx(row.synthetic.distance / row.floor.distance)


def test_doubled_clicks_are_named_as_what_differs_most(shop):
    copy_real(shop, "double", users=60)
    # Every click is stored twice, as if shoppers clicked on the same item at two places.
    shop.execute(
        "INSERT INTO impressions SELECT * REPLACE (position + 6 AS position, false AS purchased)"
        " FROM impressions WHERE origin = 'double' AND clicked"
    )
    found = fidelity(shop, "double", **QUICK)
    row = found.row("clicks per session")
    assert (row.verdict, row.direction) == ("further", "higher")
    assert row.synthetic.value == pytest.approx(2 * row.real, rel=0.3)
    words = r"What differs most: shoppers click [12]\.\d times as often as real ones: "
    assert re.search(words, found.verdict), found.verdict
    assert not found.passed(2.0)
    assert "clicks per session" in [row.measure for row in found.exceeding(2.0)]
    assert found.passed(2.0, ["searches per session"])
    assert not found.passed(2.0, ["clicks per session", "searches per session"])
    assert found.passed(1e9, ["clicks per session"])
    with pytest.raises(SettingError, match="no measure 'clicks'"):
        found.passed(2.0, ["clicks"])
    with pytest.raises(SettingError, match="largest_ratio"):
        found.passed(float("nan"))


def test_the_simple_simulator_keeps_rates_and_loses_what_goes_with_what(copied):
    log, found = copied
    clicks = found.row("clicks per session")
    assert clicks.simple.distance <= clicks.floor.high
    trained = found.row("train on synthetic, test on real")
    assert trained.real > 0.65
    assert trained.simple.distance > 0.1 > trained.synthetic.distance
    # That a session's clicks are of one category is what independent draws cannot know.
    frechet = found.row("session Frechet distance")
    assert frechet.simple.distance > frechet.synthetic.distance
    assert log.count("sessions", "simple-simulator") == 0
    assert log.scalar("SELECT count(*) FROM runs") == 1


def test_the_same_seed_repeats_and_json_round_trips(copied):
    log, found = copied
    assert fidelity(log, "copy", **QUICK) == found
    assert Fidelity.model_validate_json(found.model_dump_json()) == found
    assert found.to_arrow().num_rows == len(found.rows)
    assert "| clicks per session |" in found.to_markdown()


def test_what_the_real_log_lacks_is_not_recorded(shop):
    shop.execute("UPDATE impressions SET clicked = NULL, position = NULL WHERE origin = 'real'")
    shop.execute("UPDATE searches SET query = NULL WHERE origin = 'real'")
    found = fidelity(shop, "copy", **QUICK)
    for measure in (
        "clicks per session",
        "purchases by position",
        "query length in words",
        "distinct-1 of queries",
        "embedding distance of queries",
    ):
        row = found.row(measure)
        assert row.words == "not recorded in the real log"
        assert (row.real, row.synthetic.distance, row.floor.distance) == (None, None, None)
        assert (row.simple.distance, row.verdict) == (None, "not measured")
    for measure in ("searches per session", "sessions without a query"):
        with pytest.raises(KeyError):
            found.row(measure)
    assert not found.passed(2.0, ["clicks per session"])
    assert found.row("purchases per session").measured


def test_a_log_of_clicked_sessions_only_is_compared_with_such_sessions(shop):
    shop.execute(
        """DELETE FROM sessions WHERE origin = 'real' AND session_id NOT IN (
            SELECT session_id FROM searches JOIN impressions USING (search_id) WHERE clicked)"""
    )
    found = fidelity(shop, "copy", **QUICK)
    assert found.row("sessions with a click").words == "not recorded in the real log"
    row = found.row("clicks per session")
    assert "only sessions with a click" in row.note
    assert row.verdict == "within"
    assert row.real > 1


def test_a_log_without_times_is_compared_as_a_whole(shop):
    shop.execute("UPDATE sessions SET started_at = NULL, ended_at = NULL WHERE origin = 'real'")
    shop.execute("UPDATE searches SET searched_at = NULL WHERE origin = 'real'")
    found = fidelity(shop, "copy", **QUICK)
    assert found.until is None
    assert found.real_sessions == shop.count("sessions", "real")
    assert any("no times" in caution for caution in found.cautions)
    assert not found.row("train on synthetic, test on real").measured
    with pytest.raises(KeyError):
        found.row("minutes per session")


def test_purchases_beside_the_pages_are_used_where_pages_have_none(shop):
    shop.execute("UPDATE impressions SET purchased = NULL WHERE origin = 'real'")
    bought = shop.query(
        "SELECT user_id, 'i3' AS item_id, session_id, 2.0 AS quantity, 5.0 AS amount,"
        " started_at AS purchased_at, 'real' AS origin FROM sessions WHERE origin = 'real'"
        " AND hash(session_id) % 2 = 0"
    )
    shop.append("purchases", bought)
    row = fidelity(shop, "copy", **QUICK).row("purchases per session")
    assert row.real == pytest.approx(0.5, abs=0.12)
    assert row.simple.value == pytest.approx(row.real, abs=0.15)


def test_windows_and_missing_sides(shop):
    add_run(shop, "empty")
    with pytest.raises(EmptyLogError, match="no sessions of the run"):
        fidelity(shop, "empty", **QUICK)
    with pytest.raises(DataError, match="no run 'none'"):
        fidelity(shop, "none", **QUICK)
    with pytest.raises(EmptyLogError, match="no real sessions"):
        fidelity(shop, "copy", end=START, **QUICK)
    for wrong in ({"splits": 1}, {"resamples": 5}):
        with pytest.raises(SettingError, match=next(iter(wrong))):
            fidelity(shop, "copy", **(QUICK | wrong))


def test_a_later_window_may_hold_new_items(shop):
    later = fidelity(shop, "copy", start=UNTIL, end=UNTIL.replace(year=2027), **QUICK)
    assert later.real_sessions < 80
    assert later.row("share of new items in purchases").real is not None


def test_a_run_that_did_nothing_and_single_users_give_no_error(tmp_path):
    generator = np.random.default_rng(0)
    with make_log(tmp_path) as log:
        add(log, make_shoppers("idle", 1, generator, sessions=2))
        log.execute("DELETE FROM impressions WHERE origin = 'idle'")
        log.execute("DELETE FROM searches WHERE origin = 'idle'")
        add_run(log, "idle")
        found = fidelity(log, "idle", **QUICK)
        assert found.row("clicks per session").synthetic.value == 0
        assert found.row("clicks per session").direction == "lower"
        assert found.row("mean price of purchases").words == "not measurable in the run"
        assert found.row("train on synthetic, test on real").words.endswith("pages to train on")
        assert not found.row("classifier two-sample test").measured


def test_one_real_user_has_nothing_to_be_compared_with(tmp_path):
    generator = np.random.default_rng(0)
    with Log.create(tmp_path / "one.duckdb") as log:
        add(log, make_shoppers("real", 1, generator, sessions=30))
        add(log, make_shoppers("run", 3, generator))
        add_run(log, "run")
        found = fidelity(log, "run", **QUICK)
    assert found.row("clicks per session").words == "too few real users for two parts"
    assert "Nothing could be compared" in found.verdict
    assert found.passed()


def test_missing_weights_leave_a_plain_note(shop):
    class Missing:
        def encode(self, texts):
            raise MissingPartError("The text encoder needs torch.")

    sides = Sides(shop, Window("copy"))
    rows = sides.queries()
    sample = [
        sample_texts(rows, "query", synthetic=made, generator=np.random.default_rng(0))
        for made in (False, True, True)
    ]
    texts = TextSides((sides, sides), {"embedding distance of queries": tuple(sample)})
    trial = Trial("copy", read_measures(sides, None), None, 5, 2, 20, 0)
    (row,) = embedding_rows(texts, Missing(), trial)
    assert row.words == "not measured: The text encoder needs torch."
    assert (row.verdict, row.synthetic.distance) == ("not measured", None)
