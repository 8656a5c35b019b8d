"""Memory is bounded, forgets for good, and is rebuilt from the log alone."""

from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from footfall.personas.persona import Persona
from footfall.simulator.behaviour import Rate
from footfall.simulator.catalog import Catalog
from footfall.simulator.log import Log
from footfall.simulator.memory import (
    HISTORY_TEXTS,
    RECENT_CATEGORIES,
    SHOWN_ITEMS,
    TAKEN_ITEMS,
    Memory,
    PastVisit,
    past_visits,
)
from footfall.simulator.rhythm import RECENT_DAYS, Interval, Rhythm
from footfall.simulator.session_rows import visit_rows
from footfall.simulator.shopper import Page, ShownItem, Visit

START = datetime(2024, 1, 1, 10, 0, 0, 123457)
LIMIT = HISTORY_TEXTS + TAKEN_ITEMS + SHOWN_ITEMS + RECENT_CATEGORIES
RHYTHM = Rhythm(
    replenishment=Rate(value=0.5),
    drift=Rate(value=0.25),
    interval=Rate(value=30.0),
    interval_deviation=Rate(value=0.5),
    intervals={"food": Interval(days=10.0, deviation=0.3)},
)


def catalog_of(count):
    kinds = [f"food > kind {number}" for number in range(15)] + ["home > soap", None]
    return Catalog.from_table(
        pa.table(
            {
                "item_id": [f"i{number}" for number in range(count)],
                "text": [f"text {number}" for number in range(count)],
                "category": pa.array(
                    [kinds[number % len(kinds)] for number in range(count)], pa.string()
                ),
            }
        )
    )


CATALOG = catalog_of(800)
PERSONA = Persona(
    persona_id="p", interests={"food > kind 0": 0.75, "home": 0.25}, history=("old", "older")
)


def memory(visits=(), *, persona=PERSONA, rhythm=RHYTHM):
    result = Memory(persona, CATALOG, rhythm)
    for each in visits:
        result.remember(each)
    return result


def seen(days, shown=(), clicked=(), bought=(), queries=()):
    at = START + timedelta(days=days)
    return PastVisit(at, tuple(queries), tuple(shown), tuple(clicked), tuple(bought), "left")


def at(days):
    return START + timedelta(days=days)


# --- what is remembered -------------------------------------------------------------------------


def test_a_shopper_without_past_is_the_persona():
    fresh = memory([seen(0, shown=["i1"])])
    assert fresh.persona_at(at(1)) is PERSONA
    assert fresh.due(at(100)) == []
    assert fresh.last_bought("i1") is None


def test_history_grows_newest_last_and_repeats_nothing():
    past = memory([seen(0, clicked=["i3", "i4"]), seen(1, clicked=["i3"], bought=["i3"])])
    assert past.persona_at(at(2)).history == ("old", "older", "text 4", "text 3")
    many = memory([seen(0, clicked=[f"i{n}" for n in range(20)])])
    assert many.persona_at(at(1)).history == tuple(f"text {n}" for n in range(8, 20))


def test_interests_drift_by_the_last_visit_only():
    past = memory([seen(0, bought=["i15"]), seen(1, clicked=["i0", "i1", "i2", "i17"])])
    # i0 and i17 are of kind 0; the visit to soap (i15) before is not the last one.
    assert past.persona_at(at(2)).interests == pytest.approx(
        {
            "food > kind 0": 0.75 * 0.75 + 0.25 * 0.5,
            "home": 0.25 * 0.75,
            "food > kind 1": 0.25 * 0.25,
            "food > kind 2": 0.25 * 0.25,
        }
    )
    still = memory([seen(0, clicked=["i1"]), seen(1, shown=["i2"]), seen(2, clicked=["i16"])])
    # Neither a visit without response nor one to an item without category says anything newer.
    assert still.persona_at(at(3)).interests["food > kind 1"] == 0.25


def test_a_visit_of_long_ago_has_no_weight_on_the_interests():
    past = memory([seen(0, clicked=["i1"])])
    assert "food > kind 1" in past.persona_at(at(RECENT_DAYS)).interests
    later = past.persona_at(at(RECENT_DAYS + 0.01))
    assert later.interests == PERSONA.interests
    assert later.history[-1] == "text 1"


@pytest.mark.parametrize("interests", [{}, {"food": 0.0}])
def test_who_wants_anything_keeps_wanting_anything(interests):
    past = memory([seen(0, bought=["i1"])], persona=Persona(persona_id="p", interests=interests))
    assert past.persona_at(at(1)).interests == interests


