"""Vectors, needs, queries and log-odds of the crowd without a language model."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from fast_shops import KINDS

from footfall.errors import CatalogueError, PersonaError, SettingError
from footfall.personas import Persona
from footfall.simulator.behaviour import Behaviour, Rate, sigmoid
from footfall.simulator.catalog import Catalog
from footfall.simulator.fast.click_odds import ClickOdds, Reference
from footfall.simulator.fast.ideal import IdealPages
from footfall.simulator.fast.items import Items, UsualPrices, described
from footfall.simulator.fast.needs import FastNeeds
from footfall.simulator.fast.population import HISTORY, Population, text_rows
from footfall.simulator.fast.preference import Preference
from footfall.simulator.fast.queries import QueryBook, distinctive_words
from footfall.simulator.fast.vectors import fit_vectors
from footfall.simulator.needs import NeedBook

CATALOG = Catalog.from_table(
    pa.table(
        {
            "item_id": [f"x{n}" for n in range(8)],
            "text": [f"thing {n}" for n in range(7)] + ["纯牛奶 250ml"],
            "category": ["a > b", "a > b", "a > c", "a", "d > e", "d > e", None, "d > f"],
            "price": [1.0, 2.0, 3.0, None, 5.0, 5.0, 5.0, 0.0],
            "popularity": [0, 5, 50, 3, 8, 1, 20, 2],
        }
    )
)
PEOPLE = [
    Persona(persona_id="one", interests={"a > b": 0.5, "d": 0.3, "nowhere": 0.2}, exploration=0.4),
    Persona(persona_id="two", interests={"a": 1.0}, exploration=0.0, history=("thing 4", "lost")),
    Persona(persona_id="three", exploration=1.0),
]


def arrays(catalog=CATALOG, people=PEOPLE):
    texts = described(catalog)
    prices = catalog.table["price"].to_numpy(zero_copy_only=False).astype(float)
    usual = UsualPrices.of(prices, catalog.table["category"].to_pylist())
    items = Items.of(catalog, fit_vectors(texts).encode(texts), usual)
    return items, Population.of(people, text_rows(catalog.texts()))


def odds_of(shop):
    return ClickOdds(shop.behaviour, shop.preference, shop.reference, shop.items, shop.population)


@pytest.mark.parametrize("demand", [{}, {"a": 0.2, "d": 3.0, "": 0.5}])
def test_needs_are_spread_as_the_need_book_spreads_them(demand):
    items, population = arrays()
    needs = FastNeeds(items, population, demand)
    book = NeedBook(CATALOG, demand=demand)
    rng = np.random.default_rng(0)
    draws = 20_000
    nothing = np.full((draws, 1), -1)
    for number, persona in enumerate(PEOPLE):
        shopper = np.full(draws, number)
        found = needs.draw(5, np.arange(draws), np.zeros(draws, int), shopper, nothing)
        share = np.bincount(found, minlength=8) / draws
        told = Counter(book.draw(persona, rng).item_id for _ in range(draws))
        expected = np.array([told[f"x{n}"] for n in range(8)]) / draws
        # Both are drawn: five standard deviations of the difference of two shares.
        assert np.all(np.abs(share - expected) < 5 * np.sqrt(2 * 0.25 / draws))


def test_what_a_visit_has_needed_it_does_not_need_again_while_there_is_something_else():
    items, population = arrays()
    needs = FastNeeds(items, population)
    count = 3000
    before = np.tile([0, 1, 2, 4], (count, 1))
    found = needs.draw(1, np.arange(count), np.ones(count, int), np.zeros(count, int), before)
    # Eight tries each: of these four, hardly any is drawn eight times.
    assert np.isin(found, [0, 1, 2, 4]).mean() < 0.2
    first = needs.draw(
        1, np.arange(count), np.ones(count, int), np.zeros(count, int), np.full((count, 1), -1)
    )
    free = ~np.isin(first, [0, 1, 2, 4])
    assert np.array_equal(first[free], found[free])


def test_histories_are_rows_of_the_catalogue_newest_last():
    _, population = arrays()
    assert population.history.shape == (3, HISTORY)
    assert population.history[1, -1] == 4
    assert np.all(population.history[1, :-1] == -1)
    assert np.all(population.history[2] == -1)


def test_the_interest_in_an_item_is_the_largest_along_its_path():
    items, population = arrays()
    log_interest, kind = population.log_interest(items.categories)
    found = np.exp(log_interest[:, kind])
    # a > b by its own name; d > e by the one above it; a and a > c not at all.
    wanted = [0.5, 0.5, 0.002, 0.002, 0.3, 0.3, 0.002, 0.3]
    assert found[0] == pytest.approx(wanted, rel=1e-4)
    assert found[1] == pytest.approx([1, 1, 1, 1, 0.002, 0.002, 0.002, 0.002], rel=1e-4)


def test_prices_are_seen_beside_what_is_usual_in_the_category():
    usual = UsualPrices.of(np.array([1.0, 2.0, 4.0, 8.0]), ["a", "a", "a", "b"])
    found = usual.excess(np.array([4.0, 4.0, np.nan, 0.0]), ["a", "b", "a", "a"])
    # The geometric mean of 1, 2 and 4 is 2; one price makes no usual one, so b has that of all.
    assert found == pytest.approx([np.log(2.0), np.log(4.0 / 64**0.25), 0.0, 0.0])


def test_vectors_know_what_is_alike_in_any_script_and_nothing_of_unknown_words():
    texts = ["纯牛奶 250ml", "纯牛奶 1L", "鲜面条", "whole milk", "fresh noodles", "dry noodles"]
    vectors = fit_vectors(texts)
    found = vectors.encode(["牛奶", "noodles", "xyz", ""])
    told = vectors.encode(texts)
    assert np.argmax(told @ found[0]) in (0, 1)
    assert np.argmax(told @ found[1]) in (4, 5)
    assert not found[2:].any()
    assert np.linalg.norm(told, axis=1) == pytest.approx(np.ones(6), abs=1e-5)
    assert np.array_equal(told, fit_vectors(texts).encode(texts))


def test_texts_without_words_have_no_vectors():
    assert not fit_vectors(["", "--"]).encode(["", "milk"]).any()


def test_an_unknown_encoder_is_refused():
    with pytest.raises(SettingError, match="'words' or 'minilm'"):
        fit_vectors(["a"], "bert")


def test_queries_are_rare_words_in_reading_order():
    seen = Counter({"milk": 90, "organic": 5, "valley": 2, "2": 50, "farm": 3})
    found = distinctive_words("organic milk valley farm 2", seen)
    assert found == ["organic valley farm", "valley farm", "organic valley"]
    assert distinctive_words("2 1.5", Counter())[0] == "2 1.5"
    assert distinctive_words("--", Counter()) == []


def test_chinese_words_that_overlap_are_typed_as_one():
    seen = Counter({"纯牛": 1, "牛奶": 2, "纯": 3, "奶": 4})
    assert distinctive_words("纯牛奶", seen)[0] == "纯牛奶"


def test_a_query_book_offers_each_query_once_and_then_nothing():
    items, _ = arrays()
    book = QueryBook(CATALOG, items.categories)
    found = [book.query(7, 0.4, attempt) for attempt in range(4)]
    assert "纯牛奶 250ml" in found
    assert found[-1] is None
    told = [query for query in found if query]
    assert len(told) == len(set(told)) > 0


def test_a_query_book_forgets_words_that_an_item_no_longer_has():
    items, _ = arrays()
    book = QueryBook(CATALOG, items.categories)
    before = book.query(0, 0.0, 0)
    other = book.retold([0], ["golden teapot"])
    assert set(other.query(0, 0.0, 0).split()) <= {"golden", "teapot"}
    assert book.query(0, 0.0, 0) == before


def test_real_queries_are_typed_for_what_they_led_to(query_shop):
    items = query_shop.items
    found = {
        query_shop.queries.query(row, chance, 0)
        for row in range(12)
        for chance in (0.0, 0.3, 0.6, 0.99)
    }
    assert "pizza" in found
    assert found <= set(KINDS)
    assert len(items) == 72


def test_a_planted_taste_is_found_on_left_out_people(shop):
    assert shop.preference.informative
    assert shop.preference.gain > 5 * shop.preference.gain_error
    odds = odds_of(shop)
    likes = {0: range(12), 1: range(12, 24), 4: range(48, 60)}
    nothing = np.zeros((72, shop.items.vectors.shape[1]), dtype=np.float32)
    for kind, rows in likes.items():
        shopper = next(
            n for n, persona in enumerate(shop.personas) if int(persona.persona_id[1:]) % 6 == kind
        )
        found = odds.pairs(
            np.full(72, shopper),
            np.arange(72),
            shop.population.history,
            nothing,
            np.zeros(72, dtype=bool),
        )
        others = np.setdiff1d(np.arange(72), list(rows))
        # Planted: 0.6 against 0.06, which is 3.2 log-odds.
        assert found[list(rows)].mean() - found[others].mean() == pytest.approx(3.2, abs=1.0)


def test_where_nobody_prefers_anything_preferences_weigh_nothing(noise_shop):
    assert not noise_shop.preference.informative
    assert noise_shop.behaviour.on_preference.value == 0.0
    assert "unused" in noise_shop.notes[0]


def test_closeness_to_the_query_is_fitted_where_the_log_has_queries(query_shop, shop):
    assert query_shop.preference.fits_query
    assert query_shop.reference.on_query == 0.0
    assert not shop.preference.fits_query
    assert "assumed" in shop.notes[1]
    odds = odds_of(query_shop)
    meant = np.repeat(query_shop.encoder.encode(["牛奶"]), 72, axis=0)
    found = odds.pairs(
        np.zeros(72, int), np.arange(72), query_shop.population.history, meant, np.ones(72, bool)
    )
    assert found[48:60].min() > np.delete(found, np.arange(48, 60)).max()


def test_log_odds_are_those_of_the_behaviour_beside_the_average_impression(shop):
    odds, reference = odds_of(shop), shop.reference
    shopper, row = 7, 13
    history = shop.population.history
    vectors = shop.items.vectors
    found = odds.pairs(
        np.array([shopper]), np.array([row]), history, vectors[[0]], np.array([False])
    )
    log_interest, kind = shop.population.log_interest(shop.items.categories)
    interest = float(log_interest[shopper, kind[row]])
    dear = float(shop.population.price_sensitivity[shopper] * shop.items.excess[row])
    tuned = odds.tuned[shopper] @ vectors[row]
    weights = shop.preference
    unit = shop.behaviour.on_preference.value / reference.preference_unit
    preference = (
        tuned / unit
        + weights.on_interest * interest
        + weights.on_repeat * float(row in history[shopper])
        + weights.on_price * dear
    )
    told = shop.behaviour.click_log_odds(
        preference=np.array([(preference - reference.preference) / reference.preference_unit]),
        affinity=np.array([(interest - dear - reference.affinity) / reference.affinity_unit]),
        popularity=np.array([shop.items.log_popularity[row] - reference.popularity]),
        price=np.array([shop.items.excess[row] - reference.price]),
    )
    assert found == pytest.approx(told - reference.browsing_level, abs=1e-4)


def test_a_grid_of_pages_and_items_says_what_pairs_say(query_shop):
    shop, odds = query_shop, odds_of(query_shop)
    shopper = np.array([0, 5, 9])
    typed = np.array([True, False, True])
    meant = shop.encoder.encode(["pizza", "soup", "面条"])
    rows = np.array([0, 14, 31, 71])
    grid = odds.grid(shopper, rows, meant, typed)
    page, column = np.indices(grid.shape).reshape(2, -1)
    pairs = odds.pairs(
        shopper[page], rows[column], np.full((60, HISTORY), -1), meant[page], typed[page]
    )
    assert grid.ravel() == pytest.approx(pairs, abs=1e-4)


def test_the_ideal_page_is_the_best_of_the_catalogue(query_shop):
    shop, odds = query_shop, odds_of(query_shop)
    ideal = IdealPages(shop.items, shop.population, 6)
    shopper, needed = np.array([3, 4, 5]), np.array([1, 30, 70])
    typed = np.array([True, True, False])
    meant = shop.encoder.encode(["pizza", "soup", "bread"])
    found = ideal.gains(odds, shopper, needed, shop.population.history, meant, typed)
    for page in range(3):
        every = odds.pairs(
            np.full(72, shopper[page]),
            np.arange(72),
            shop.population.history,
            np.repeat(meant[[page]], 72, axis=0),
            np.full(72, typed[page]),
        )
        best = np.sort(sigmoid(every))[::-1][:6]
        discount = 1.0 / np.log2(np.arange(2, 8))
        assert found[page] == pytest.approx(best @ discount, abs=1e-4)


def test_the_ideal_page_of_a_catalogue_smaller_than_a_page_has_all_its_items():
    items, population = arrays()
    nothing = Preference.none(items.vectors.shape[1])
    quiet = Behaviour().model_copy(
        update={name: replaced(0.0) for name in ("on_preference", "on_affinity", "on_popularity")}
    )
    odds = ClickOdds(quiet, nothing, Reference(), items, population)
    ideal = IdealPages(items, population, 20)
    found = ideal.gains(
        odds,
        np.array([0, 2]),
        np.array([0, 7]),
        population.history,
        items.vectors[:2],
        np.array([True, False]),
    )
    # Eight items of the intercept's chance each.
    chance = 1.0 / (1.0 + np.exp(1.5))
    assert found == pytest.approx(chance * (1.0 / np.log2(np.arange(2, 10))).sum(), abs=1e-5)


def replaced(value):
    return Rate(value=value)


def test_cheaper_items_in_another_world_are_liked_more_by_who_minds_prices(shop):
    behaviour = shop.behaviour.model_copy(update={"on_affinity": replaced(0.8)})
    careful = [each.model_copy(update={"price_sensitivity": 1.0}) for each in shop.personas]
    before = shop.with_behaviour(behaviour).with_world(personas=careful)
    prices = before.items.prices.copy()
    prices[20] /= 2.0
    table = shop.catalog.table
    place = table.column_names.index("price")
    sale = before.with_world(
        catalog=Catalog.from_table(table.set_column(place, "price", pa.array(prices)))
    )
    nothing = np.zeros((72, shop.items.vectors.shape[1]), dtype=np.float32)
    rows = (np.zeros(72, int), np.arange(72), shop.population.history, nothing, np.zeros(72, bool))
    change = odds_of(sale).pairs(*rows) - odds_of(before).pairs(*rows)
    slope = 0.8 / shop.reference.affinity_unit - behaviour.on_price.value
    slope -= (
        behaviour.on_preference.value / shop.reference.preference_unit * shop.preference.on_price
    )
    assert change[20] == pytest.approx(slope * np.log(2.0), abs=1e-4)
    assert np.delete(change, 20) == pytest.approx(np.zeros(71), abs=1e-6)


def test_another_text_gives_another_vector_and_leaves_the_others(shop):
    table = shop.catalog.table
    texts = shop.catalog.texts()
    texts[3] = "yogurt spicy large"
    place = table.column_names.index("text")
    world = shop.with_world(catalog=Catalog.from_table(table.set_column(place, "text", [texts])))
    changed = np.flatnonzero((world.items.vectors != shop.items.vectors).any(axis=1))
    assert changed.tolist() == [3]
    assert world.text_rows == shop.text_rows


def test_what_the_log_says_of_an_item_stays_where_its_popularity_is_hidden(shop):
    table = shop.catalog.table
    place = table.column_names.index("popularity")
    hidden = Catalog.from_table(table.set_column(place, "popularity", [[0] * 72]))
    world = shop.with_world(catalog=hidden)
    assert np.array_equal(world.items.log_popularity, shop.items.log_popularity)


def test_worlds_that_do_not_fit_are_refused(shop):
    fewer = Catalog.from_table(shop.catalog.table.slice(1))
    with pytest.raises(CatalogueError, match="other items"):
        shop.with_world(catalog=fewer)
    with pytest.raises(CatalogueError, match="shape"):
        shop.with_world(available=np.ones(3, dtype=bool))
    with pytest.raises(PersonaError, match="no personas"):
        shop.with_world(personas=[])
