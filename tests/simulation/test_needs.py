from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from footfall.errors import CatalogueError
from footfall.personas.persona import Persona
from footfall.simulator.behaviour import Rate
from footfall.simulator.catalog import Catalog
from footfall.simulator.memory import Memory, PastVisit
from footfall.simulator.needs import NeedBook
from footfall.simulator.rhythm import Rhythm


def catalog_of(items):
    """Items given as (id, category, popularity)."""
    ids, categories, popularity = zip(*items, strict=True)
    return Catalog.from_table(
        pa.table(
            {
                "item_id": ids,
                "text": [f"text {item}" for item in ids],
                "category": pa.array(categories, pa.string()),
                "popularity": popularity,
            }
        )
    )


def book(items):
    return NeedBook(catalog_of(items))


ITEMS = [
    ("soup", "food > soup", 0),
    ("stew", "food > soup", 0),
    ("bread", "food > bread", 0),
    ("soap", "home > soap", 0),
    ("thing", None, 0),
]


def shares(needs, persona, draws=4000):
    rng = np.random.default_rng(0)
    drawn = [needs.draw(persona, rng).item_id for _ in range(draws)]
    return {item: drawn.count(item) / draws for item in set(drawn)}


def test_without_exploration_needs_follow_the_interests():
    persona = Persona(
        persona_id="p", interests={"food > soup": 0.75, "home > soap": 0.25}, exploration=0.0
    )
    found = shares(book(ITEMS), persona)
    assert set(found) == {"soup", "stew", "soap"}
    assert found["soap"] == pytest.approx(0.25, abs=0.03)
    assert found["soup"] == pytest.approx(0.375, abs=0.03)


def test_an_interest_in_a_parent_category_holds_for_all_below_it():
    persona = Persona(persona_id="p", interests={"food": 1.0}, exploration=0.0)
    assert set(shares(book(ITEMS), persona)) == {"soup", "stew", "bread"}


def test_full_exploration_leaves_the_interests_half_of_the_time():
    persona = Persona(persona_id="p", interests={"home > soap": 1.0}, exploration=1.0)
    found = shares(book(ITEMS), persona)
    # One half by interest, and of the other half one item in five.
    assert found["soap"] == pytest.approx(0.5 + 0.5 / 5, abs=0.03)
    assert found["thing"] == pytest.approx(0.5 / 5, abs=0.03)


def test_popular_items_are_needed_more_but_less_than_in_proportion():
    needs = book([("hit", "a", 15), ("rare", "a", 0)])
    found = shares(needs, Persona(persona_id="p", interests={"a": 1.0}, exploration=0.0))
    assert found["hit"] / found["rare"] == pytest.approx(16**0.75, rel=0.15)


@pytest.mark.parametrize("interests", [{}, {"elsewhere": 1.0}, {"home > soap": 0.0}])
def test_without_a_usable_interest_everything_may_be_needed(interests):
    persona = Persona(persona_id="p", interests=interests, exploration=0.0)
    assert set(shares(book(ITEMS), persona)) == {item for item, _, _ in ITEMS}


def test_a_need_carries_the_words_of_its_item():
    need = book([("thing", None, 0)]).draw(Persona(persona_id="p"), np.random.default_rng(0))
    assert (need.item_id, need.category, need.wanted) == ("thing", "", "text thing")


@settings(max_examples=40, deadline=None)
@given(
    interests=st.dictionaries(
        st.sampled_from(["food", "food > soup", "home > soap", "none"]), st.floats(0, 1)
    ),
    exploration=st.floats(0, 1),
    seed=st.integers(0, 10_000),
)
def test_any_persona_needs_an_item_of_the_catalogue(interests, exploration, seed):
    persona = Persona(persona_id="p", interests=interests, exploration=exploration)
    needs = book(ITEMS)
    first = needs.draw(persona, np.random.default_rng(seed))
    assert first.item_id in {item for item, _, _ in ITEMS}
    assert needs.draw(persona, np.random.default_rng(seed)) == first


