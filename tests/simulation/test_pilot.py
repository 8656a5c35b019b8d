"""The pilot finds the shift at which simulated sessions respond as often as real ones."""

from dataclasses import replace
from datetime import datetime

import numpy as np
import pyarrow as pa
import pytest

from footfall.personas.persona import Persona
from footfall.simulator.arrivals import Arrivals
from footfall.simulator.behaviour import Behaviour, Rate
from footfall.simulator.catalog import Catalog
from footfall.simulator.crowd import Crowd
from footfall.simulator.engines.scripted import ScriptedEngine
from footfall.simulator.language import Language
from footfall.simulator.log import Log
from footfall.simulator.needs import NeedBook
from footfall.simulator.pilot import ResponseTarget, read_response_target, run_pilot
from footfall.simulator.prompts import PromptBook
from footfall.simulator.rhythm import Rhythm
from footfall.simulator.schedule import Schedule
from footfall.simulator.search import open_recommender, open_search
from footfall.simulator.shopper import Shop
from footfall.simulator.simulation_cost import cost_line
from footfall.simulator.typing_slips import TypingSlips

PEOPLE = [Persona(persona_id=f"p{n}") for n in range(8)]
ARRIVALS = Arrivals(datetime(2024, 3, 1), 8.0, np.full(168, 1 / 168))


@pytest.fixture
def shop():
    kinds = ["pizza", "soup", "bread"]
    catalog = Catalog.from_table(
        pa.table(
            {
                "item_id": [f"i{n}" for n in range(60)],
                "text": [f"{kinds[n % 3]} {n}" for n in range(60)],
                "category": [kinds[n % 3] for n in range(60)],
                "price": [1.0 + n % 5 for n in range(60)],
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
        rhythm=Rhythm(),
        slips=TypingSlips(),
        language=Language(),
    )


def sessions_with(shop, shift, count=400):
    rate = Rate(value=shift)
    shop = replace(shop, behaviour=shop.behaviour.model_copy(update={"intercept_shift": rate}))
    plan = Schedule.plan(PEOPLE, ARRIVALS, sessions=count, seed=99)
    crowd = Crowd(shop, PEOPLE, ScriptedEngine(), seed=99)
    return [finished.visit for finished in crowd.run(plan.itineraries())]


def responses(visits, response):
    moments = {"clicked": "clicked_at", "purchased": "purchased_at"}[response]
    return np.array(
        [
            sum(getattr(item, moments) is not None for page in visit.pages for item in page.items)
            for visit in visits
        ]
    )


@pytest.mark.parametrize(("response", "per_session"), [("clicked", 0.4), ("purchased", 2.5)])
def test_with_the_shift_other_sessions_respond_as_often_as_real_ones(shop, response, per_session):
    target = ResponseTarget(response, per_session, 0.01, 1000)
    pilot = run_pilot(shop, PEOPLE, ARRIVALS, ScriptedEngine(), sessions=150, target=target, seed=0)
    unshifted = responses(sessions_with(shop, 0.0), response)
    assert abs(unshifted.mean() - per_session) > 0.3 * per_session
    found = responses(sessions_with(shop, pilot.shift.value), response)
    error = found.std() / len(found) ** 0.5
    # The pilot's own sampling error comes on top: three of both.
    assert found.mean() == pytest.approx(per_session, abs=3 * error + 0.15 * per_session)
    assert pilot.before == pytest.approx(unshifted.mean(), rel=0.35)
    assert pilot.shift.source == "fitted"
    assert 0 < pilot.shift.standard_error < 1


def test_without_a_target_nothing_is_shifted_and_the_cost_is_known(shop):
    pilot = run_pilot(shop, PEOPLE, ARRIVALS, ScriptedEngine(), sessions=10, target=None, seed=0)
    assert (pilot.shift.value, pilot.shift.source, pilot.target) == (0.0, "prior", None)
    assert pilot.answers > 1
    assert pilot.prompt_tokens > 0
    line = cost_line(1000, pilot.model_copy(update={"answers": 12.5, "seconds": 0.6}), shop)
    assert "12,500 requests" in line
    assert "10 minutes" in line
    assert "no session was tried out" in cost_line(1000, None, shop)


def test_an_unreachable_target_ends_at_the_widest_shift(shop):
    target = ResponseTarget("clicked", 500.0, 0.0, 10)
    pilot = run_pilot(shop, PEOPLE, ARRIVALS, ScriptedEngine(), sessions=5, target=target, seed=0)
    assert pilot.shift.value == pytest.approx(6.0)


def test_the_target_counts_responses_of_sessions_that_were_shown_something(shop_log):
    with Log.open(shop_log) as log:
        target = read_response_target(log)
        bought, sessions = (
            log.query(
                "SELECT count(*) FILTER (purchased) AS n, count(DISTINCT session_id) AS s "
                "FROM impressions JOIN searches USING (search_id)"
            )
            .to_pylist()[0]
            .values()
        )
        assert target.response == "purchased"
        assert target.sessions == sessions == 300
        assert target.per_session == pytest.approx(bought / 300)
        early = read_response_target(log, until=datetime(2024, 2, 1))
        late = read_response_target(log, since=datetime(2024, 2, 1))
        assert early.sessions + late.sessions == 300


def test_a_log_of_clicked_sessions_only_gives_no_target(tmp_path, make_log):
    path = make_log(tmp_path / "clicks.duckdb")
    with Log.open(path, read_only=False) as log:
        log.execute(
            "DELETE FROM impressions WHERE search_id NOT IN "
            "(SELECT search_id FROM impressions WHERE purchased)"
        )
        assert read_response_target(log) is None
