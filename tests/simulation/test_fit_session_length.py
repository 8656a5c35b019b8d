"""Sessions made from known rates: the fit must find them, and keep priors where it cannot know."""

from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from footfall.simulator.behaviour import Behaviour
from footfall.simulator.fit_session_length import fit_sessions, share
from footfall.simulator.log import Log
from footfall.simulator.schema import ARROW_SCHEMAS

START = datetime(2024, 1, 1)
TRUTH = {
    "browsing": 0.2,
    "leave_after_page": 0.3,
    "leave_after_click": 0.5,
    "leave_after_purchase": 0.8,
    "next_page": 0.35,
    "new_need": 0.25,
}
NEEDS = (
    ("garden hose", "hose 20 m", "rubber hose"),
    ("rye bread", "bread", "dark bread"),
    ("洗发水", "洗发露", "去屑洗发"),
)


def visits(rng, count):
    """Sessions as shoppers of these rates make them: rows of searches and of impressions."""
    searches, impressions = [], []
    for number in range(count):
        at = START + timedelta(minutes=number)
        browsing = rng.random() < TRUTH["browsing"]
        need, tried, page = int(rng.integers(3)), 0, 1
        for step in range(1, 200):
            search = f"s{number}/{step}"
            query = None if browsing else NEEDS[need][tried % 3]
            searches.append(
                {
                    "search_id": search,
                    "session_id": f"s{number}",
                    "step": step,
                    "query": query,
                    "page": page,
                    "candidates": "logged",
                    "searched_at": at + timedelta(seconds=step),
                    "origin": "real",
                }
            )
            clicked = bool(rng.random() < 0.5)
            bought = clicked and bool(rng.random() < 0.3)
            impressions.append(
                {
                    "search_id": search,
                    "item_id": "i",
                    "clicked": clicked,
                    "purchased": bought,
                    "sample_rate": 1.0,
                    "origin": "real",
                }
            )
            kind = "purchase" if bought else "click" if clicked else "page"
            if rng.random() < TRUTH[f"leave_after_{kind}"]:
                break
            if not bought and rng.random() < TRUTH["next_page"]:
                page += 1
                continue
            page = 1
            tried += 1
            if bought or browsing or rng.random() < TRUTH["new_need"]:
                need, tried, browsing = (need + 1) % 3, 0, False
    return searches, impressions


def write(log, searches, impressions):
    for table, rows in (("searches", searches), ("impressions", impressions)):
        log.append(table, pa.Table.from_pylist(rows, schema=ARROW_SCHEMAS[table]))


@pytest.fixture
def log(tmp_path):
    with Log.create(tmp_path / "shop.duckdb") as made:
        yield made


def test_the_rates_that_made_the_sessions_are_found(log):
    write(log, *visits(np.random.default_rng(0), 2500))
    found = fit_sessions(log)
    for name, truth in TRUTH.items():
        rate = getattr(found, name)
        assert rate.source == "fitted", name
        assert abs(rate.value - truth) < 4 * rate.standard_error, name
        assert rate.standard_error < 0.03, name


def test_sessions_that_go_on_at_the_end_are_left_out(log):
    write(log, *visits(np.random.default_rng(1), 400))
    # One more session goes on for days, past the end; its first pages are no evidence.
    rows = [
        {
            "search_id": f"long/{step}",
            "session_id": "long",
            "step": step,
            "query": "q",
            "page": 1,
            "candidates": "logged",
            "searched_at": START + timedelta(hours=step),
            "origin": "real",
        }
        for step in range(1, 200)
    ]
    until = START + timedelta(hours=100)
    before = fit_sessions(log, until=until)
    write(log, rows, [])
    assert fit_sessions(log, until=until) == before
    assert fit_sessions(log) != before


def test_simulated_sessions_are_not_counted(log):
    searches, impressions = visits(np.random.default_rng(2), 300)
    write(log, searches, impressions)
    before = fit_sessions(log)
    made = [{**row, "search_id": f"x{row['search_id']}", "origin": "sim-1"} for row in searches]
    write(log, [{**row, "session_id": "x"} for row in made], [])
    assert fit_sessions(log) == before


