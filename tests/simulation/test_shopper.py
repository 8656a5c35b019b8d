"""One visit at a time, with a shop whose answers and rates are given."""

from datetime import datetime

import numpy as np
import pyarrow as pa
import pytest

from footfall.personas.persona import Persona
from footfall.simulator.behaviour import Behaviour, Rate, sigmoid
from footfall.simulator.catalog import Catalog
from footfall.simulator.engines.protocol import ChoiceAnswer, TextAnswer, TextRequest
from footfall.simulator.language import Language
from footfall.simulator.memory import Memory, PastVisit
from footfall.simulator.needs import NeedBook
from footfall.simulator.prompts import NO_QUERY, PromptBook
from footfall.simulator.rhythm import Rhythm
from footfall.simulator.shopper import Shop, visit
from footfall.simulator.typing_slips import TypingSlips

START = datetime(2024, 2, 1, 12)
ITEMS = [f"i{number:02d}" for number in range(25)]


class Ranked:
    """Shows the catalogue in order, whatever is asked, and remembers what was asked."""

    def __init__(self, name):
        self.name = name
        self.asked = []

    def search(self, queries, *, limit, offset=0):
        self.asked.append((queries[0], limit, offset))
        return [ITEMS[offset : offset + limit]]

    def recommend(self, personas, *, limit, offset=0):
        self.asked.append((personas[0].persona_id, limit, offset))
        return [ITEMS[offset : offset + limit]]


def certain(**values):
    """Rates with which everything is looked at and nothing clicked, unless told otherwise."""
    rates = {
        "intercept": -100.0,
        "on_preference": 0.0,
        "on_affinity": 0.0,
        "cart_after_click": 1.0,
        "purchase_after_cart": 1.0,
        "leave_after_page": 1.0,
        "leave_after_click": 1.0,
        "leave_after_purchase": 1.0,
        "next_page": 0.0,
        "browsing": 0.0,
        "new_need": 0.0,
        **values,
    }
    looks = rates.pop("looks", (1.0,))
    return Behaviour(
        look=tuple(Rate(value=value) for value in looks),
        **{name: Rate(value=value) for name, value in rates.items()},
    )


def make_shop(behaviour, *, search=None, **changes):
    catalog = Catalog.from_table(
        pa.table(
            {
                "item_id": ITEMS,
                "text": [f"text of {item}" for item in ITEMS],
                "category": [None if n == 3 else f"c{n % 2}" for n in range(25)],
                "price": pa.array([None if n == 4 else 1.0 + n for n in range(25)], pa.float64()),
            }
        )
    )
    return Shop(
        catalog=catalog,
        search=search or Ranked("search"),
        recommender=Ranked("shelf"),
        needs=NeedBook(catalog),
        prompts=PromptBook(),
        behaviour=behaviour,
        **{
            "rhythm": Rhythm(),
            "slips": TypingSlips(rate=Rate(value=0.0)),
            "language": Language(),
            **changes,
        },
    )


def chance(log_odds_of_first):
    first = -np.log1p(np.exp(-log_odds_of_first))
    return ChoiceAnswer((float(first), float(-np.log1p(np.exp(log_odds_of_first)))), 3, 1)


def numbered(words):
    """A typist who never types the same twice."""
    count = iter(range(1000))
    return lambda: f"{words} {next(count)}"


def play(shop, persona=None, *, seed=0, text="soup", score=lambda prompt: 0.0, past=()):
    """Answer a visit's requests until it ends; the visit and all requests."""
    memory = Memory(persona or Persona(persona_id="p"), shop.catalog, shop.rhythm)
    for before in past:
        memory.remember(before)
    steps = visit(shop, memory, np.random.default_rng(seed), START, "7")
    asked = []
    requests = next(steps)
    while True:
        asked += requests
        answers = [
            TextAnswer(text if isinstance(text, str) else text(), 5, 2)
            if isinstance(request, TextRequest)
            else score(request.prompt)
            if isinstance(score(request.prompt), ChoiceAnswer)
            else chance(score(request.prompt))
            for request in requests
        ]
        try:
            requests = steps.send(answers)
        except StopIteration as end:
            return end.value, asked


def test_pages_are_turned_without_gap_or_overlap():
    shop = make_shop(certain(leave_after_page=0.0, next_page=1.0), page_size=10, most_pages=3)
    found, _ = play(shop, Persona(persona_id="p", patience=1000.0))
    assert shop.search.asked == [("soup", 10, 0), ("soup", 10, 10), ("soup", 10, 20)]
    assert [page.page for page in found.pages] == [1, 2, 3]
    assert [page.step for page in found.pages] == [1, 2, 3]
    shown = [item.item_id for page in found.pages for item in page.items]
    assert shown == ITEMS
    assert [item.position for item in found.pages[1].items] == list(range(1, 11))
    assert found.ended_by == "out of patience"


def test_a_page_past_the_results_is_empty_and_a_new_query_follows():
    shop = make_shop(certain(leave_after_page=0.0, next_page=1.0), page_size=25, most_pages=3)
    found, _ = play(shop, text=numbered("soup"))
    assert [(page.page, len(page.items)) for page in found.pages] == [(1, 25), (2, 0), (1, 25)]


