from datetime import datetime, timedelta
from itertools import product

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from footfall.simulator.log import Log
from footfall.simulator.queries import accept_query, query_key
from footfall.simulator.query_change import is_reformulation, reformulation_kind
from footfall.simulator.reformulation import (
    ReformulationExample,
    Reformulations,
    broaden,
    read_reformulation_examples,
)
from footfall.simulator.schema import ARROW_SCHEMAS

UNTIL = datetime(2024, 3, 1)
START = UNTIL - timedelta(days=1)


@pytest.mark.parametrize(
    ("first", "second", "kind"),
    [
        ("red shoes", "Shoes, RED", "same"),
        ("", "", "same"),
        ("x box", "xbox", "corrected"),
        ("battlfield 3", "battlefield 3", "corrected"),
        ("elder scroll", "elder scrolls", "corrected"),
        ("anivresary", "anniversary", "corrected"),
        ("小米 手机", "小米手机", "corrected"),
        ("xbox", "xbox kinect", "added"),
        ("halo", "halo4", "added"),
        ("小米", "小米手机", "added"),
        ("Gears 3", "gears of war 3", "added"),
        ("gears of war 3", "gears of war", "dropped"),
        ("小米手机", "手机", "dropped"),
        ("madden 12", "madden 11", "replaced"),
        ("red shoes", "blue shoes", "replaced"),
        ("小米手机", "小米电视", "replaced"),
        ("fifa 12", "nhl 12", "new"),
        ("call of duty", "gears of war", "new"),
        ("汽车", "火车", "new"),
        ("shoe", "牛奶", "new"),
        ("cat", "car", "new"),
    ],
)
def test_what_the_second_query_does_to_the_first(first, second, kind):
    assert reformulation_kind(first, second) == kind
    assert is_reformulation(first, second) == (kind not in {"same", "new"})
    mirrored = {"added": "dropped", "dropped": "added"}.get(kind, kind)
    assert reformulation_kind(second, first) == mirrored


@settings(deadline=None)
@given(st.text(st.characters()), st.text(st.characters()))
def test_any_two_queries_have_a_kind(first, second):
    assert reformulation_kind(first, first) == "same"
    assert reformulation_kind(first, second) in {*Reformulations.model_fields, "same"}


@pytest.fixture
def log(tmp_path):
    with Log.create(tmp_path / "shop.duckdb") as made:
        items = [{"item_id": "i", "text": "Rye bread 500 g", "origin": "real"}]
        made.append("items", pa.Table.from_pylist(items, schema=ARROW_SCHEMAS["items"]))
        yield made


def add_session(log, name, queries, *, clicked=(), origin="real", at=START, page=1, times=1):
    """A session's searches, a minute apart; ``clicked`` are the queries that led to a click."""
    searches, impressions = [], []
    for session, (number, query) in product(range(times), enumerate(queries)):
        search = f"{origin}/{name}/{session}/{number}"
        searches.append(
            {
                "search_id": search,
                "session_id": f"{origin}/{name}/{session}",
                "step": number + 1,
                "page": page,
                "candidates": "logged",
                "query": query,
                "searched_at": at + timedelta(minutes=number),
                "origin": origin,
            }
        )
        impressions.append(
            {
                "search_id": search,
                "item_id": "i",
                "clicked": query in clicked,
                "sample_rate": 1.0,
                "origin": origin,
            }
        )
    for table, rows in (("searches", searches), ("impressions", impressions)):
        log.append(table, pa.Table.from_pylist(rows, schema=ARROW_SCHEMAS[table]))


def test_kinds_are_counted_over_neighbouring_queries_of_a_session(log):
    queries = ["bread", "Bread ", "rye bread", "rye bread roll", "milk"]
    add_session(log, "long", queries, times=30)
    add_session(log, "drop", ["rye bread", None, "bread"], times=30)
    add_session(log, "later", ["bread", "milk"], at=UNTIL, times=30)
    add_session(log, "simulated", ["bread", "milk"], origin="run-1", times=30)
    add_session(log, "turn", ["bread", "milk"], page=2, times=30)
    found = Reformulations.fit(log, until=UNTIL)
    assert found.added.value == pytest.approx(60 / 120)
    assert found.new.value == pytest.approx(30 / 120)
    assert found.dropped.value == pytest.approx(30 / 120)
    assert found.corrected.value == found.replaced.value == 0.0
    assert found.new.standard_error == pytest.approx((0.25 * 0.75 / 120) ** 0.5)
    assert found.new.source == "fitted"


def test_too_few_pairs_leave_the_priors(log):
    assert Reformulations.fit(log) == Reformulations()
    add_session(log, "pair", ["bread", "milk"], times=99)
    assert Reformulations.fit(log).new.source == "prior"
    add_session(log, "one more", ["bread", "milk"])
    assert Reformulations.fit(log).new.value == 1.0


def test_examples_are_pairs_of_which_only_the_second_led_somewhere(log):
    add_session(log, 1, ["rye", "rye bread"], clicked=["rye bread"])
    add_session(log, 2, ["brown loaf", "milk"], clicked=["milk"])
    add_session(log, 3, ["bread", "bread roll"], clicked=["bread", "bread roll"])
    add_session(log, 4, ["bread", "white bread"])
    add_session(log, 5, ["面包", "黑麦面包"], clicked=["黑麦面包"], at=UNTIL)
    wanted = "Rye bread 500 g"
    assert read_reformulation_examples(log, until=UNTIL) == (
        ReformulationExample(wanted, "rye", "rye bread"),
    )
    found = read_reformulation_examples(log, count=5)
    assert {example.later for example in found} == {"rye bread", "黑麦面包"}
    assert read_reformulation_examples(log, count=1) in {found[:1]}
    assert read_reformulation_examples(log, count=0) == ()


def chain(query, wanted, category=None):
    """Every query that broadening leads to, one after the other."""
    tried = [query]
    while (wider := broaden(tried[-1], tried, wanted, category=category)) is not None:
        tried.append(wider)
    return tried[1:]


def test_a_query_is_broadened_step_by_step_until_nothing_is_left():
    wanted = "Microsoft - Xbox 360 Wireless Controller (black)"
    assert chain("xbox 360 cheap red controller", wanted, "Gaming > Accessories") == [
        "xbox 360 controller",
        "xbox 360",
        "xbox",
        "Microsoft - Xbox",
        "Microsoft",
        "accessories",
    ]
    assert chain("小米手机红色", "小米13 手机壳 红色") == [
        "小米手机",
        "小米",
        "小米13 手机",
        "小米13",
    ]
    assert chain("", "纯牛奶250ml", "牛奶") == ["纯牛奶250ml", "纯牛奶", "纯牛", "牛奶"]
    assert chain("bread", None) == []
    assert broaden("rye bread", ["RYE"], None) is None


@settings(deadline=None)
@given(
    st.text(max_size=20),
    st.lists(st.text(max_size=5), max_size=3),
    st.none() | st.text(max_size=20),
)
def test_broadening_ends_and_never_repeats(query, tried, wanted):
    used = [query, *tried]
    for _ in range(50):
        wider = broaden(used[-1], used, wanted)
        if wider is None:
            return
        assert query_key(wider) not in {query_key(earlier) for earlier in used}
        used.append(wider)
    pytest.fail("broadening does not end")


def test_a_broader_query_is_one_that_is_accepted():
    tried = ["xbox 360 cheap red controller"]
    wider = broaden(tried[0], tried, "Xbox 360")
    assert accept_query(wider, tried=tried).query == wider
