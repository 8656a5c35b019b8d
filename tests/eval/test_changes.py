"""What aimed visits changed, item by item and person by person."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from footfall.eval.item_changes import item_changes, probe_scores
from footfall.eval.user_changes import user_changes
from footfall.simulator.log import Log
from footfall.simulator.schema import ARROW_SCHEMAS

RUN = "aimed-1"
#: Page, person, items from the top; the first is taken.
PAGES = [
    ("p1", "ann", ["tea", "soap", "rope"], "Green tea"),
    ("p2", "bob", ["tea", "rope"], "绿茶"),
    ("p3", "ann", ["tea", "soap"], "green tea "),
]


class Fixed:
    """A model whose probabilities are told."""

    def __init__(self, *probabilities: float) -> None:
        self.probabilities = probabilities

    def predict_proba(self, rows: Any) -> Any:
        assert len(rows) == len(self.probabilities)
        return np.array(self.probabilities)


class Rows:
    """Probe rows: all that is read of examples."""

    def __init__(self, rows: list[tuple[str, str, str, bool]]) -> None:
        names = ("search_id", "user_id", "item_id", "label")
        self.table = pa.table(dict(zip(names, zip(*rows, strict=True), strict=True)))

    def __len__(self) -> int:
        return int(self.table.num_rows)


#: Rows of two pages that no model learned from.
PROBES = Rows(
    [
        ("q1", f"{RUN}/ann", "tea", True),
        ("q1", f"{RUN}/ann", "soap", False),
        ("q1", f"{RUN}/ann", "rope", False),
        ("q2", f"{RUN}/bob", "tea", True),
        ("q2", f"{RUN}/bob", "rope", False),
    ]
)
BEFORE = Fixed(0.1, 0.3, 0.2, 0.4, 0.5)
AFTER = Fixed(0.6, 0.3, 0.7, 0.9, 0.5)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    def add(table: str, rows: list[dict[str, Any]]) -> None:
        schema = ARROW_SCHEMAS[table]
        names = [name for name in schema.names if name in rows[0]]
        fields = pa.schema([schema.field(name) for name in names])
        opened.append(table, pa.Table.from_pylist(rows, schema=fields))

    with Log.create(tmp_path / "shop.duckdb") as opened:
        kinds = {"tea": "drinks", "soap": "care", "rope": "tools"}
        add(
            "items",
            [
                {"item_id": item, "text": item.upper(), "category": kind, "origin": "real"}
                for item, kind in kinds.items()
            ],
        )
        people = [
            ("real-1", "real", {"age": "65+", "home.kind": "flat"}),
            ("real-2", "real", {"age": "25-34", "home.kind": "flat"}),
            ("real-3", "real", {"age": "25-34"}),
            ("real-4", "real", {}),
            (f"{RUN}/ann", RUN, {"age": "65+", "home.kind": "flat"}),
            (f"{RUN}/bob", RUN, {"age": "65+", "home.kind": "船"}),
            # Met nothing.
            (f"{RUN}/eve", RUN, {"age": "25-34"}),
        ]
        add(
            "users",
            [
                {
                    "user_id": user,
                    "locale": "zh_CN",
                    "demographics": json.dumps(told),
                    "origin": origin,
                }
                for user, origin, told in people
            ],
        )
        add(
            "sessions",
            [
                {"session_id": page, "user_id": f"{RUN}/{who}", "origin": RUN}
                for page, who, _, _ in PAGES
            ],
        )
        add(
            "searches",
            [
                {
                    "search_id": page,
                    "session_id": page,
                    "step": 1,
                    "page": 1,
                    "query": query,
                    "candidates": "search",
                    "origin": RUN,
                }
                for page, _, _, query in PAGES
            ],
        )
        add(
            "impressions",
            [
                {
                    "search_id": page,
                    "item_id": item,
                    "position": place + 1,
                    "clicked": place == 0,
                    "sample_rate": 1.0,
                    "origin": RUN,
                }
                for page, _, items, _ in PAGES
                for place, item in enumerate(items)
            ],
        )
        yield opened


def test_probabilities_and_ranks_are_of_the_model_that_they_are_named_after(log: Log) -> None:
    found = probe_scores(log, PROBES, BEFORE, AFTER)
    told = {
        (row["search_id"], row["item_id"]): (
            row["before"],
            row["after"],
            row["rank_before"],
            row["rank_after"],
        )
        for row in found.to_pylist()
    }
    assert told == {
        ("q1", "tea"): (0.1, 0.6, 3, 2),
        ("q1", "soap"): (0.3, 0.3, 1, 3),
        ("q1", "rope"): (0.2, 0.7, 2, 1),
        ("q2", "tea"): (0.4, 0.9, 2, 1),
        ("q2", "rope"): (0.5, 0.5, 1, 2),
    }


def test_an_item_is_told_with_who_met_it_and_how_it_is_scored(log: Log) -> None:
    met, unmet = item_changes(log, RUN, ["tea", "soap"], PROBES, BEFORE, AFTER).to_pylist()[::-1]
    assert met == {
        "item_id": "tea",
        "text": "TEA",
        "category": "drinks",
        "visits": 3,
        "shoppers": 2,
        # Both, and one of three real people of whom something is told. Flats are fewer than usual.
        "shoppers_are": ["age: 65+", "home.kind: 船"],
        "queries": 2,
        "typed": ["green tea", "绿茶"],
        "shown_beside": ["ROPE", "SOAP"],
        "probes": 2,
        "probability_before": pytest.approx(0.25),
        "probability_after": pytest.approx(0.75),
        "rank_before": 2.5,
        "rank_after": 1.5,
    }
    assert (unmet["item_id"], unmet["visits"], unmet["typed"]) == ("soap", 0, [])
    assert unmet["shoppers_are"] == []
    assert unmet["probes"] is None
    assert unmet["rank_after"] is None


def test_a_person_is_told_with_what_they_came_for(log: Log) -> None:
    found = user_changes(log, RUN, ["ann", "bob", "eve"], PROBES, BEFORE, AFTER).to_pylist()
    assert [row["user_id"] for row in found] == ["ann", "bob", "eve"]
    ann, bob, eve = found
    assert (ann["visits"], ann["items"], ann["queries"]) == (2, 1, 1)
    assert (bob["typed"], bob["came_for"]) == (["绿茶"], ["TEA"])
    assert (ann["probability_before"], ann["rank_before"], ann["rank_after"]) == (0.1, 3, 2)
    assert (bob["probability_after"], bob["rank_before"], bob["rank_after"]) == (0.9, 2, 1)
    assert (eve["visits"], eve["probes"]) == (0, None)
