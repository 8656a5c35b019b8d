from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from footfall.errors import CatalogueError, DataError
from footfall.simulator.catalog import Catalog
from footfall.simulator.histories import read_demographics, read_histories, read_pages
from footfall.simulator.log import Log


def day(number: int) -> datetime:
    return datetime(2026, 1, number)


def rows(log: Log, table: str, *records: dict[str, object]) -> None:
    names = dict.fromkeys(name for record in records for name in record)
    columns = {name: [record.get(name) for record in records] for name in names}
    log.append(table, pa.table({**columns, "origin": [r.get("origin", "real") for r in records]}))


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    with Log.create(tmp_path / "log.duckdb") as opened:
        rows(
            opened,
            "items",
            {"item_id": "a", "text": "tomato soup", "category": "SOUP", "price": 2.0},
            {"item_id": "b", "text": "纯牛奶", "category": "SOUP"},
            {"item_id": "c", "text": "bread", "category": "BREAD", "first_seen": day(9)},
            {"item_id": "d", "text": "pea soup", "category": "SOUP"},
        )
        yield opened


def buy(log: Log) -> None:
    def purchase(item: str, when: int, quantity: float, amount: float) -> dict[str, object]:
        return {
            "user_id": "u",
            "item_id": item,
            "session_id": f"s{when}",
            "quantity": quantity,
            "amount": amount,
            "purchased_at": day(when),
        }

    rows(
        log,
        "purchases",
        purchase("b", 3, 2.0, 8.0),
        purchase("b", 2, 1.0, 6.0),
        purchase("b", 5, 1.0, 90.0),
        purchase("d", 4, 0.0, 1.0),
        {**purchase("a", 1, 1.0, 1.0), "origin": "run-1"},
    )


def show(log: Log) -> None:
    rows(log, "sessions", {"session_id": "s", "user_id": "v", "started_at": day(1)})
    search = {"session_id": "s", "candidates": "logged", "searched_at": day(1)}
    rows(
        log,
        "searches",
        {**search, "search_id": "q1", "step": 1, "page": 1, "query": "soup"},
        {**search, "search_id": "q2", "step": 2, "page": 2, "query": "soup"},
        {**search, "search_id": "q3", "step": 3, "page": 1},
    )
    log.append(
        "impressions",
        pa.table(
            {
                "search_id": ["q1", "q1", "q2"],
                "item_id": ["a", "c", "d"],
                "clicked": [True, False, None],
                "purchased": [None, False, True],
                "price": [7.0, None, None],
                "shown_at": [day(1), day(1), day(2)],
                "sample_rate": [1.0, 1.0, 1.0],
                "origin": ["real"] * 3,
            }
        ),
    )


def test_price_first_seen_and_popularity_by_hand(log: Log) -> None:
    buy(log)
    show(log)
    table = Catalog.from_log(log, until=day(5)).table
    assert table["item_id"].to_pylist() == ["a", "b", "c", "d"]
    # b: median of 4 and 6. d: median of a and b. c: nothing in its category: median of a and b.
    assert table["price"].to_pylist() == [2.0, 5.0, 3.5, 3.5]
    assert table["popularity"].to_pylist() == [1, 2, 0, 1]
    assert table["first_seen"].to_pylist() == [day(1), day(2), day(9), day(2)]


def test_until_with_a_zone_and_without_until(log: Log) -> None:
    buy(log)
    moment = day(5).replace(tzinfo=UTC)
    assert Catalog.from_log(log, until=moment).table == Catalog.from_log(log, until=day(5)).table
    assert Catalog.from_log(log).rows(["b"])["popularity"].to_pylist() == [3]
    assert Catalog.from_log(log).rows(["b"])["price"].to_pylist() == [6.0]


def test_log_without_purchases_counts_bought_impressions(log: Log) -> None:
    show(log)
    table = Catalog.from_log(log).table
    assert table["popularity"].to_pylist() == [1, 0, 0, 1]
    assert table["price"].to_pylist() == [2.0, 2.0, 2.0, 2.0]


def test_rows_keep_order_and_repeats(log: Log) -> None:
    catalog = Catalog.from_log(log)
    assert len(catalog) == 4
    assert catalog.rows(["c", "a", "c"])["text"].to_pylist() == ["bread", "tomato soup", "bread"]
    assert catalog.rows([]).num_rows == 0
    assert "a" in catalog
    assert "z" not in catalog
    with pytest.raises(CatalogueError, match="'z'"):
        catalog.rows(["a", "z"])
    assert catalog.subset(["d", "a"]).item_ids.tolist() == ["d", "a"]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"item_id": [], "text": []}, "empty"),
        ({"item_id": ["a", "a"], "text": ["x", "y"]}, "repeated, such as 'a'"),
        ({"item_id": ["a", None], "text": ["x", "y"]}, "Row 2 .* no item_id"),
        ({"item_id": ["a"], "text": [None]}, "Row 1 .* no text"),
        ({"item_id": ["a"]}, "lacks the column"),
        ({"item_id": ["a"], "text": ["x"], "price": ["dear"]}, "wrong kind"),
    ],
)
def test_unusable_tables(columns: dict[str, list[object]], message: str) -> None:
    with pytest.raises(CatalogueError, match=message):
        Catalog.from_table(pa.table(columns))


def test_empty_log(tmp_path: Path) -> None:
    with Log.create(tmp_path / "empty.duckdb") as opened:
        with pytest.raises(CatalogueError, match="empty"):
            Catalog.from_log(opened)
        assert read_histories(opened).num_rows == 0
        assert read_demographics(opened) is None
        assert read_pages(opened) is None


def test_histories_from_purchases(log: Log) -> None:
    buy(log)
    show(log)
    found = read_histories(log, until=day(5)).to_pylist()
    assert [row["text"] for row in found] == ["纯牛奶", "纯牛奶", "pea soup"]
    assert [row["price"] for row in found] == [6.0, 4.0, None]
    assert [row["session_id"] for row in found] == ["s2", "s3", "s4"]
    assert read_histories(log, origin="run-1")["text"].to_pylist() == ["tomato soup"]


def test_histories_from_impressions(log: Log) -> None:
    show(log)
    found = read_histories(log).to_pylist()
    assert [(row["user_id"], row["text"], row["price"]) for row in found] == [
        ("v", "tomato soup", 7.0),
        ("v", "pea soup", None),
    ]
    assert [row["occurred_at"] for row in found] == [day(1), day(2)]
    assert read_histories(log, until=day(2)).num_rows == 1
    assert read_pages(log).to_pylist() == [{"user_id": "v", "pages": 2.0, "sessions": 1.0}]


def test_demographics(log: Log) -> None:
    rows(
        log,
        "users",
        {"user_id": "u", "locale": "en_US", "demographics": '{"age": "25-34", "kids": 2}'},
        {"user_id": "v", "locale": "zh_CN", "demographics": '{"city": "北京", "age": null}'},
        {"user_id": "w", "locale": "en_US", "demographics": "{}"},
    )
    found = read_demographics(log)
    assert found is not None
    assert found.to_pylist() == [
        {"user_id": "u", "age": "25-34", "kids": "2", "city": None},
        {"user_id": "v", "age": None, "kids": None, "city": "北京"},
    ]


def test_broken_demographics_name_the_user(log: Log) -> None:
    rows(log, "users", {"user_id": "u", "locale": "en_US", "demographics": "[1]"})
    with pytest.raises(DataError, match="'u'"):
        read_demographics(log)