def test_an_empty_catalogue_is_refused():
    empty = Catalog.from_table(pa.table({"item_id": ["a"], "text": ["a"]}))
    empty.table = empty.table.slice(0, 0)
    with pytest.raises(CatalogueError, match="empty"):
        NeedBook(empty)


# --- memory, season, what is left out -----------------------------------------------------------

NOW = datetime(2024, 5, 10)
STEADY = Rhythm(
    replenishment=Rate(value=0.4), interval=Rate(value=10.0), interval_deviation=Rate(value=0.5)
)
SOUP_LOVER = Persona(persona_id="p", interests={"food > soup": 1.0}, exploration=0.0)


def remembering(needs_items, bought, rhythm=STEADY, persona=SOUP_LOVER):
    """A memory of items bought so many days ago, and the needs of the same shop."""
    catalog = catalog_of(needs_items)
    memory = Memory(persona, catalog, rhythm)
    for item, days in sorted(bought.items(), key=lambda pair: -pair[1]):
        memory.remember(PastVisit(NOW - timedelta(days=days), (), (item,), (item,), (item,), ""))
    return NeedBook(catalog), memory


def drawn(needs, persona, draws=3000, **keywords):
    rng = np.random.default_rng(0)
    found = [needs.draw(persona, rng, **keywords).item_id for _ in range(draws)]
    return {item: found.count(item) / draws for item in set(found)}


def test_what_is_due_is_needed_with_the_fitted_share():
    needs, memory = remembering(ITEMS, {"soap": 12})
    found = drawn(needs, SOUP_LOVER, memory=memory, moment=NOW)
    assert found["soap"] == pytest.approx(0.4, abs=0.03)
    assert set(found) == {"soap", "soup", "stew"}
    # A rhythm given beside the memory's own is the one that counts.
    all_due = STEADY.model_copy(update={"replenishment": Rate(value=1.0)})
    assert set(drawn(needs, SOUP_LOVER, 50, memory=memory, moment=NOW, rhythm=all_due)) == {"soap"}


def test_due_items_are_drawn_by_their_hazard():
    needs, memory = remembering(ITEMS, {"soap": 11, "bread": 150})
    found = drawn(needs, SOUP_LOVER, memory=memory, moment=NOW)
    hazards = STEADY.interval_of(None).hazard(np.array([11.0, 150.0]))
    assert found["soap"] / found["bread"] == pytest.approx(hazards[0] / hazards[1], rel=0.2)


def test_what_was_taken_lately_is_not_needed_even_where_interests_point_to_it():
    needs, memory = remembering(ITEMS, {"soup": 2})
    assert set(drawn(needs, SOUP_LOVER, memory=memory, moment=NOW)) == {"stew"}
    later = drawn(needs, SOUP_LOVER, memory=memory, moment=NOW + timedelta(days=8))
    assert later["soup"] > 0.4


def test_without_repeats_in_the_log_nothing_is_replenished():
    rhythm = STEADY.model_copy(update={"replenishment": Rate(value=0.0)})
    needs, memory = remembering(ITEMS, {"soap": 12}, rhythm)
    assert set(drawn(needs, SOUP_LOVER, memory=memory, moment=NOW)) == {"soup", "stew"}


def test_a_met_need_does_not_come_back_within_the_visit():
    needs, memory = remembering(ITEMS, {"soap": 12})
    full = {"memory": memory, "moment": NOW}
    assert set(drawn(needs, SOUP_LOVER, avoid=frozenset({"soap", "stew"}), **full)) == {"soup"}
    # The interest is used up: the next one counts, and then the rest of the shop.
    two = SOUP_LOVER.model_copy(update={"interests": {"food > soup": 0.9, "food > bread": 0.1}})
    assert set(drawn(needs, two, 300, avoid=frozenset({"soup", "stew"}))) == {"bread"}
    gone = frozenset({"soup", "stew"})
    assert set(drawn(needs, SOUP_LOVER, 300, avoid=gone)) == {"bread", "soap", "thing"}


