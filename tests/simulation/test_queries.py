from datetime import datetime, timedelta

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from footfall.simulator.language import Language
from footfall.simulator.log import Log
from footfall.simulator.prompts import NO_QUERY
from footfall.simulator.queries import QueryLimits, accept_query, query_key
from footfall.simulator.schema import ARROW_SCHEMAS

LABELS = ("Query", "Looking for", "Shopper", "搜索词", "想找")
ENGLISH = Language(shares={"Latin": 1.0})
TIGHT = QueryLimits(most_characters=12, most_words=3)


def judged(text, **settings):
    verdict = accept_query(text, labels=LABELS, **settings)
    return verdict.query or verdict.reason or verdict.kind


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        ("  xbox\t 360 ", "xbox 360"),
        ("\n\nxbox 360\nLooking for: bread", "xbox 360"),
        ("xbox\u200b\x00 360\u202e", "xbox 360"),
        ("Query: xbox", "xbox"),
        ("query : “xbox”", "xbox"),
        ("Query: Query: 'xbox 360'", "xbox 360"),
        ("搜索词：牛奶", "牛奶"),
        ("牛奶 搜索词：面包", "牛奶"),
        ("xbox Looking for: halo", "xbox"),
        ("- xbox", "xbox"),
        ("「牛奶」", "牛奶"),
        ("《三体》", "三体"),
        ('"xbox', "xbox"),
        ('xbox"', "xbox"),
        ('tv 55"', 'tv 55"'),
        ("the Query shopper", "the Query shopper"),
        ("xbox xbox xbox xbox", "xbox"),
        ("Halo reach halo Reach halo reach hal", "Halo reach"),
        ("halo reach reach reach reach", "halo reach"),
        ("duran duran", "duran duran"),
        ("牛奶牛奶牛奶牛", "牛奶"),
        ("haaaaaaaaaaalo", "halo"),
        ("xxl", "xxl"),
        ("100000 mah", "100000 mah"),
        ("5 5 5 5", "5 5 5 5"),
        ("", "empty"),
        (" \n\u200b\n", "empty"),
        ("Query:", "echo"),
        ("Query", "echo"),
        ("想 找", "echo"),
        ("!!! ???", "no words"),
        ("牛奶", "another script"),
        ("Тетрадь", "another script"),
        (NO_QUERY, "browse"),
        ("—", "browse"),
        ("Query: -", "browse"),
    ],
)
def test_what_an_answer_is_worth(answer, outcome):
    language = ENGLISH if outcome == "another script" else None
    assert judged(answer, language=language) == outcome


def test_a_query_already_tried_is_refused_however_it_is_written():
    for answer in ("Xbox 360", "xbox360", "ＸＢＯＸ　360", '"xbox 360"'):
        assert judged(answer, tried=["XBOX 360"]) == "tried"
    assert judged("xbox 36", tried=["XBOX 360"]) == "xbox 36"
    assert query_key("Ｘ box") == query_key("xBOX")


def test_long_answers_are_cut_at_a_blank_and_endless_ones_refused():
    assert judged("one two three four", limits=TIGHT) == "one two"
    assert judged("a b c d", limits=TIGHT) == "a b c"
    assert judged("一二三四五六七八九十甲乙丙丁", limits=TIGHT) == "一二三四五六七八九十甲乙"
    assert judged(" ".join("abcdefghijklmnopqrstuvwxyz"), limits=TIGHT) == "endless"
    assert judged("word " * 10_000 + "end") != "endless"
    assert judged("".join(chr(0x4E00 + n) for n in range(1500))) == "endless"


any_text = st.one_of(
    st.text(st.characters()),
    st.lists(
        st.sampled_from(
            [*LABELS, ":", "：", " ", "\n", "-", '"', "“", "”", "(", ")", "xbox", "牛奶", "a", "5"]
        )
    ).map("".join),
)


@settings(deadline=None)
@given(any_text, st.lists(st.text(max_size=4), max_size=3), st.sampled_from([TIGHT, None]))
def test_every_answer_gets_a_verdict_that_keeps_the_promises(text, tried, limits):
    asked = {"labels": LABELS, "tried": tried, "limits": limits, "language": ENGLISH}
    verdict = accept_query(text, **asked)
    assert (verdict.query is not None) == (verdict.kind == "query")
    assert (verdict.reason is not None) == (verdict.kind == "refused")
    if verdict.query is None:
        return
    limits = limits or QueryLimits()
    assert 0 < len(verdict.query) <= limits.most_characters
    assert len(verdict.query.split(" ")) <= limits.most_words
    assert verdict.query.isprintable() or "\u200c" in verdict.query or "\u200d" in verdict.query
    assert query_key(verdict.query) not in {query_key(earlier) for earlier in tried}
    assert ENGLISH.accepts(verdict.query)
    # What was accepted is accepted again, unchanged; and not once it was tried.
    assert accept_query(verdict.query, **asked) == verdict
    again = accept_query(verdict.query, **(asked | {"tried": [*tried, verdict.query]}))
    assert again.reason == "tried"


def add_queries(log, queries, *, origin="real", at=datetime(2024, 1, 1)):
    rows = [
        {
            "search_id": f"{origin}/{at}/{number}",
            "session_id": "s",
            "step": 1,
            "page": 1,
            "candidates": "logged",
            "query": query,
            "searched_at": at,
            "origin": origin,
        }
        for number, query in enumerate(queries)
    ]
    log.append("searches", pa.Table.from_pylist(rows, schema=ARROW_SCHEMAS["searches"]))


def test_the_limits_are_the_quantiles_of_the_real_queries(tmp_path):
    with Log.create(tmp_path / "shop.duckdb") as log:
        assert QueryLimits.from_log(log) == QueryLimits()
        # Of 2,000 queries the two longest are beyond the 99.9 % quantile.
        add_queries(log, ["  red  shoe "] * 1997 + ["red shoe to run", "x y " * 22, "a " * 40])
        add_queries(log, ["later " * 15] * 500, at=datetime(2024, 2, 1))
        add_queries(log, ["simulated " * 15] * 500, origin="run-1")
        found = QueryLimits.from_log(log, until=datetime(2024, 1, 1) + timedelta(days=1))
    assert found == QueryLimits(most_characters=15, most_words=4)
