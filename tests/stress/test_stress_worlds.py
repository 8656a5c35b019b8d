"""What scenarios do to a shop: what they say, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hand_made import UNTIL, catalog_of, small_shop
from hypothesis import given, settings
from hypothesis import strategies as st

from footfall.errors import EmptyLogError, PersonaError, SettingError
from footfall.eval.stress.changed_items import choose_items, choose_new_items
from footfall.eval.stress.demand_course import demand_course, demand_shares
from footfall.eval.stress.hostile_texts import ORDERS, frequent_words
from footfall.eval.stress.query_writing import QueryWriter, foreign_words
from footfall.eval.stress.scenario import Scenario, load_scenario, packaged_scenarios
from footfall.eval.stress.scenario_tables import DemandChange, QueryChange
from footfall.eval.stress.world import apply_scenario, read_world
from footfall.personas.persona import Persona
from footfall.simulator.language import letter_scripts
from footfall.simulator.log import Log
from footfall.simulator.targets import EVENT_SCHEMA, ITEM_SCHEMA
from footfall.simulator.typing_slips import TypingSlips

SHOP = small_shop()
#: What each table of a scenario may change of a world, beside its own subject.
CHANGES = {
    "traffic": {"plan"},
    "prices": {"catalog.price", "items.price"},
    "catalogue": {"cold", "events", "personas", "items.first_seen"},
    "demand": {"demand"},
    "people": {"personas"},
    "queries": {"query_change"},
    "stock": {"available", "items.available"},
    "attack": {"plan", "attacked", "events"},
    "texts": {"attacked", "catalog.text", "items.text"},
    "faults": {"faults"},
}


def applied(name, *, sessions=80, days=8, seed=3, shop=SHOP):
    scenario = load_scenario(name) if isinstance(name, str) else name
    return apply_scenario(scenario, shop, sessions=sessions, days=days, seed=seed)


def made(**tables):
    return Scenario.model_validate({"name": "made", "description": "Made by a test.", **tables})


@cache
def steady():
    return applied(made())


def plan_columns(plan):
    return [getattr(plan, name).tolist() for name in ("number", "shopper", "started_at", "role")]


def differences(world, other):
    """Names of what is different in two worlds."""
    found = {
        name
        for name in ("attacked", "cold", "demand", "faults", "query_change")
        if getattr(world, name) != getattr(other, name)
    }
    for table in ("catalog", "items"):
        one, two = (getattr(each, table) for each in (world, other))
        one, two = (each if isinstance(each, pa.Table) else each.table for each in (one, two))
        assert one.schema == two.schema
        found |= {f"{table}.{n}" for n in one.column_names if not one[n].equals(two[n])}
    if not world.events.equals(other.events):
        found.add("events")
    if list(world.personas) != list(other.personas):
        found.add("personas")
    if plan_columns(world.plan) != plan_columns(other.plan):
        found.add("plan")
    if world.available.tolist() != other.available.tolist():
        found.add("available")
    return found


@pytest.mark.parametrize("name", packaged_scenarios())
def test_a_packaged_scenario_changes_what_its_tables_name_and_nothing_else(name):
    scenario = load_scenario(name)
    tables = {table for table in CHANGES if getattr(scenario, table) is not None}
    allowed = set().union(*(CHANGES[table] for table in tables), set())
    found = differences(applied(name), steady())
    assert found <= allowed
    for table in tables:
        assert found & CHANGES[table], f"[{table}] changes nothing"


def test_steady_traffic_leaves_the_shop_as_it_is():
    world = applied("steady-traffic")
    assert world.catalog.table.equals(SHOP.catalog.table)
    assert world.items.equals(SHOP.items)
    assert world.events.equals(SHOP.events)
    assert list(world.personas) == list(SHOP.personas)
    assert world.available.all()
    assert world.demand == ({},) * 8
    assert (len(world.plan), set(world.plan.role.tolist())) == (80, {0})


@pytest.mark.parametrize("name", packaged_scenarios())
def test_the_same_seed_gives_the_same_world(name):
    assert differences(applied(name), applied(name)) == set()


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("sale-day", "prices"),
        ("new-catalogue", "catalogue"),
        ("out-of-stock", "stock"),
        ("click-fraud", "attack"),
        ("shilling", "attack"),
        ("hostile-texts", "texts"),
    ],
)
def test_another_seed_changes_other_items(name, table):
    found = differences(applied(name, seed=1), applied(name, seed=2))
    # Visits, and what attackers did when, differ even where the same items are drawn.
    assert found & (CHANGES[table] - {"plan", "events"})


def test_one_change_does_not_move_another():
    alone = applied(made(stock={"share": 0.2}))
    beside = applied(made(stock={"share": 0.2}, prices={"share": 0.5}, attack={"kind": "shilling"}))
    assert alone.available.tolist() == beside.available.tolist()


def test_a_sale_day_has_ten_times_the_visits_of_its_day_and_the_others_stay():
    world = applied("sale-day")
    before = np.bincount(steady().plan.day, minlength=8)
    expected = before.copy()
    expected[4] *= 10
    assert np.bincount(world.plan.day, minlength=8).tolist() == expected.tolist()
    kept = np.isin(world.plan.number, steady().plan.number)
    assert plan_columns(world.plan.take(np.flatnonzero(kept))) == plan_columns(steady().plan)
    assert (np.diff(world.plan.started_at) >= np.timedelta64(0)).all()
    day_of = (world.plan.started_at - np.datetime64(UNTIL, "us")) // np.timedelta64(1, "D")
    assert day_of.tolist() == world.plan.day.tolist()
    before = np.asarray(SHOP.catalog.table["price"].to_pylist(), dtype=float)
    after = np.asarray(world.catalog.table["price"].to_pylist(), dtype=float)
    ratios = (after / before)[np.isfinite(before)]
    assert set(np.round(ratios, 9).tolist()) == {0.7, 1.0}
    assert np.isnan(after).tolist() == np.isnan(before).tolist()
    # A fifth of 60 items, the one without a price perhaps among them.
    assert (ratios < 1).sum() in {11, 12}
    assert world.items["price"].equals(world.catalog.table["price"])


def test_added_visits_stay_within_the_hours_of_their_day():
    world = applied(made(traffic={"factor": 200.0}), sessions=40, days=8)
    before = applied(made(), sessions=40, days=8).plan
    day = world.plan.started_at[world.plan.day == 4]
    that = before.started_at[before.day == 4]
    assert len(day) > 200
    assert (day.min(), day.max()) == (that.min(), that.max())


def test_new_items_leave_no_trace_in_what_target_and_shoppers_know():
    world = applied("new-catalogue")
    assert 0.2 * 60 < len(world.cold) <= 0.3333 * 60
    assert not set(world.events["item_id"].to_pylist()) & world.cold
    others = pc.invert(pc.is_in(SHOP.events["item_id"], pa.array(sorted(world.cold))))
    assert world.events.equals(SHOP.events.filter(others))
    texts = dict(zip(SHOP.catalog.item_ids.tolist(), SHOP.catalog.texts(), strict=True))
    gone = {texts[item] for item in world.cold}
    for before, after in zip(SHOP.personas, world.personas, strict=True):
        assert after.history == tuple(text for text in before.history if text not in gone)
    seen = dict(zip(*(world.items[n].to_pylist() for n in ("item_id", "first_seen")), strict=True))
    assert {seen[item] for item in world.cold} == {UNTIL}
    assert world.items["item_id"].equals(SHOP.items["item_id"])


def test_a_trend_multiplies_some_categories_from_the_middle_on():
    world = applied("trend-shift")
    assert world.demand[:4] == ({},) * 4
    assert world.demand[4] == world.demand[7]
    assert set(world.demand[4].values()) == {3.0}
    assert "tea" not in world.demand[4], "the largest category is always in demand"


def test_a_flood_gives_a_category_its_share_of_needs():
    world = applied("category-flood")
    shares = demand_shares(SHOP.catalog, SHOP.personas)
    ((name, factor),) = world.demand[0].items()
    after = factor * shares[name] / (factor * shares[name] + 1 - shares[name])
    assert after == pytest.approx(0.8)
    assert world.demand[0] == world.demand[-1]


def test_demand_shares_follow_interests_and_activity():
    shares = demand_shares(SHOP.catalog, SHOP.personas)
    assert shares["tea"] == pytest.approx(0.7)
    assert shares["bread"] == pytest.approx(0.2)
    assert shares["chocolate"] == 0.0
    strangers = [Persona(persona_id="s", interests={"cars": 1.0})]
    popular = demand_shares(SHOP.catalog, strangers)
    assert sum(popular.values()) == pytest.approx(1.0)
    assert min(popular.values()) > 0.1


def course(season=None, days=12, **change):
    found, notes = demand_course(
        DemandChange(**change),
        {"tea": 0.5, "bread": 0.3, "salt": 0.2},
        days=days,
        until=datetime(2017, 1, 16),
        season=season or {},
        rng=np.random.default_rng(0),
    )
    return found, notes


def test_seasons_of_the_log_are_followed_from_the_month_of_the_beginning():
    months = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0]
    found, notes = course({"tea": months}, kind="season")
    assert notes == []
    factors = [day["tea"] for day in found]
    assert factors[0] == 1.0
    # It begins in the middle of January, and a day of the run is a month.
    assert factors == pytest.approx(months, rel=0.03)
    assert {day["bread"] for day in found} == {1.0}


def test_seasons_without_a_log_are_a_smooth_year_that_begins_as_always():
    found, _ = course(kind="season", days=365, swing=0.7)
    logs = np.log([[day[name] for name in ("tea", "bread", "salt")] for day in found])
    assert np.abs(logs[0]).max() == 0.0
    assert np.abs(logs).max() <= 0.7 + 1e-9
    assert np.abs(logs).max() > 0.3
    assert np.abs(np.diff(logs, axis=0)).max() < 0.01
    assert np.abs(logs[-1]).max() < 0.01, "a year later it is as before"


def test_named_categories_and_those_that_are_missing():
    found, notes = course(kind="shift", categories=("salt", "cars"), factor=2.0)
    assert found[0] == {"salt": 2.0}
    assert notes == ["The catalogue has no top-level category 'cars'."]


def test_a_shop_of_one_category_cannot_shift_and_says_so():
    catalog = catalog_of([{"item_id": "a", "category": "tea"}])
    found, notes = demand_course(
        DemandChange(kind="flood"),
        demand_shares(catalog, SHOP.personas),
        days=3,
        until=UNTIL,
        season={},
        rng=np.random.default_rng(0),
    )
    assert found == ({}, {}, {})
    assert "no two top-level categories" in notes[0]


def test_price_sensitive_shoppers_mind_the_price_and_nothing_else_of_them_changes():
    world = applied("price-sensitive")
    for before, after in zip(SHOP.personas, world.personas, strict=True):
        assert after.price_sensitivity == max(before.price_sensitivity, 0.95)
        assert after == before.model_copy(update={"price_sensitivity": after.price_sensitivity})


def test_who_minds_prices_more_already_stays():
    world = applied(made(people={"price_sensitivity": 0.3}))
    found = [persona.price_sensitivity for persona in world.personas]
    assert found == [max(persona.price_sensitivity, 0.3) for persona in SHOP.personas]
    assert max(found) > 0.3


def test_only_a_share_of_the_people_changes():
    change = {"share": 0.5, "patience_factor": 2.0, "locale": "fr_FR"}
    world = applied(made(people=change))
    changed = [
        (before, after)
        for before, after in zip(SHOP.personas, world.personas, strict=True)
        if before != after
    ]
    assert len(changed) == len(SHOP.personas) / 2
    for before, after in changed:
        assert (after.patience, after.locale) == (2 * before.patience, "fr_FR")


@pytest.mark.parametrize(("name", "told"), [("out-of-stock", True), ("out-of-stock-untold", False)])
def test_popular_items_are_out_of_stock_and_the_target_is_told_or_not(name, told):
    world = applied(name)
    assert (~world.available).sum() == 6
    popularity = SHOP.catalog.table["popularity"].to_numpy()
    assert popularity[~world.available].min() >= np.sort(popularity)[-12]
    expected = world.available if told else np.ones(60, dtype=bool)
    assert world.items["available"].to_pylist() == expected.tolist()
    assert world.catalog.table.equals(SHOP.catalog.table)


@pytest.mark.parametrize(
    ("name", "role", "share"), [("click-fraud", 1, 0.1), ("shilling", 2, 0.05)]
)
def test_attackers_come_beside_the_shoppers_and_leave_traces(name, role, share):
    world = applied(name)
    assert (world.plan.role == role).sum() == round(share * 80)
    shoppers = world.plan.take(np.flatnonzero(world.plan.role == 0))
    assert plan_columns(shoppers) == plan_columns(steady().plan)
    assert len(world.attacked) == 20
    added = world.events.slice(SHOP.events.num_rows)
    assert world.events.slice(0, SHOP.events.num_rows).equals(SHOP.events)
    assert added.num_rows == pytest.approx(0.01 * world.events.num_rows, abs=1)
    assert set(added["shopper_id"].to_pylist()) == {"attacker 1"}
    assert max(added["at"].to_pylist()) < UNTIL
    assert set(added["item_id"].to_pylist()) <= set(world.attacked)
    assert set(added["purchased"].to_pylist()) == {name == "shilling"}
    assert set(added["clicked"].to_pylist()) == {True}


def test_shilling_accounts_buy_popular_items_beside_the_pushed_ones():
    world = applied(made(attack={"kind": "shilling", "items": 5, "before": 0.1}))
    added = world.events.slice(SHOP.events.num_rows)
    first = [r["item_id"] for r in added.to_pylist() if r["shopper_id"] == "attacker 1"]
    popular = SHOP.catalog.item_ids[SHOP.catalog.popularity_order()[:5]].tolist()
    assert first == [*world.attacked, *popular]


def test_hostile_texts_keep_the_text_and_add_orders_and_frequent_words():
    shop = small_shop(items=200)
    world = applied("hostile-texts", shop=shop)
    texts = zip(shop.catalog.texts(), world.catalog.texts(), strict=True)
    changed = [(before, after) for before, after in texts if before != after]
    assert len(changed) == len(world.attacked) == 40
    words = frequent_words(shop.catalog, 30)
    for before, after in changed:
        assert after.startswith(before)
        assert any(order in after for order in ORDERS)
        assert after.endswith(" ".join(words))
    assert {order for order in ORDERS if any(order in after for _, after in changed)} == set(ORDERS)
    assert world.items["text"].to_pylist() == world.catalog.texts()
    popularity = shop.catalog.table["popularity"].to_numpy()
    pushed = popularity[shop.catalog.places(world.attacked)]
    assert pushed.max() <= np.sort(popularity)[79]


def test_orders_are_in_several_scripts():
    scripts = {max(letter_scripts(order), key=letter_scripts(order).get) for order in ORDERS}
    assert scripts >= {"Latin", "Han", "Cyrillic", "Arabic", "Devanagari"}


def test_own_phrases_replace_the_packaged_ones():
    world = applied(made(texts={"items": 3, "phrases": ["Pick me!"]}))
    assert sum(text.endswith("Pick me!") for text in world.catalog.texts()) == 3


def test_faults_are_handed_on():
    assert applied("slow-target").faults.slow_seconds == 1.5
    assert applied("failing-target").faults.error_share == 0.05


def written(query, way, **change):
    writer = QueryWriter(
        QueryChange(share=1.0, written=(way,), **change), TypingSlips(), ("纯牛奶",)
    )
    return writer([query], np.random.default_rng(0))[0]


@pytest.mark.parametrize(
    ("query", "way", "expected"),
    [
        ("crème brûlée", "no accents", "creme brulee"),
        ("हिन्दी चाय", "no accents", "हिन्दी चाय"),
        ("tea 2%", "full width", "ｔｅａ　２％"),
        ("Milk box", "other letters", "милк бокс"),
        ("чай щи", "other letters", "chay shchi"),
        ("牛奶", "other letters", "牛奶"),
        ("tea", "foreign words", "纯牛奶"),
    ],
)
def test_a_query_is_written_in_another_way(query, way, expected):
    assert written(query, way) == expected


def test_words_of_a_list_and_whole_queries_are_typed_instead():
    assert written("Green TEA", "word list", words={"tea": "thé"}) == "Green thé"
    writer = QueryWriter(QueryChange(share=1.0, instead=("leche",)), TypingSlips())
    assert writer(["milk", "tea"], np.random.default_rng(0)) == ["leche", "leche"]


def test_a_word_that_would_become_nothing_stays():
    assert written("tea", "word list", words={"tea": ""}) == "tea"


def test_slips_are_made_at_the_rate_of_the_scenario():
    writer = applied("typing-slips").query_change
    queries = ["chocolate cookies"] * 2000
    typed = writer(queries, np.random.default_rng(1))
    assert np.mean([a != b for a, b in zip(queries, typed, strict=True)]) == pytest.approx(
        0.25, abs=0.03
    )


OTHER_LANGUAGES = applied("other-languages").query_change


@settings(max_examples=30, deadline=None)
@given(st.lists(st.text(min_size=1, max_size=20)), st.integers(0, 99))
def test_changed_queries_keep_their_number_and_never_become_empty(queries, seed):
    writer = OTHER_LANGUAGES
    typed = writer(queries, np.random.default_rng(seed))
    assert len(typed) == len(queries)
    assert all(
        after.strip() or after == before for before, after in zip(queries, typed, strict=True)
    )
    assert typed == writer(list(queries), np.random.default_rng(seed))


def test_foreign_words_are_those_of_another_script_than_most():
    assert foreign_words(["thé vert", "green tea", "纯牛奶 tea", "чай 2"]) == ("чай", "纯牛奶")
    assert foreign_words(["红茶 tea", "绿茶", "白茶", "纯牛奶"]) == ("tea",)
    assert foreign_words(["tea", "milk"]) == ()
    assert len(foreign_words(["tea " * 900, *(chr(0x4E00 + k) for k in range(900))])) <= 500


def test_a_catalogue_of_one_script_has_no_foreign_words_and_says_so():
    shop = small_shop()
    plain = catalog_of([{"item_id": i, "text": f"tea {i}"} for i in shop.catalog.item_ids])
    world = applied("other-languages", shop=replace(shop, catalog=plain))
    assert world.notes == ("The catalogue has one script: no query gets foreign words.",)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 60), st.sampled_from(["any", "popular", "unpopular"]), st.integers(0, 99))
def test_chosen_items_are_different_and_from_the_right_end(count, choice, seed):
    places = choose_items(SHOP.catalog, count, choice, np.random.default_rng(seed)).tolist()
    assert len(set(places)) == len(places) == count
    popularity = np.sort(SHOP.catalog.table["popularity"].to_numpy())
    found = SHOP.catalog.table["popularity"].to_numpy()[places]
    pool = min(60, 2 * count)
    if choice == "popular":
        assert found.min() >= popularity[-pool]
    if choice == "unpopular":
        assert found.max() <= popularity[pool - 1]


@settings(max_examples=40, deadline=None)
@given(st.floats(0.0, 1.0), st.integers(0, 99))
def test_new_items_are_at_most_the_share_and_items_of_one_text_go_together(share, seed):
    cold = choose_new_items(SHOP.catalog, share, np.random.default_rng(seed))
    assert len(cold) <= share * 60 + 1e-9
    texts = dict(zip(SHOP.catalog.item_ids.tolist(), SHOP.catalog.texts(), strict=True))
    gone = {texts[item] for item in cold}
    assert {item for item, text in texts.items() if text in gone} == cold


def test_a_run_without_days_or_people_is_refused():
    with pytest.raises(SettingError, match="0 days"):
        applied("steady-traffic", days=0)
    with pytest.raises(PersonaError, match="empty"):
        applied("steady-traffic", shop=replace(SHOP, personas=[]))


def test_a_run_without_sessions_is_empty_in_every_scenario():
    for name in packaged_scenarios():
        assert len(applied(name, sessions=0).plan) == 0


def add(log, table, *records):
    names = dict.fromkeys(name for record in records for name in record)
    columns = {name: [record.get(name) for record in records] for name in names}
    log.append(table, pa.table({**columns, "origin": [r.get("origin", "real") for r in records]}))


@pytest.fixture
def log(tmp_path):
    def day(number):
        return datetime(2026, 1, number, 9)

    with Log.create(tmp_path / "log.duckdb") as opened:
        add(
            opened,
            "items",
            {"item_id": "a", "text": "tea", "category": "drinks", "price": 2.0},
            {"item_id": "b", "text": "纯牛奶", "category": "dairy", "price": 3.0},
            {"item_id": "c", "text": "bread", "category": "bakery", "brand": "rye"},
        )
        add(
            opened,
            "sessions",
            *({"session_id": f"s{n}", "user_id": f"u{n}", "started_at": day(n)} for n in (1, 2, 9)),
        )
        search = {"candidates": "logged", "step": 1, "page": 1}
        add(
            opened,
            "searches",
            {**search, "search_id": "q1", "session_id": "s1", "query": "tea"},
            {**search, "search_id": "q9", "session_id": "s9", "searched_at": day(9)},
        )
        shown = {"clicked": True, "purchased": True, "sample_rate": 1.0, "position": 1}
        add(
            opened,
            "impressions",
            {**shown, "search_id": "q1", "item_id": "a"},
            {**shown, "search_id": "q1", "item_id": "b", "purchased": False, "position": 2},
            {**shown, "search_id": "q9", "item_id": "c"},
        )
        bought = {"quantity": 1.0, "amount": 2.0}
        add(
            opened,
            "purchases",
            {**bought, "user_id": "u1", "item_id": "a", "session_id": "s1", "purchased_at": day(1)},
            {**bought, "user_id": "u2", "item_id": "b", "session_id": "s2", "purchased_at": day(2)},
            {
                **bought,
                "user_id": "run",
                "item_id": "c",
                "session_id": "r",
                "purchased_at": day(2),
                "origin": "run-1",
            },
        )
        yield opened


PEOPLE = [Persona(persona_id="p")]


def test_a_world_read_from_a_log_has_each_event_once_and_nothing_later(log):
    world = read_world(log, PEOPLE, until=datetime(2026, 1, 8))
    assert world.events.schema == EVENT_SCHEMA
    assert world.items.schema == ITEM_SCHEMA
    rows = [
        (row["shopper_id"], row["item_id"], row["query"], row["clicked"], row["purchased"])
        for row in world.events.to_pylist()
    ]
    # The purchase of a is the one that its page tells of; that of b stands alone.
    assert rows == [
        ("u1", "a", "tea", True, True),
        ("u1", "b", "tea", True, False),
        ("u2", "b", None, None, True),
    ]
    assert world.events["at"].to_pylist()[0] == datetime(2026, 1, 1, 9)
    assert world.items["item_id"].to_pylist() == ["a", "b", "c"]
    assert world.items["available"].to_pylist() == [True] * 3


def test_a_world_without_an_end_goes_to_the_last_session(log):
    assert read_world(log, PEOPLE, until=None).until == datetime(2026, 1, 9, 9)


def test_only_the_most_popular_items_are_kept_with_their_events(log):
    world = read_world(log, PEOPLE, until=datetime(2026, 1, 8), most_items=2)
    assert world.items["item_id"].to_pylist() == ["a", "b"]
    assert world.events.num_rows == 3
    most = read_world(log, PEOPLE, until=datetime(2026, 1, 8), most_items=1)
    assert most.items["item_id"].to_pylist() == ["a"]
    assert set(most.events["item_id"].to_pylist()) == {"a"}


def test_a_log_without_times_needs_to_be_told_one(tmp_path):
    with Log.create(tmp_path / "empty.duckdb") as opened:
        add(opened, "items", {"item_id": "a", "text": "tea"})
        with pytest.raises(EmptyLogError):
            read_world(opened, PEOPLE, until=None)
        world = read_world(opened, PEOPLE, until=datetime(2026, 1, 8))
        assert world.events.num_rows == 0
        assert world.until - timedelta(days=7) < datetime(2026, 1, 8)