def test_the_fitted_rate_of_leaving_is_the_rate_of_leaving():
    shop = make_shop(certain(leave_after_page=0.3), page_size=2, most_pages=1000)
    pages = [len(play(shop, seed=seed, text=numbered("soup"))[0].pages) for seed in range(300)]
    # Geometric with rate 0.3: mean 3.33, and its standard error is 2.8 / sqrt(300).
    assert np.mean(pages) == pytest.approx(1 / 0.3, abs=4 * 2.8 / 300**0.5)


def test_a_shopper_leaves_for_certain_at_rate_one():
    assert play(make_shop(certain()))[0].ended_by == "left"
    bought = play(make_shop(certain(intercept=100.0)))[0]
    assert bought.ended_by == "bought"
    assert len(bought.pages) == 1


def test_after_a_purchase_another_need_brings_another_query():
    shop = make_shop(certain(intercept=100.0, leave_after_purchase=0.0), page_size=2, most_pages=6)
    _, asked = play(shop, text=numbered("soup"))
    prompts = [request.prompt for request in asked if isinstance(request, TextRequest)]
    assert len(prompts) == 6
    assert len(set(prompts)) > 1


def text_requests(asked):
    return [request for request in asked if isinstance(request, TextRequest)]


def test_a_shopper_who_found_nothing_says_the_same_need_in_other_words():
    shop = make_shop(certain(leave_after_page=0.0), page_size=2, most_pages=4)
    found, asked = play(shop, text=numbered("soup"))
    assert [page.query for page in found.pages] == ["soup 0", "soup 1", "soup 2", "soup 3"]
    texts = text_requests(asked)
    assert len({request.draw for request in texts}) == 4
    wanted = {line for each in texts for line in each.prompt.split("\n") if "Looking for" in line}
    assert len(wanted) == 1
    for number, request in enumerate(texts):
        tried = [line for line in request.prompt.split("\n") if line.startswith("Tried")]
        assert tried == [f"Tried: soup {earlier}" for earlier in range(number)]


def test_the_same_words_are_not_searched_twice_for_one_need():
    shop = make_shop(certain(leave_after_page=0.0), page_size=2, most_pages=40)
    found, _ = play(shop, text="cream of tomato soup")
    queries = [page.query for page in found.pages]
    assert len(queries) == len(set(queries)) >= 2
    assert found.ended_by == "no query"


def test_those_who_search_anew_may_want_something_else():
    shop = make_shop(certain(leave_after_page=0.0, new_need=1.0), page_size=2, most_pages=6)
    _, asked = play(shop, text=numbered("soup"))
    prompts = [request.prompt for request in text_requests(asked)]
    assert len(set(prompts)) == 6
    assert not any("Tried" in prompt for prompt in prompts)


def test_browsing_asks_the_recommender_first_and_searches_afterwards():
    shop = make_shop(certain(leave_after_page=0.0, browsing=1.0), most_pages=3, page_size=5)
    found, _ = play(shop, text=numbered("soup"))
    assert [(page.query, page.answered_by) for page in found.pages] == [
        (None, "shelf"),
        ("soup 0", "search"),
        ("soup 1", "search"),
    ]
    assert shop.recommender.asked == [("p", 5, 0)]


def test_a_model_that_types_nothing_browses():
    found, _ = play(make_shop(certain()), text=NO_QUERY)
    assert [(page.query, page.answered_by) for page in found.pages] == [(None, "shelf")]


def test_what_was_shown_in_vain_before_is_clicked_less():
    rhythm = Rhythm(fatigue=Rate(value=-50.0))
    shop = make_shop(certain(intercept=20.0), rhythm=rhythm, page_size=3)
    assert all(item.clicked_at for item in play(shop)[0].pages[0].items)
    before = PastVisit(datetime(2024, 1, 1), ("soup",), ("i01",), (), (), "left")
    clicked = [item.clicked_at is not None for item in play(shop, past=[before])[0].pages[0].items]
    assert clicked == [True, False, True]


def test_items_that_the_catalogue_lacks_are_left_out_and_counted():
    class Careless(Ranked):
        def search(self, queries, *, limit, offset=0):
            return [["gone", ITEMS[0], ITEMS[0], "i99", *ITEMS]]

    shop = make_shop(certain(), search=Careless("search"), page_size=3)
    found, _ = play(shop)
    assert [item.item_id for item in found.pages[0].items] == ITEMS[:3]
    assert [item.position for item in found.pages[0].items] == [1, 2, 3]
    assert found.vanished == 2


def test_patience_is_relative_to_the_population():
    def stay(patience, mean):
        shop = make_shop(certain(leave_after_page=0.4), mean_patience=mean, page_size=2)
        shopper = Persona(persona_id="p", patience=patience)
        return np.mean(
            [len(play(shop, shopper, seed=n, text=numbered("a"))[0].pages) for n in range(200)]
        )

    assert stay(6.0, 6.0) == stay(2.0, 2.0)
    assert stay(6.0, 3.0) > 1.3 * stay(6.0, 6.0)


