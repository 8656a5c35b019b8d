from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from footfall.errors import DataError, EmptyLogError
from footfall.personas.habits import HISTORY_COLUMNS, measure_habits

_START = datetime(2026, 1, 5)
_SOUP = "GROCERY > SOUP > TOMATO"
_TYPES = {
    "price": pa.float64(),
    "occurred_at": pa.timestamp("us"),
}


def table(*rows: tuple[object, ...]) -> pa.Table:
    """Rows of user, text, category, brand, price, day, session."""
    shaped = [
        (*row[:5], None if row[5] is None else _START + timedelta(days=float(row[5])), row[6])  # type: ignore[arg-type]
        for row in rows
    ]
    return pa.table(
        {
            name: pa.array([row[place] for row in shaped], _TYPES.get(name, pa.string()))
            for place, name in enumerate(HISTORY_COLUMNS)
        }
    )


def one(histories: pa.Table, user: str) -> dict[str, float]:
    rows = {row["user_id"]: row for row in measure_habits(histories).users.to_pylist()}
    return rows[user]


def test_price_sensitivity_by_hand() -> None:
    # Prices 1, 1, 3: mid-rank percentiles 1/3, 1/3 and 5/6.
    log = table(
        ("a", "s1", _SOUP, "x", 1.0, 0, "a1"),
        ("b", "s1", _SOUP, "x", 1.0, 0, "b1"),
        ("c", "s2", _SOUP, "x", 3.0, 0, "c1"),
        ("c", "only", "OTHER", "x", 9.0, 0, "c1"),
    )
    assert one(log, "a")["price_sensitivity"] == pytest.approx((2 / 3 + 5) / 11)
    assert one(log, "c")["price_sensitivity"] == pytest.approx((1 / 6 + 5) / 11)


def test_brand_loyalty_by_hand() -> None:
    # a: x x y -> one repeat in two pairs; b: x then unknown then x -> one repeat in one pair.
    log = table(
        ("a", "1", _SOUP, "x", 1.0, 0, "a1"),
        ("a", "2", _SOUP, "x", 1.0, 1, "a2"),
        ("a", "3", _SOUP, "y", 1.0, 2, "a3"),
        ("b", "1", _SOUP, "x", 1.0, 0, "b1"),
        ("b", "4", _SOUP, None, 1.0, 1, "b2"),
        ("b", "1", _SOUP, "x", 1.0, 2, "b3"),
    )
    habits = measure_habits(log)
    assert habits.population["brand_loyalty"] == pytest.approx(2 / 3)
    assert one(log, "a")["brand_loyalty"] == pytest.approx((1 + 5 * 2 / 3) / 7)
    assert one(log, "b")["brand_loyalty"] == pytest.approx((1 + 5 * 2 / 3) / 6)


def test_exploration_and_activity_by_hand() -> None:
    # a: first session p, then p q q: q is new once -> 1 of 3. Three sessions in two weeks.
    log = table(
        ("a", "p", _SOUP, "x", 1.0, 0, "a1"),
        ("a", "p", _SOUP, "x", 1.0, 7, "a2"),
        ("a", "q", _SOUP, "x", 1.0, 7, "a2"),
        ("a", "q", _SOUP, "x", 1.0, 14, "a3"),
        ("b", "p", _SOUP, "x", 1.0, 0, "b1"),
    )
    habits = measure_habits(log)
    assert habits.population["exploration"] == pytest.approx(1 / 3)
    assert habits.population["activity"] == pytest.approx(1.0)
    assert one(log, "a")["exploration"] == pytest.approx((1 + 10 / 3) / 13)
    assert one(log, "a")["activity"] == pytest.approx((3 - 1 + 4) / (2 + 4))
    assert one(log, "b")["exploration"] == pytest.approx(1 / 3)
    assert one(log, "b")["activity"] == pytest.approx(1.0)


def test_interests_by_hand() -> None:
    # Population: SOUP 3/4, BREAD 1/4. a took two soups: (2 + 5 * 3/4) / 7 and (0 + 5 / 4) / 7.
    log = table(
        ("a", "1", _SOUP, "x", 1.0, 0, "a1"),
        ("a", "1", "GROCERY > SOUP > PEA", "x", 1.0, 0, "a1"),
        ("b", "1", _SOUP, "x", 1.0, 0, "b1"),
        ("b", "2", "BAKERY > BREAD", "x", 1.0, 0, "b1"),
    )
    habits = measure_habits(log)
    found = {(r["user_id"], r["category"]): r["weight"] for r in habits.interests.to_pylist()}
    assert found["a", "GROCERY > SOUP"] == pytest.approx(5.75 / 7)
    assert found["a", "BAKERY > BREAD"] == pytest.approx(1.25 / 7)
    assert habits.population_interests == pytest.approx(
        {"GROCERY > SOUP": 0.75, "BAKERY > BREAD": 0.25}
    )


def test_patience_from_pages() -> None:
    log = table(("a", "1", _SOUP, "x", 1.0, 0, "a1"), ("b", "1", _SOUP, "x", 1.0, 0, "b1"))
    pages = pa.table({"user_id": ["a"], "pages": [20.0], "sessions": [5.0]})
    rows = measure_habits(log, pages).users.to_pylist()
    assert [row["patience"] for row in rows] == pytest.approx([3.0, 2.0])


def test_unknown_values_give_priors() -> None:
    row = one(table(("a", "1", None, None, None, None, None)), "a")
    assert row["price_sensitivity"] == row["brand_loyalty"] == 0.5
    assert (row["exploration"], row["activity"], row["patience"]) == (0.3, 1.0, 2.0)


def test_missing_column_and_no_rows() -> None:
    with pytest.raises(DataError, match="session_id"):
        measure_habits(table().drop_columns("session_id"))
    with pytest.raises(EmptyLogError):
        measure_habits(table())


_ROWS = st.tuples(
    st.sampled_from(["a", "b", "c"]),
    st.sampled_from(["p", "q", "牛奶"]),
    st.sampled_from([_SOUP, "食品 > 乳制品", None]),
    st.sampled_from(["x", "y", None]),
    st.one_of(st.none(), st.floats(0, 100)),
    st.integers(0, 60),
    st.sampled_from(["s1", "s2", None]),
)


@settings(max_examples=12, deadline=None)
@given(rows=st.lists(_ROWS, min_size=1, max_size=25), seed=st.integers(0, 9))
def test_habits_stay_in_range_and_ignore_row_order(
    rows: list[tuple[object, ...]], seed: int
) -> None:
    log = table(*rows)
    habits = measure_habits(log)
    shuffled = measure_habits(log.take(np.random.default_rng(seed).permutation(len(rows))))
    assert habits.users.equals(shuffled.users)
    for name in ("price_sensitivity", "brand_loyalty", "exploration"):
        assert all(0.0 <= value <= 1.0 for value in habits.users[name].to_pylist())
    assert all(value > 0 for value in habits.users["activity"].to_pylist())
    totals: dict[str, float] = {}
    for row in habits.interests.to_pylist():
        totals[row["user_id"]] = totals.get(row["user_id"], 0.0) + row["weight"]
    assert list(totals.values()) == pytest.approx([1.0] * len(totals))