def test_sessions_cut_to_one_page_say_nothing_of_leaving(log):
    searches, impressions = visits(np.random.default_rng(3), 500)
    firsts = {row["search_id"] for row in searches if row["step"] == 1}
    write(
        log,
        [row for row in searches if row["search_id"] in firsts],
        [row for row in impressions if row["search_id"] in firsts],
    )
    found, prior = fit_sessions(log), Behaviour()
    for name in TRUTH.keys() - {"browsing"}:
        assert getattr(found, name) == getattr(prior, name)
    assert found.browsing.source == "fitted"


def test_a_log_made_of_clicks_says_nothing_of_pages_without(log):
    searches, impressions = visits(np.random.default_rng(4), 1500)
    clicked = {row["search_id"] for row in impressions if row["clicked"]}
    write(
        log,
        [row for row in searches if row["search_id"] in clicked],
        [row for row in impressions if row["search_id"] in clicked],
    )
    found = fit_sessions(log)
    assert found.leave_after_page.source == "prior"
    assert "too few pages without a response in the log (0)" in found.leave_after_page.note
    assert found.leave_after_click.source == "fitted"


def test_where_clicks_are_not_recorded_pages_leave_alike(log):
    searches, impressions = visits(np.random.default_rng(5), 800)
    write(log, searches, [{**row, "clicked": None} for row in impressions])
    found = fit_sessions(log, clicks_known=False)
    assert found.leave_after_click.value == found.leave_after_page.value
    assert "no clicks" in found.leave_after_click.note
    assert 0.3 < found.leave_after_page.value < 0.5


def test_without_page_numbers_turning_stays_a_prior(log):
    searches, impressions = visits(np.random.default_rng(6), 800)
    write(log, [{**row, "page": 1} for row in searches], impressions)
    found = fit_sessions(log)
    assert found.next_page.source == "prior"
    assert "first pages only" in found.next_page.note


def test_without_queries_browsing_and_other_needs_stay_priors(log):
    searches, impressions = visits(np.random.default_rng(7), 500)
    write(log, [{**row, "query": None} for row in searches], impressions)
    found = fit_sessions(log)
    assert found.browsing == Behaviour().browsing
    assert found.new_need.source == "prior"
    assert found.leave_after_page.source == "fitted"


def test_an_empty_log_gives_priors(log):
    found, prior = fit_sessions(log), Behaviour()
    for name in TRUTH:
        assert getattr(found, name) == getattr(prior, name)


@pytest.mark.parametrize(
    ("first", "second", "other"),
    [
        ("garden hose", "HOSE 20m", False),
        ("garden hose", "rye bread", True),
        ("纯牛奶", "牛奶 1L", False),
        # One sign in common (牛: cow) is chance; of a query of one sign it is all there is.
        ("牛奶", "牛肉", True),
        ("茶", "绿茶", False),
        ("a b", "b c", False),
    ],
)
def test_a_common_word_makes_a_search_a_reformulation(log, first, second, other):
    rows = [
        {
            "search_id": f"{number}/{step}",
            "session_id": f"s{number}",
            "step": step,
            "query": query,
            "page": 1,
            "candidates": "logged",
            "origin": "real",
        }
        for number in range(60)
        for step, query in ((1, first), (2, second))
    ]
    write(log, rows, [])
    assert fit_sessions(log).new_need.value == float(other)


def test_a_share_of_none_or_all_is_not_certain():
    none, every = share(0, 100, "x"), share(100, 100, "x")
    assert (none.value, every.value) == (0.0, 1.0)
    assert 0.01 < none.standard_error < 0.03
    assert none.standard_error == pytest.approx(every.standard_error)
    assert share(50, 10_000, "x").standard_error == pytest.approx(0.0007, rel=0.1)
