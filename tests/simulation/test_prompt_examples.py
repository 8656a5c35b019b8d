from datetime import datetime, timedelta

import pyarrow as pa
import pytest

from footfall.simulator.log import Log
from footfall.simulator.prompt_examples import read_query_examples
from footfall.simulator.schema import ARROW_SCHEMAS

UNTIL = datetime(2024, 3, 1)
IMPRESSION = {"sample_rate": 1.0, "origin": "real"}


def add(log, table, rows):
    log.append(table, pa.Table.from_pylist(rows, schema=ARROW_SCHEMAS[table]))


def add_query(log, query, item, *, at=UNTIL - timedelta(days=1), origin="real", clicked=True):
    search = f"{origin}/{query}/{item}/{at}"
    row = {"search_id": search, "session_id": "s", "step": 1, "page": 1, "candidates": "logged"}
    add(log, "searches", [row | {"query": query, "searched_at": at, "origin": origin}])
    add(
        log,
        "impressions",
        [IMPRESSION | {"search_id": search, "item_id": item, "clicked": clicked, "origin": origin}],
    )


@pytest.fixture
def log(tmp_path):
    with Log.create(tmp_path / "shop.duckdb") as made:
        items = [
            {
                "item_id": f"i{n}",
                "text": f"thing number {n}",
                "category": f"Food > Kind {n}",
                "origin": "real",
            }
            for n in range(8)
        ]
        add(made, "items", items)
        yield made


def test_real_queries_show_what_they_led_to(log):
    for number in range(6):
        add_query(log, f"query {number}", f"i{number}")
        add_query(log, f"query {number}", "i7", clicked=False)
    found = read_query_examples(log, until=UNTIL, count=4)
    assert len(found) == len({example.query for example in found}) == 4
    for example in found:
        assert example.wanted == f"thing number {example.query.removeprefix('query ')}"


def test_a_query_typed_often_is_shown_once(log):
    for number in range(6):
        add_query(log, "milk", f"i{number}")
    for other in ("bread", "tea", "牛奶"):
        add_query(log, other, "i7")
    assert sorted(example.query for example in read_query_examples(log, count=4)) == [
        "bread",
        "milk",
        "tea",
        "牛奶",
    ]


def test_later_simulated_empty_and_long_queries_are_not_shown(log):
    for number in range(3):
        add_query(log, f"query {number}", f"i{number}")
    add_query(log, "later", "i4", at=UNTIL)
    add_query(log, "simulated", "i5", origin="sim-1")
    add_query(log, "x", "i6")
    add_query(log, "y" * 41, "i7")
    add_query(log, "not clicked", "i7", clicked=False)
    found = read_query_examples(log, until=UNTIL, count=3)
    assert {example.query for example in found} == {"query 0", "query 1", "query 2"}
    # With a fourth wanted there are too few, and the catalogue's words are taken instead.
    fallen_back = read_query_examples(log, until=UNTIL, count=4)
    assert len(fallen_back) == 4
    for example in fallen_back:
        assert example.query == f"kind {example.wanted.removeprefix('thing number ')}"


def test_the_seed_chooses_and_the_same_seed_chooses_the_same(log):
    for number in range(8):
        # Two items clicked on one page: which one is shown must not depend on chance.
        add_query(log, f"query {number}", f"i{number}")
        search = f"real/query {number}/i{number}/{UNTIL - timedelta(days=1)}"
        extra = {"search_id": search, "item_id": f"i{7 - number}", "clicked": True}
        add(log, "impressions", [IMPRESSION | extra])
    chosen = [read_query_examples(log, until=UNTIL, count=3, seed=seed) for seed in (0, 0, 1)]
    assert chosen[0] == chosen[1] != chosen[2]


def test_an_empty_log_has_no_examples(tmp_path):
    with Log.create(tmp_path / "empty.duckdb") as log:
        assert read_query_examples(log) == ()


def test_of_a_mixed_log_the_shoppers_own_script_comes_first(log):
    for number, query in enumerate(("牛奶", "oppo 手机壳", "milk", "red tea", "42", "молоко")):
        add_query(log, query, f"i{number}")

    def shown(locale, count):
        return {example.query for example in read_query_examples(log, count=count, locale=locale)}

    assert shown("zh_CN", 1) == {"牛奶"}
    assert shown("en_GB", 3) == {"milk", "red tea", "oppo 手机壳"}
    assert shown("ja_JP", 1) == {"牛奶"}
    assert shown("ru_RU", 1) == {"молоко"}
    # Nothing is in Thai: the choice is the same as without a locale.
    assert shown("th_TH", 3) == shown(None, 3)


def test_none_are_shown_where_none_are_wanted(log):
    add_query(log, "milk", "i0")
    assert read_query_examples(log, count=0) == ()
