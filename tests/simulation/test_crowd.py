"""Many shoppers against one engine: order, memory and going on."""

from dataclasses import replace
from datetime import datetime

import numpy as np
import pyarrow as pa
import pytest

from footfall.errors import EngineUnavailableError
from footfall.personas.persona import Persona
from footfall.simulator.arrivals import Arrivals
from footfall.simulator.behaviour import Behaviour, Rate
from footfall.simulator.catalog import Catalog
from footfall.simulator.crowd import Crowd
from footfall.simulator.engines.protocol import TextRequest
from footfall.simulator.engines.scripted import ScriptedEngine
from footfall.simulator.language import Language
from footfall.simulator.needs import NeedBook
from footfall.simulator.prompts import PromptBook
from footfall.simulator.rhythm import Rhythm
from footfall.simulator.schedule import Schedule
from footfall.simulator.search import open_recommender, open_search
from footfall.simulator.shopper import Shop
from footfall.simulator.typing_slips import TypingSlips

PEOPLE = [Persona(persona_id=f"p{n}", interests={"soup": 1.0}) for n in range(6)]
ARRIVALS = Arrivals(datetime(2024, 3, 1), 8.0, np.full(168, 1 / 168))


@pytest.fixture(scope="module")
def shop():
    catalog = Catalog.from_table(
        pa.table(
            {
                "item_id": [f"i{n}" for n in range(40)],
                "text": [f"{('soup', 'bread')[n % 2]} {n}" for n in range(40)],
                "category": [("soup", "bread")[n % 2] for n in range(40)],
                "price": [1.0 + n % 5 for n in range(40)],
            }
        )
    )
    return Shop(
        catalog=catalog,
        search=open_search("bm25", catalog),
        recommender=open_recommender("popularity", catalog),
        needs=NeedBook(catalog),
        prompts=PromptBook(),
        behaviour=Behaviour(),
        rhythm=Rhythm(drift=Rate(value=0.6)),
        slips=TypingSlips(),
        language=Language(),
    )


@pytest.fixture(scope="module")
def schedule():
    return Schedule.plan(PEOPLE, ARRIVALS, sessions=36, seed=3)


def test_visits_of_one_shopper_come_in_order_and_never_overlap(shop, schedule):
    finished = list(Crowd(shop, PEOPLE, ScriptedEngine(), seed=3).run(schedule.itineraries()))
    assert sorted(each.number for each in finished) == list(range(36))
    for shopper in range(len(PEOPLE)):
        numbers = [each.number for each in finished if each.shopper == shopper]
        assert numbers == sorted(numbers)


def test_going_on_from_what_was_done_gives_the_visits_that_were_missing(shop, schedule):
    whole = {
        each.number: each
        for each in Crowd(shop, PEOPLE, ScriptedEngine(), seed=3).run(schedule.itineraries())
    }
    done = {number for number, each in whole.items() if number % 36 < 20}
    past = {
        shopper: [
            whole[number].visit.past()
            for number in sorted(done)
            if whole[number].shopper == shopper
        ]
        for shopper in range(len(PEOPLE))
    }
    rest = Crowd(shop, PEOPLE, ScriptedEngine(), seed=3, concurrency=2).run(
        schedule.itineraries(done), lambda shopper: past[shopper]
    )
    found = {each.number: each for each in rest}
    assert found == {number: each for number, each in whole.items() if number not in done}
    forgetful = Crowd(shop, PEOPLE, ScriptedEngine(), seed=3).run(schedule.itineraries(done))
    assert {each.number: each for each in forgetful} != found


def test_what_was_taken_shows_in_the_next_visits_prompts(shop, schedule):
    class Listening(ScriptedEngine):
        def __init__(self):
            super().__init__()
            self.heard = []

        def submit(self, request):
            if isinstance(request, TextRequest):
                self.heard.append(request.prompt)
            return super().submit(request)

    rates = {"intercept": 50.0, "cart_after_click": 1.0, "purchase_after_cart": 1.0}
    rates |= {"browsing": 0.0, "leave_after_purchase": 1.0}
    eager = replace(
        shop,
        behaviour=Behaviour(
            look=(Rate(value=1.0),), **{name: Rate(value=value) for name, value in rates.items()}
        ),
    )
    engine = Listening()
    finished = list(Crowd(eager, PEOPLE, engine, seed=3, concurrency=1).run(schedule.itineraries()))
    first, second = [each for each in finished if each.shopper == finished[0].shopper][:2]
    texts = dict(
        zip(*(eager.catalog.table[name].to_pylist() for name in ("item_id", "text")), strict=True)
    )
    bought = [texts[item_id] for item_id in first.visit.past().bought]
    known = [
        line
        for prompt in engine.heard
        for line in prompt.splitlines()
        if line.startswith("Shopper") and line.endswith(", ".join(bought[-3:]))
    ]
    assert bought
    assert known
    assert second.visit.started_at > first.visit.ended_at


def test_what_ended_before_the_engine_died_is_whole(shop, schedule):
    class Dying(ScriptedEngine):
        left = 150

        def submit(self, request):
            self.left -= 1
            if self.left < 0:
                raise EngineUnavailableError("The engine has died.", hint="Start it again.")
            return super().submit(request)

    seen = []
    crowd = Crowd(shop, PEOPLE, Dying(), seed=3, concurrency=3)
    with pytest.raises(EngineUnavailableError):
        seen.extend(crowd.run(schedule.itineraries()))
    whole = {
        each.number: each
        for each in Crowd(shop, PEOPLE, ScriptedEngine(), seed=3).run(schedule.itineraries())
    }
    assert 0 < len(seen) < 36
    assert all(whole[each.number] == each for each in seen)
