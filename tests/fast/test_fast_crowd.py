"""What the crowd without a language model does with the pages of a target."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pyarrow.compute as pc
import pytest
from fast_shops import ScriptedClient, listing, visits

from footfall.errors import CatalogueError, SettingError
from footfall.simulator.behaviour import Behaviour, Rate
from footfall.simulator.catalog import Catalog
from footfall.simulator.crowd_events import IMPRESSION_SCHEMA, PAGE_SCHEMA, VISIT_SCHEMA
from footfall.simulator.fast import FastCrowd
from footfall.simulator.fast.answers import read_answers
from footfall.simulator.fast.click_odds import Reference
from footfall.simulator.fast.preference import Preference
from footfall.simulator.targets.protocol import AnsweredPage

IDS = [f"i{n:02d}" for n in range(72)]


def alike(shop, **rates):
    """The shop where everybody clicks everything by the same chance."""
    flat = ("on_preference", "on_affinity", "on_popularity", "on_price")
    known = dict.fromkeys(flat, 0.0) | {"intercept": -1.0} | rates
    behaviour = Behaviour().model_copy(
        update={name: Rate(value=value) for name, value in known.items()}
    )
    nothing = Preference.none(shop.items.vectors.shape[1])
    return replace(shop, behaviour=behaviour, preference=nothing, reference=Reference())


def joined(events):
    """Impressions with the columns of their pages and visits."""
    pages = events.pages.to_pylist()
    visit = {row["session_id"]: row for row in events.visits.to_pylist()}
    page = {row["search_id"]: row for row in pages}
    return [
        row | {"page": page[row["search_id"]], "visit": visit[page[row["search_id"]]["session_id"]]}
        for row in events.impressions.to_pylist()
    ]


def test_the_same_seed_gives_the_same_events_and_another_one_others(shop):
    first, again, other = (
        FastCrowd(shop, listing(IDS), seed=seed).run(visits(300)) for seed in (1, 1, 2)
    )
    assert first == again
    assert first.impressions != other.impressions
    assert first.visits.schema == VISIT_SCHEMA
    assert first.pages.schema == PAGE_SCHEMA
    assert first.impressions.schema == IMPRESSION_SCHEMA


def test_visits_have_the_same_chances_in_front_of_two_targets(shop):
    shop = alike(shop)
    ahead = FastCrowd(shop, listing(IDS[:6]), seed=4).run(visits(800))
    back = FastCrowd(shop, listing(IDS[5::-1]), seed=4).run(visits(800))
    found = [
        {
            (row["search_id"], row["item_id"]): row
            for row in events.impressions.to_pylist()
            if row["search_id"].endswith("/01")
        }
        for events in (ahead, back)
    ]
    both = [
        (found[0][key], found[1][key])
        for key in found[0]
        if found[0][key]["looked"] and found[1][key]["looked"]
    ]
    assert len(both) > 1000
    assert all(one["clicked"] == other["clicked"] for one, other in both)
    assert all(one["purchased"] == other["purchased"] for one, other in both)
    assert 0.1 < np.mean([one["clicked"] for one, _ in both]) < 0.5
    # Higher up, whoever looked further down looks as well.
    looked = [(key, row) for key, row in found[0].items() if row["looked"] and row["position"] > 3]
    assert looked
    assert all(found[1][key]["looked"] for key, _ in looked)
    needs = [events.pages.filter(pc.equal(events.pages["step"], 1)) for events in (ahead, back)]
    assert needs[0]["needed"] == needs[1]["needed"]
    assert needs[0]["query"] == needs[1]["query"]


def test_clicks_come_at_the_chance_of_a_look_times_that_of_a_click(shop):
    shop = alike(shop, cart_after_click=0.6, purchase_after_cart=0.5)
    events = FastCrowd(shop, listing(IDS[:6]), seed=7).run(visits(4000))
    first = pc.ends_with(events.impressions["search_id"], "/01")
    table = events.impressions.filter(first)
    click = 1.0 / (1.0 + np.e)
    for position in range(1, 7):
        shown = table.filter(pc.equal(table["position"], position))
        chance = click * position**-0.5
        deviation = np.sqrt(chance * (1 - chance) / len(shown))
        assert len(shown) == 4000
        assert np.mean(shown["clicked"]) == pytest.approx(chance, abs=4.5 * deviation)
    clicked = table.filter(table["clicked"])
    carted = clicked.filter(clicked["carted"])
    assert np.mean(clicked["carted"]) == pytest.approx(0.6, abs=4.5 * np.sqrt(0.24 / len(clicked)))
    assert np.mean(carted["purchased"]) == pytest.approx(0.5, abs=4.5 * np.sqrt(0.25 / len(carted)))
    assert np.allclose(table["gain"], click)
    assert not any(row["clicked"] and not row["looked"] for row in table.to_pylist())


def test_intent_makes_visits_differ_and_the_gain_stay(shop):
    even = FastCrowd(alike(shop), listing(IDS[:6]), seed=7).run(visits(3000))
    uneven = FastCrowd(alike(shop, intent_spread=3.0), listing(IDS[:6]), seed=7).run(visits(3000))

    def per_page(events):
        counts = Counter(
            row["search_id"] for row in events.impressions.to_pylist() if row["clicked"]
        )
        ids = [each for each in events.pages["search_id"].to_pylist() if each.endswith("/01")]
        return np.array([counts[each] for each in ids])

    assert per_page(uneven).var() > 1.5 * per_page(even).var()
    assert np.allclose(uneven.impressions["gain"], 1.0 / (1.0 + np.e))


def test_a_shopper_leaves_by_patience_and_by_what_the_page_led_to(shop):
    patient = [each.model_copy(update={"patience": 4.0}) for each in shop.personas]
    shop = alike(shop, leave_after_page=0.5, intercept=-30.0, new_need=1.0)
    shop = replace(shop, mean_patience=2.0).with_world(personas=patient)
    events = FastCrowd(shop, listing(IDS), seed=3).run(visits(4000))
    # Twice as patient as the average: one in four leaves after each page.
    seen = np.bincount([int(each[:8]) for each in events.pages["search_id"].to_pylist()])
    share = np.mean(seen == 1)
    assert share == pytest.approx(0.25, abs=4.5 * np.sqrt(0.25 * 0.75 / 4000))
    assert seen.max() == shop.most_pages
    ends = Counter(events.visits["ended_by"].to_pylist())
    assert set(ends) == {"left", "out of patience"}
    assert ends["out of patience"] == (seen == shop.most_pages).sum() - sum(
        row["ended_by"] == "left" and seen[int(row["session_id"])] == shop.most_pages
        for row in events.visits.to_pylist()
    )


def test_what_is_sold_out_is_clicked_and_never_bought(shop):
    out = shop.with_world(available=np.arange(72) >= 3)
    events = FastCrowd(alike(out, intercept=1.0), listing(IDS[:6]), seed=1).run(visits(500))
    rows = events.impressions.to_pylist()
    gone = [row for row in rows if row["item_id"] in IDS[:3]]
    assert any(row["clicked"] for row in gone)
    assert not any(row["carted"] or row["purchased"] for row in gone)
    assert any(row["purchased"] for row in rows)


def test_a_failed_page_is_one_without_a_response_after_which_some_leave(shop):
    client = ScriptedClient(lambda request: AnsweredPage((), 2.0, "timeout"))
    events = FastCrowd(alike(shop, leave_after_page=0.5), client, seed=1).run(visits(2000))
    assert not len(events.impressions)
    assert set(events.pages["failure"].to_pylist()) == {"timeout"}
    assert set(events.pages["seconds"].to_pylist()) == {2.0}
    ends = Counter(events.visits["ended_by"].to_pylist())
    assert set(ends) <= {"failed page", "no query", "out of patience"}
    assert ends["failed page"] > 1000
    # Nobody turns a page that did not come.
    assert set(events.pages["page"].to_pylist()) == {1}


def test_a_page_that_comes_after_a_failed_one_counts_as_every_other(shop):
    def answer(request):
        # All visits are one block, whose first pages are asked for together.
        return AnsweredPage((), 0.1, "error") if client.batches == 1 else tuple(IDS[:6])

    shop, client = alike(shop, leave_after_page=0.3), ScriptedClient(answer)
    events = FastCrowd(shop, client, seed=1).run(visits(2000))
    pages = events.pages.to_pylist()
    assert {(row["step"] > 1, row["failure"]) for row in pages} == {(False, "error"), (True, None)}
    steps = Counter(row["session_id"] for row in pages)
    ends = {row["session_id"]: row["ended_by"] for row in events.visits.to_pylist()}
    assert {steps[each] for each, how in ends.items() if how == "failed page"} == {1}
    second = events.impressions.filter(pc.ends_with(events.impressions["search_id"], "/02"))
    assert len(second) == 6 * sum(count > 1 for count in steps.values()) > 6000
    for position in (1, 4):
        shown = second.filter(pc.equal(second["position"], position))
        chance = position**-0.5 / (1.0 + np.e)
        deviation = np.sqrt(chance * (1 - chance) / len(shown))
        assert np.mean(shown["clicked"]) == pytest.approx(chance, abs=4.5 * deviation)


def test_pages_without_items_are_pages(shop):
    events = FastCrowd(shop, listing([]), seed=1).run(visits(200))
    assert len(events.pages) >= 200
    assert not len(events.impressions)
    assert set(events.visits["ended_by"].to_pylist()) <= {"left", "no query", "out of patience"}


def test_unknown_items_and_repeats_are_dropped_and_long_pages_cut(shop):
    answer = ["nope", "i05", "i05", "i01", "lost", *IDS]
    events = FastCrowd(alike(shop), ScriptedClient(lambda _: answer), seed=1).run(visits(50))
    first = events.impressions.slice(0, 6).to_pylist()
    assert [row["item_id"] for row in first] == ["i05", "i01", "i00", "i02", "i03", "i04"]
    assert [row["position"] for row in first] == [1, 2, 3, 4, 5, 6]
    counts = Counter(events.impressions["search_id"].to_pylist())
    assert set(counts.values()) == {6}


def test_answers_are_read_in_their_order():
    place = {"a": 0, "b": 1, "c": 2}
    pages = [
        AnsweredPage(("c", "x", "a", "c"), 0.5),
        AnsweredPage((), 1.0, "malformed"),
        AnsweredPage(("b", "a", "c"), 0.0),
    ]
    found = read_answers(pages, place, 2)
    assert found.page.tolist() == [0, 0, 2, 2]
    assert found.item.tolist() == [2, 0, 1, 0]
    assert found.position.tolist() == [1, 2, 1, 2]
    assert found.sizes.tolist() == [2, 0, 2]
    assert found.failure.tolist() == [0, 3, 0]
    assert found.seconds.tolist() == [0.5, 1.0, 0.0]


def test_click_fraud_clicks_every_attacked_item_and_nothing_else(shop):
    plan = visits(200, role=1)
    events = FastCrowd(shop, listing(IDS), seed=1, attacked=["i04", "i50"]).run(plan)
    rows = events.impressions.to_pylist()
    first = [row for row in rows if row["search_id"].endswith("/01")]
    assert all(row["clicked"] == (row["item_id"] == "i04") for row in first)
    assert any(row["clicked"] for row in first)
    assert not any(row["carted"] or row["purchased"] for row in rows)
    assert set(events.visits["role"].to_pylist()) == {"click fraud"}
    assert set(events.pages["needed"].to_pylist()) == {"i04", "i50"}


def test_shilling_accounts_buy_attacked_items_and_some_popular_ones(shop):
    popular = np.zeros(72, dtype=bool)
    popular[:4] = True
    object.__setattr__(pushed := replace(shop), "popular", popular)
    client = listing(IDS[:12])
    crowd = FastCrowd(pushed, client, seed=1, attacked=["i05"])
    events = crowd.run(visits(300, role=2))
    first = [row for row in joined(events) if row["page"]["step"] == 1]
    bought = Counter(row["item_id"] for row in first if row["purchased"])
    assert bought["i05"] == sum(row["item_id"] == "i05" for row in first) == 300
    assert set(bought) == {"i00", "i01", "i02", "i03", "i05"}
    assert bought["i00"] == pytest.approx(150, abs=40)
    # They are nobody that the shop knows, and leave no trace in a shopper's history.
    assert all(request.shopper_id.startswith("attacker/") for request in client.requests)
    assert not any(request.history for request in client.requests)
    client.requests.clear()
    honest = crowd.run(visits(60, first=1020))
    assert set(honest.visits["role"].to_pylist()) == {"shopper"}
    # The first pages are asked for in the order in which shoppers come, each of them once.
    asked = {request.shopper_id: set(request.history) for request in client.requests[:60]}
    assert asked == {
        persona.persona_id: shop_history(shop, n) for n, persona in enumerate(shop.personas)
    }


def shop_history(shop, shopper):
    rows = shop.population.history[shopper]
    return set(shop.items.ids[rows[rows >= 0]].tolist())


def test_what_was_bought_is_in_the_history_from_the_next_block_on(shop):
    client = listing(IDS[:6])
    sure = alike(shop, intercept=30.0, cart_after_click=1.0, purchase_after_cart=1.0)
    sure = sure.with_behaviour(sure.behaviour.model_copy(update={"look": (Rate(value=1.0),)}))
    crowd = FastCrowd(sure, client, seed=1)
    crowd.run(visits(2, shoppers=1))
    during = [request.history for request in client.requests]
    assert len(set(during)) == 1
    client.requests.clear()
    crowd.run(visits(1, shoppers=1, first=2))
    assert client.requests[0].history[-6:] == tuple(IDS[:6])
    assert len(set(client.requests[0].history)) == len(client.requests[0].history)


def test_all_visits_of_a_block_ask_together(shop):
    client = listing(IDS)
    events = FastCrowd(shop, client, seed=1).run(visits(2100))
    steps = max(events.pages["step"].to_pylist())
    assert client.batches <= 2 * steps
    assert len(client.requests) == len(events.pages)


def test_a_request_says_what_a_shop_knows(shop):
    client = listing(IDS)
    FastCrowd(shop, client, seed=1).run(visits(60))
    request = client.requests[0]
    persona = shop.personas[0]
    assert (request.shopper_id, request.locale) == (persona.persona_id, persona.locale)
    assert (request.limit, request.offset) == (6, 0)
    assert set(request.history) == shop_history(shop, 0)
    offsets = {each.offset for each in client.requests}
    assert 6 in offsets
    assert all(each.offset % 6 == 0 for each in client.requests)


def test_typing_slips_change_what_arrives_and_not_what_is_wanted(shop):
    def garbled(queries, rng):
        return [f"{query}{rng.integers(10)}" for query in queries]

    plain = FastCrowd(shop, listing(IDS), seed=1).run(visits(200))
    slips = FastCrowd(shop, listing(IDS), seed=1, query_change=garbled).run(visits(200))
    pairs = zip(plain.pages["query"].to_pylist(), slips.pages["query"].to_pylist(), strict=True)
    assert all(after[:-1] == before for before, after in pairs if before is not None)
    assert plain.impressions == slips.impressions
    assert plain.pages["ideal_gain"] == slips.pages["ideal_gain"]


def test_shoppers_who_browse_type_nothing(shop):
    client = listing(IDS)
    FastCrowd(shop, client, seed=1, browse_share=1.0).run(visits(100))
    assert {request.query for request in client.requests} == {None}
    client = listing(IDS)
    FastCrowd(shop, client, seed=1, browse_share=0.0).run(visits(100))
    assert None not in {request.query for request in client.requests}


def test_demand_can_change_between_days(shop):
    # Six top-level categories of twelve items each, and interests in none of them.
    table = shop.catalog.table
    top = pc.replace_substring(table["category"], "food > ", "")
    table = table.set_column(table.column_names.index("category"), "category", top)
    crowd = FastCrowd(shop.with_world(catalog=Catalog(table)), listing(IDS), seed=1)

    def pizza(events):
        first = events.pages.filter(pc.equal(events.pages["step"], 1))
        return np.mean([item < "i12" for item in first["needed"].to_pylist()])

    before = pizza(crowd.run(visits(600)))
    crowd.demand = {"pizza": 20.0}
    after = pizza(crowd.run(visits(600, first=600, day=1)))
    assert before == pytest.approx(1 / 6, abs=0.05)
    assert after == pytest.approx(20 / 25, abs=0.05)
    assert crowd.demand == {"pizza": 20.0}


def test_a_factor_of_all_that_is_sold_changes_nothing(shop):
    doubled = FastCrowd(shop, listing(IDS), seed=1, demand={"food": 2.0}).run(visits(50))
    plain = FastCrowd(shop, listing(IDS), seed=1).run(visits(50))
    assert doubled.pages["needed"] == plain.pages["needed"]


def test_pages_that_suit_are_worth_more_and_none_more_than_the_ideal(query_shop):
    def matching(request):
        fits = [f"i{n:02d}" for n in range(72) if request.query in query_shop.catalog.texts()[n]]
        return fits[: request.limit]

    def gain(events):
        total = {}
        for row in events.impressions.to_pylist():
            worth = row["gain"] / np.log2(row["position"] + 1)
            total[row["search_id"]] = total.get(row["search_id"], 0.0) + worth
        ideal = {row["search_id"]: row["ideal_gain"] for row in events.pages.to_pylist()}
        return np.array([total[each] / ideal[each] for each in total])

    good = FastCrowd(query_shop, ScriptedClient(matching), seed=1).run(visits(300))
    poor = FastCrowd(query_shop, listing(IDS), seed=1).run(visits(300))
    assert gain(good).max() <= 1.0 + 1e-6
    assert gain(good).mean() > 2 * gain(poor).mean()
    clicks = [np.mean(events.impressions["clicked"]) for events in (good, poor)]
    assert clicks[0] > 2 * clicks[1]


def test_who_finds_no_words_ends_without_a_query(shop):
    silent = replace(shop)
    object.__setattr__(silent, "queries", _NoWords())
    events = FastCrowd(silent, listing(IDS), seed=1, browse_share=0.0).run(visits(10))
    assert set(events.visits["ended_by"].to_pylist()) == {"no query"}
    assert not len(events.pages)
    assert not len(events.impressions)


class _NoWords:
    def query(self, item, chance, attempt):
        return None


def test_a_plan_without_visits_gives_tables_without_rows(shop):
    events = FastCrowd(shop, listing(IDS), seed=1).run(visits(0))
    assert events.visits.schema == VISIT_SCHEMA
    assert not len(events.visits)


def test_settings_that_make_no_sense_are_refused(shop):
    with pytest.raises(CatalogueError, match="nope"):
        FastCrowd(shop, listing(IDS), seed=1, attacked=["nope"])
    with pytest.raises(SettingError, match="browse_share"):
        FastCrowd(shop, listing(IDS), seed=1, browse_share=1.5)
