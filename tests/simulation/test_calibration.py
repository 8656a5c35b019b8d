from datetime import UTC, datetime, timedelta, timezone

import pyarrow as pa
import pytest

from footfall.simulator.calibration import calibrate, read_slates
from footfall.simulator.catalog import Catalog
from footfall.simulator.engines.protocol import ChoiceAnswer
from footfall.simulator.engines.scripted import ScriptedEngine
from footfall.simulator.log import Log
from footfall.simulator.prompts import PromptBook
from footfall.simulator.schema import ARROW_SCHEMAS

UNTIL = datetime(2024, 3, 1)


def add(log, table, rows):
    log.append(table, pa.Table.from_pylist(rows, schema=ARROW_SCHEMAS[table]))


def add_slate(log, number, *, at=UNTIL - timedelta(days=2), origin="real", **responses):
    """A slate of one item a response: ``b=(clicked, purchased)`` is item ``b``."""
    session, search = f"{origin}-{number}", f"{origin}-{number}/1"
    add(
        log,
        "sessions",
        [{"session_id": session, "user_id": f"u{number}", "started_at": at, "origin": origin}],
    )
    add(
        log,
        "searches",
        [
            {
                "search_id": search,
                "session_id": session,
                "step": 1,
                "page": 1,
                "query": f"query {number}",
                "candidates": "logged",
                "searched_at": at,
                "origin": origin,
            }
        ],
    )
    shown = [
        {
            "search_id": search,
            "position": 9 - place,
            "item_id": item,
            "clicked": clicked,
            "purchased": purchased,
            "shown_at": at,
            "sample_rate": 1.0,
            "origin": origin,
        }
        for place, (item, (clicked, purchased)) in enumerate(responses.items())
    ]
    add(log, "impressions", shown)


@pytest.fixture
def log(tmp_path):
    with Log.create(tmp_path / "shop.duckdb") as made:
        yield made


def test_a_slate_is_read_in_one_order_and_clicks_come_before_purchases(log):
    add_slate(log, 1, b=(True, False), a=(False, False), c=(False, True), d=(None, True))
    assert read_slates(log, count=5) == [
        {
            "user_id": "u1",
            "query": "query 1",
            "item_ids": ["a", "b", "c"],
            "positions": [8, 9, 7],
            "responses": [False, True, False],
        }
    ]


def test_purchases_are_the_response_where_nothing_was_clicked(log):
    add_slate(log, 1, a=(None, True), b=(None, False), c=(None, None))
    (slate,) = read_slates(log, count=5)
    assert slate["item_ids"] == ["a", "b"]
    assert slate["responses"] == [True, False]


@pytest.mark.parametrize("zone", [None, UTC, timezone(timedelta(hours=8))])
def test_later_and_simulated_slates_are_not_read(log, zone):
    add_slate(log, 1, at=UNTIL - timedelta(seconds=1), a=(True, False))
    add_slate(log, 2, at=UNTIL, a=(True, False))
    add_slate(log, 3, at=UNTIL - timedelta(days=1), origin="sim-1", a=(True, False))
    until = UNTIL if zone is None else UNTIL.replace(tzinfo=UTC).astimezone(zone)
    assert [slate["user_id"] for slate in read_slates(log, count=9, until=until)] == ["u1"]
    assert len(read_slates(log, count=9)) == 2


def test_clicks_after_until_do_not_make_clicks_the_response(log):
    add_slate(log, 1, a=(False, True))
    add_slate(log, 2, at=UNTIL, a=(True, False))
    (slate,) = read_slates(log, count=9, until=UNTIL)
    assert slate["responses"] == [True]


def test_the_seed_chooses_the_slates(log):
    for number in range(40):
        add_slate(log, number, a=(True, False))
    chosen = [[row["user_id"] for row in read_slates(log, count=5, seed=s)] for s in (0, 0, 1)]
    assert len(set(chosen[0])) == 5
    assert chosen[0] == chosen[1] != chosen[2]


class Prefers(ScriptedEngine):
    """Likes the item that is called won, and remembers what it is asked."""

    def __init__(self):
        super().__init__()
        self.prompts = []

    def _answer(self, request):
        self.prompts.append(request.prompt)
        item = request.prompt.splitlines()[-2]
        yes = -0.1 if "won" in item else -3.0
        return ChoiceAnswer((yes, -0.1 - yes - 3.0), 1, 1)


def wanted_shop(log, slates=150):
    items = [
        {"item_id": item, "text": f"text {item}", "category": "c", "price": 1.0, "origin": "real"}
        for item in ("won", "lost", "left", "last")
    ]
    add(log, "items", items)
    for number in range(slates):
        add_slate(
            log,
            number,
            won=(number % 5 > 0, False),
            lost=(number % 9 == 0, False),
            left=(number % 11 == 0, False),
            last=(number % 7 == 0, False),
        )


def test_a_model_that_prefers_what_is_clicked_gets_weight(log):
    wanted_shop(log)
    engine = Prefers()
    found = calibrate(
        log, Catalog.from_log(log), engine, PromptBook(), until=UNTIL, scored_slates=60
    )
    assert found.on_preference.source == "fitted"
    assert found.on_preference.value > 1.0
    assert found.on_preference.note == "240 scored impressions"
    assert len(engine.prompts) == 240
    assert "600 impressions, response: clicks" in found.intercept.note


def test_without_scored_slates_the_model_counts_for_nothing_and_that_is_said(log):
    wanted_shop(log)
    engine = Prefers()
    found = calibrate(
        log, Catalog.from_log(log), engine, PromptBook(), until=UNTIL, scored_slates=0
    )
    assert engine.prompts == []
    assert found.on_preference.value == 0.0
    assert found.on_preference.source == "prior"
    assert "nothing to fit on" in found.on_preference.note
    assert found.intercept.source == "fitted"


def test_items_that_the_given_catalogue_lacks_do_not_stop_the_fit(log):
    wanted_shop(log)
    catalog = Catalog.from_log(log).subset(["won", "lost"])
    found = calibrate(log, catalog, Prefers(), PromptBook(), until=UNTIL, scored_slates=60)
    assert found.on_preference.value > 0.5