def test_drawing_ends_when_nothing_is_left():
    every = [item for item, _, _ in ITEMS]
    needs, memory = remembering(ITEMS, dict.fromkeys(every, 1))
    # All was bought yesterday: still something is needed, but not what the visit has met.
    some = frozenset(every[:3])
    found = drawn(needs, SOUP_LOVER, 300, memory=memory, moment=NOW, avoid=some)
    assert set(found) == {"soap", "thing"}
    met = drawn(needs, SOUP_LOVER, 300, memory=memory, moment=NOW, avoid=frozenset(every))
    assert set(met) == {"soup", "stew"}


def test_items_avoided_or_bought_that_the_catalogue_lacks_do_no_harm():
    _, memory = remembering([*ITEMS, ("extra", "food", 0)], {"extra": 12})
    needs = book(ITEMS)
    found = drawn(needs, SOUP_LOVER, 200, memory=memory, moment=NOW, avoid=frozenset({"gone"}))
    assert set(found) == {"soup", "stew"}


def seasonal(factor):
    months = (1.0,) * 4 + (factor,) + (1.0,) * 7
    return Rhythm(season={"food": months})


@pytest.mark.parametrize(
    ("moment", "factor"), [(NOW, 3.0), (NOW + timedelta(days=31), 1.0), (None, 1.0)]
)
def test_interests_follow_the_season(moment, factor):
    persona = Persona(
        persona_id="p", interests={"food > soup": 0.5, "home > soap": 0.5}, exploration=0.0
    )
    found = drawn(book(ITEMS), persona, moment=moment, rhythm=seasonal(3.0))
    assert 1 - found["soap"] == pytest.approx(factor / (1 + factor), abs=0.03)


def test_what_lies_outside_the_interests_follows_the_season_too():
    found = drawn(book(ITEMS), Persona(persona_id="p"), moment=NOW, rhythm=seasonal(0.2))
    # Three items of food weigh a fifth each; the two others one.
    assert found["soap"] + found["thing"] == pytest.approx(2 / 2.6, abs=0.03)


def test_intervals_between_needs_follow_the_rhythm():
    """Somebody who always buys what they need, and comes every day, replenishes in time."""
    rhythm = STEADY.model_copy(update={"replenishment": Rate(value=0.9)})
    items = [*ITEMS, *((f"new{number}", "home > new", 0) for number in range(400))]
    persona = Persona(persona_id="p", interests={"home > new": 1.0}, exploration=0.0)
    needs, memory = remembering(items, {"soup": 6}, rhythm, persona)
    rng = np.random.default_rng(4)
    waits, moment = [], NOW
    for _ in range(400):
        item = needs.draw(persona, rng, memory=memory, moment=moment).item_id
        before = memory.last_bought(item)
        if before is not None:
            waits.append((moment - before).days)
        memory.remember(PastVisit(moment, (), (item,), (item,), (item,), ""))
        moment += timedelta(days=1)
    assert min(waits) >= rhythm.interval_of(None).due_after
    assert 6 < np.median(waits) < 20


@settings(max_examples=40, deadline=None)
@given(
    days=st.lists(st.floats(0, 60), max_size=5),
    avoid=st.frozensets(st.sampled_from([item for item, _, _ in ITEMS])),
    interests=st.dictionaries(st.sampled_from(["food", "food > soup", "none"]), st.floats(0, 1)),
    seed=st.integers(0, 10_000),
)
def test_any_past_leaves_a_need_that_was_not_met_where_there_is_one(days, avoid, interests, seed):
    bought = dict(zip([item for item, _, _ in ITEMS], days, strict=False))
    persona = Persona(persona_id="p", interests=interests)
    needs, memory = remembering(ITEMS, bought, persona=persona)
    keywords = {"memory": memory, "moment": NOW, "avoid": avoid}
    first = needs.draw(persona, np.random.default_rng(seed), **keywords)
    assert needs.draw(persona, np.random.default_rng(seed), **keywords) == first
    if len(avoid) < len(ITEMS):
        assert first.item_id not in avoid
    if set(memory.not_due(NOW)) | avoid < {item for item, _, _ in ITEMS}:
        assert first.item_id not in memory.not_due(NOW)