def test_without_drift_the_interests_stay():
    past = memory([seen(0, bought=["i1"])], rhythm=Rhythm())
    assert past.persona_at(at(1)).interests == PERSONA.interests


def test_an_item_is_due_after_the_interval_of_its_category():
    food, soap = "i1", "i15"
    past = memory([seen(0, bought=[soap, food])])
    early = 10 * np.exp(0.3 * -1.2816)
    assert past.due(at(early - 0.01)) == []
    assert past.not_due(at(early - 0.01)) == {food, soap}
    assert past.due(at(early + 0.01)) == [food]
    assert past.due(at(40)) == [soap, food]
    assert past.not_due(at(40)) == frozenset()
    items, hazards = past.due_weights(at(40))
    expected = [
        RHYTHM.interval_of(category).hazard(np.array([40.0]))[0] for category in ("home", "food")
    ]
    assert (items, hazards.tolist()) == ([soap, food], pytest.approx(expected))


def test_buying_again_starts_the_wait_anew():
    past = memory([seen(0, bought=["i1"]), seen(9, bought=["i1"])])
    assert past.last_bought("i1") == at(9)
    assert past.due(at(12)) == []


def test_a_click_is_a_taking_only_where_the_rhythm_was_fitted_on_clicks():
    visits = [seen(0, clicked=["i1", "i2"], bought=["i2"])]
    assert memory(visits).last_bought("i1") is None
    clicks = memory(visits, rhythm=RHYTHM.model_copy(update={"response": "clicks"}))
    assert clicks.last_bought("i1") == clicks.last_bought("i2") == at(0)


def test_exposures_count_visits_in_vain_and_a_response_forgets_them():
    past = memory([seen(0, shown=["i1", "i2", "i1"]), seen(1, shown=["i1"])])
    assert past.exposures(["i2", "i9", "i1", "i2"]).tolist() == [1, 0, 2, 1]
    past.remember(seen(2, shown=["i1", "i2"], clicked=["i1"]))
    assert past.exposures(["i1", "i2"]).tolist() == [0, 2]
    past.remember(seen(3, shown=["i1"], bought=["i2"]))
    assert past.exposures(["i1", "i2"]).tolist() == [1, 0]


def test_items_that_left_the_catalogue_do_no_harm():
    past = memory([seen(0, shown=["gone", "i1"], clicked=["gone"], bought=["gone"])])
    assert past.persona_at(at(1)) is PERSONA
    assert past.last_bought("gone") is None
    assert past.exposures(["i1", "gone"]).tolist() == [1, 0]


def test_a_moment_with_a_zone_is_the_same_moment():
    past = memory([seen(0, bought=["i1"])])
    east = timezone(timedelta(hours=8))
    moment = at(10).replace(tzinfo=UTC).astimezone(east)
    assert past.due(moment) == past.due(at(10)) == ["i1"]
    assert past.persona_at(moment) == past.persona_at(at(10))


# --- bounds -------------------------------------------------------------------------------------


def random_visit(rng, day):
    items = [f"i{number}" for number in rng.integers(0, 820, 25)]
    clicked = [item for item in dict.fromkeys(items) if rng.random() < 0.4]
    bought = [item for item in clicked if rng.random() < 0.5]
    return seen(day, items, clicked, bought, queries=["some words"])


def test_memory_stays_bounded_over_thousands_of_visits():
    rng = np.random.default_rng(0)
    past = memory()
    sizes = []
    for day in range(2000):
        past.remember(random_visit(rng, day))
        sizes.append(len(past))
        persona = past.persona_at(at(day + 1))
        assert len(persona.history) <= HISTORY_TEXTS
        assert len(persona.interests) <= len(PERSONA.interests) + RECENT_CATEGORIES
    assert max(sizes) <= LIMIT
    # It is full, so the limit is what keeps it small.
    assert np.mean(sizes[1000:]) > 0.9 * LIMIT


item_ids = st.lists(st.integers(0, 299).map("i{}".format), max_size=12)


@st.composite
def visit_sequences(draw):
    visits = []
    for day in range(draw(st.integers(0, 6))):
        shown = draw(item_ids)
        clicked = [item for item in dict.fromkeys(shown) if draw(st.booleans())]
        bought = [item for item in clicked if draw(st.booleans())]
        visits.append(seen(day, shown, clicked, bought))
    return visits


