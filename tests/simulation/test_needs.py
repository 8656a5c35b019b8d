import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from footfall.errors import CatalogueError
from footfall.personas.persona import Persona
from footfall.simulator.catalog import Catalog
from footfall.simulator.needs import NeedBook


def book(items):
    """Needs over items given as (id, category, popularity)."""
    ids, categories, popularity = zip(*items, strict=True)
    return NeedBook(
        Catalog.from_table(
            pa.table(
                {
                    "item_id": ids,
                    "text": [f"text {item}" for item in ids],
                    "category": pa.array(categories, pa.string()),
                    "popularity": popularity,
                }
            )
        )
    )


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
