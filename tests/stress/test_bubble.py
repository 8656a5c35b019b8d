"""The daily course of a shop, by hand arithmetic."""

from __future__ import annotations

from datetime import datetime

import pyarrow as pa
import pytest

from footfall.eval.stress.bubble import daily_course
from footfall.simulator.crowd_events import (
    IMPRESSION_SCHEMA,
    PAGE_SCHEMA,
    VISIT_SCHEMA,
    CrowdEvents,
)

ITEMS = pa.table(
    {"item_id": ["a", "b", "c", "d"], "category": ["tea", "tea", "salt", None]},
)
AT = datetime(2017, 1, 1)


def crowd(pages, *, role="shopper"):
    """``pages``: (day, shopper, items shown, items clicked)."""
    visits, asked, shown = [], [], []
    for number, (day, shopper, items, clicked) in enumerate(pages):
        key = f"{role}{number}"
        visits.append(
            {"session_id": key, "shopper_id": shopper, "day": day, "started_at": AT, "role": role}
        )
        asked.append({"search_id": key, "session_id": key, "step": 1, "page": 1})
        shown += [
            {"search_id": key, "position": place, "item_id": item, "clicked": item in clicked}
            for place, item in enumerate(items, start=1)
        ]
    return CrowdEvents(
        pa.Table.from_pylist(visits, schema=VISIT_SCHEMA),
        pa.Table.from_pylist(asked, schema=PAGE_SCHEMA),
        pa.Table.from_pylist(shown, schema=IMPRESSION_SCHEMA),
    )


def test_each_measure_of_a_day_is_what_the_hand_says():
    events = crowd([(0, "x", "ab", "a"), (0, "y", "ac", ""), (1, "x", "dddd", "")])
    first, second = daily_course(events, ITEMS).to_pylist()
    assert first["day"] == 0
    assert first["ctr"] == pytest.approx(1 / 4)
    assert first["different items"] == pytest.approx(100 * 3 / 4)
    # One percent of three items is one item: a, shown twice of four times.
    assert first["head share"] == pytest.approx(2 / 4)
    # x saw one category in two items, y two in two.
    assert first["shopper's variety"] == pytest.approx((5.0 + 10.0) / 2)
    # Both draw a with one half: one quarter.
    assert first["shared pages"] == pytest.approx(1 / 4)
    assert second["shared pages"] is None
    assert second["different items"] == pytest.approx(25.0)


def test_attackers_do_not_count():
    pages = [(0, "x", "ab", "a"), (0, "y", "ac", "")]
    both = CrowdEvents.joined([crowd(pages), crowd([(0, "z", "dd", "d")], role="click fraud")])
    assert daily_course(both, ITEMS).equals(daily_course(crowd(pages), ITEMS))


def test_nobody_leaves_no_course():
    assert daily_course(CrowdEvents.none(), ITEMS).num_rows == 0


def test_same_pages_for_all_share_more_than_own_pages():
    same = daily_course(crowd([(0, "x", "ab", ""), (0, "y", "ab", "")]), ITEMS).to_pylist()[0]
    own = daily_course(crowd([(0, "x", "ab", ""), (0, "y", "cd", "")]), ITEMS).to_pylist()[0]
    assert same["shared pages"] == pytest.approx(0.5)
    assert own["shared pages"] == pytest.approx(0.0, abs=1e-12)