#: Fills every part of a memory with items from 300 on, which earlier visits never have.
FILLING = [
    seen(100, bought=[f"i{n}" for n in range(300, 300 + TAKEN_ITEMS)]),
    *(
        seen(101 + day, shown=[f"i{300 + TAKEN_ITEMS + 20 * day + n}" for n in range(20)])
        for day in range(SHOWN_ITEMS // 20)
    ),
]


@settings(max_examples=40, deadline=None)
@given(visit_sequences())
def test_nothing_kept_depends_on_what_was_dropped(before):
    assert memory([*before, *FILLING]) == memory(FILLING)


@settings(max_examples=40, deadline=None)
@given(visit_sequences(), st.floats(0, 0.9), st.integers(0, 80))
def test_drifted_interests_sum_to_one(visits, drift, days):
    rhythm = RHYTHM.model_copy(update={"drift": Rate(value=drift)})
    persona = PERSONA.model_copy(update={"interests": {"food > kind 0": 2.0, "home": 0.4}})
    interests = memory(visits, persona=persona, rhythm=rhythm).persona_at(at(days)).interests
    assert all(weight >= 0 for weight in interests.values())
    if interests != persona.interests:
        assert sum(interests.values()) == pytest.approx(1.0)


def test_the_longest_unseen_is_dropped_first():
    past = memory([seen(0, shown=[f"i{n}" for n in range(SHOWN_ITEMS)])])
    past.remember(seen(1, shown=["i0"]))
    past.remember(seen(2, shown=["i799"]))
    assert past.exposures(["i0", "i1", "i2", "i799"]).tolist() == [2, 0, 1, 1]


def test_the_longest_untouched_purchase_is_dropped_first():
    past = memory([seen(0, bought=[f"i{n}" for n in range(TAKEN_ITEMS)])])
    past.remember(seen(1, bought=["i0"]))
    past.remember(seen(2, bought=["i799"]))
    found = [past.last_bought(item) for item in ("i0", "i1", "i2", "i799")]
    assert found == [at(1), None, at(0), at(2)]


# --- the log ------------------------------------------------------------------------------------


def live_visit(rng, started_at, pages):
    """A visit as the state machine makes it, with times finer than a second."""
    visit = Visit(started_at, started_at + timedelta(minutes=3, microseconds=1), "left")
    clock = started_at
    for step in range(1, pages + 1):
        query = None if rng.random() < 0.3 else f"词 {rng.integers(3)}"
        page = Page(step, query, "bm25", 1 + step % 2, clock)
        for position in range(1, int(rng.integers(0, 13)) + 1):
            clock += timedelta(seconds=float(rng.exponential(4.0)))
            item = ShownItem(f"i{rng.integers(40)}", position, 1.0, 0.5, page.searched_at)
            if rng.random() < 0.5:
                item.clicked_at = clock
                item.purchased_at = clock if rng.random() < 0.5 else None
            page.items.append(item)
        visit.pages.append(page)
    return visit


def test_a_visit_read_back_from_the_log_is_remembered_as_it_was_lived(tmp_path):
    rng = np.random.default_rng(1)
    lived = {"run/a": [], "run/b": []}
    tables = {"sessions": [], "searches": [], "impressions": []}
    # Written in any order, and another run beside it.
    for number in rng.permutation(30).tolist():
        user = "run/a" if number % 3 else "run/b"
        started_at = START + timedelta(days=number, seconds=float(rng.random()))
        visit = live_visit(rng, started_at, pages=int(rng.integers(0, 12)))
        lived[user].append((f"run/{number:06d}", visit.past()))
        for run_id in ("run", "other"):
            key = f"{run_id}/{number:06d}"
            parts = visit_rows(visit, session_id=key, user_id=user, origin=run_id)
            for table, content in parts.tables.items():
                tables[table].append(content)
    with Log.create(tmp_path / "log.duckdb") as log:
        for table, contents in tables.items():
            log.append(table, pa.concat_tables(contents))
        found = past_visits(log, "run")
        assert past_visits(log, "none") == {}
    for visits in lived.values():
        visits.sort()
    assert found == lived
    for user, visits in lived.items():
        assert memory(visit for _, visit in found[user]) == memory(visit for _, visit in visits)
    assert any(not visit.shown for _, visit in lived["run/a"])
    assert any(len(set(visit.shown)) < len(visit.shown) for _, visit in lived["run/a"])