def clicks_by_item(shop, *, visits=400, persona=None, score=lambda prompt: 0.0):
    counts = dict.fromkeys(ITEMS, 0)
    for seed in range(visits):
        found, _ = play(shop, persona, seed=seed, score=score)
        for item in found.pages[0].items:
            counts[item.item_id] += item.clicked_at is not None
    return np.array([counts[item] for item in ITEMS[: shop.page_size]]) / visits


def test_the_model_says_which_item_is_clicked_and_the_curve_how_often():
    shop = make_shop(certain(intercept=-1.0, on_preference=1.5), page_size=4)
    preferred = "text of i02"

    def score(prompt):
        return 9.0 if preferred in prompt else 8.0

    rates = clicks_by_item(shop, score=score)
    centre = np.array([-1.0, -1.0, 3.0, -1.0]) / 3**0.5
    np.testing.assert_allclose(rates, sigmoid(-1.0 + 1.5 * centre), atol=0.1)


def test_an_interest_draws_clicks_as_much_as_its_weight_says():
    persona = Persona(persona_id="p", interests={"c1": 1.0}, price_sensitivity=0.0)
    rates = clicks_by_item(
        make_shop(certain(intercept=-1.0, on_affinity=1.0), page_size=2), persona=persona
    )
    np.testing.assert_allclose(rates, sigmoid(np.array([-2.0, 0.0])), atol=0.1)
    indifferent = clicks_by_item(make_shop(certain(intercept=-1.0), page_size=2), persona=persona)
    np.testing.assert_allclose(indifferent, sigmoid(np.array([-1.0, -1.0])), atol=0.1)


def test_what_is_not_looked_at_is_not_clicked():
    rates = clicks_by_item(
        make_shop(certain(intercept=100.0, looks=(1.0, 0.5, 0.0)), page_size=4), visits=200
    )
    assert rates[0] == 1.0
    assert rates[1] == pytest.approx(0.5, abs=0.15)
    assert rates[2:].tolist() == [0.0, 0.0]


def test_carts_and_purchases_follow_clicks_at_their_rates():
    shop = make_shop(
        certain(intercept=100.0, cart_after_click=0.6, purchase_after_cart=0.5), page_size=10
    )
    items = [item for seed in range(100) for item in play(shop, seed=seed)[0].pages[0].items]
    assert all(item.clicked_at for item in items)
    assert np.mean([item.carted for item in items]) == pytest.approx(0.6, abs=0.07)
    assert np.mean([item.purchased_at is not None for item in items]) == (
        pytest.approx(0.3, abs=0.07)
    )
    assert all(item.carted for item in items if item.purchased_at)


def test_scores_are_kept_with_their_items_and_nonsense_has_none():
    shop = make_shop(certain(), page_size=3)

    def score(prompt):
        if "text of i01" in prompt:
            return ChoiceAnswer((-0.69, -0.69), 3, 1, usable=False)
        return 2.0 if "text of i00" in prompt else -2.0

    found, _ = play(shop, score=score)
    scores = [item.score for item in found.pages[0].items]
    assert scores == [pytest.approx(2.0), None, pytest.approx(-2.0)]
    assert (found.asked, found.unusable) == (4, 1)
    assert (found.prompt_tokens, found.output_tokens) == (5 + 3 * 3, 2 + 3)


def test_time_runs_forward_and_prices_are_those_of_the_catalogue():
    shop = make_shop(certain(intercept=100.0), page_size=5)
    found, _ = play(shop)
    page = found.pages[0]
    times = [item.clicked_at for item in page.items]
    assert times == sorted(times)
    assert START < page.searched_at <= times[0]
    assert found.started_at == START
    assert found.ended_at == times[-1]
    assert [item.price for item in page.items] == [1.0, 2.0, 3.0, 4.0, None]


def test_a_query_is_cleaned_of_white_space_and_cut():
    shop = make_shop(certain())
    assert play(shop, text="  牛奶 \t 250ml ")[0].pages[0].query == "牛奶 250ml"
    long = " ".join(f"word{number}" for number in range(40))
    cut = play(shop, text=long)[0].pages[0].query
    assert long.startswith(cut + " ")
    assert 100 < len(cut) <= 120
    assert play(shop, text="Query: tomato soup")[0].pages[0].query == "tomato soup"


def test_two_useless_queries_end_the_visit():
    found, asked = play(make_shop(certain()), text=" .. ")
    assert (found.ended_by, found.pages, found.unusable) == ("no query", [], 2)
    assert len({request.draw for request in asked}) == 2


def test_the_same_seed_gives_the_same_visit_and_another_seed_another():
    shop = make_shop(certain(intercept=0.0, leave_after_page=0.5), page_size=10)
    assert play(shop, seed=3)[0] == play(shop, seed=3)[0]
    assert play(shop, seed=3)[0] != play(shop, seed=4)[0]
