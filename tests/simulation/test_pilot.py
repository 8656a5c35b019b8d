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
from footfall.simulator.pilot import run_pilot
from footfall.simulator.prompts import PromptBook
from footfall.simulator.response_target import (
    ResponseTarget,
    read_response_target,
    shopper_covariance,
)
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


def sessions_with(shop, pilot=None, count=400, seed=99):
    rates = {}
    if pilot is not None:
        rates = {
            "intercept_shift": pilot.shift,
            "intent_spread": pilot.spread,
            "intent_of_shopper": pilot.of_shopper,
            "leave_after_purchase": pilot.leaving,
        }
    shop = replace(shop, behaviour=shop.behaviour.model_copy(update=rates))
    plan = Schedule.plan(PEOPLE, ARRIVALS, sessions=count, seed=seed)
    crowd = Crowd(shop, PEOPLE, ScriptedEngine(), seed=seed)
    return [finished.visit for finished in crowd.run(plan.itineraries())]


def responses(visits, response):
    moments = {"clicked": "clicked_at", "purchased": "purchased_at"}[response]
    return np.array(
        [
            sum(getattr(item, moments) is not None for page in visit.pages for item in page.items)
            for visit in visits
        ]
    )


def pilot_of(shop, target, sessions=150):
    return run_pilot(
        shop, PEOPLE, ARRIVALS, ScriptedEngine(), sessions=sessions, target=target, seed=0
    )


@pytest.mark.parametrize(("response", "per_session"), [("clicked", 0.4), ("purchased", 2.5)])
def test_with_the_shift_other_sessions_respond_as_often_as_real_ones(shop, response, per_session):
    target = ResponseTarget(response, per_session, 0.01, 1000)
    pilot = pilot_of(shop, target)
    unshifted = responses(sessions_with(shop), response)
    assert abs(unshifted.mean() - per_session) > 0.3 * per_session
    found = responses(sessions_with(shop, pilot), response)
    error = found.std() / len(found) ** 0.5
    # The pilot's own sampling error comes on top: three of both.
    assert found.mean() == pytest.approx(per_session, abs=3 * error + 0.15 * per_session)
    assert pilot.before == pytest.approx(unshifted.mean(), rel=0.35)
    assert pilot.shift.source == "fitted"
    assert 0 < pilot.shift.standard_error < 1


@pytest.mark.parametrize(
    ("response", "mean", "share", "variance"),
    [("purchased", 1.8, 0.55, 7.0), ("clicked", 0.6, 0.25, None)],
)
def test_sessions_differ_as_much_as_real_ones(shop, response, mean, share, variance):
    target = ResponseTarget(response, mean, 0.02, 5000, share, 0.01, variance)
    alike = pilot_of(shop, replace(target, responding=None, variance=None))
    assert (responses(sessions_with(shop, alike), response) > 0).mean() > share + 0.1
    pilot = pilot_of(shop, target)
    found = responses(sessions_with(shop, pilot, count=800), response)
    assert found.mean() == pytest.approx(mean, rel=0.15)
    assert (found > 0).mean() == pytest.approx(share, abs=0.05)
    assert pilot.spread.value > 0.5
    assert 0 < pilot.spread.standard_error < 2
    if variance is None:
        assert pilot.leaving == shop.behaviour.leave_after_purchase
    else:
        assert found.var() == pytest.approx(variance, rel=0.2)
        assert pilot.leaving.source == "fitted"


def test_sessions_of_one_shopper_go_together_as_real_ones(shop):
    rates = {
        "intent_spread": Rate(value=2.0),
        "intent_of_shopper": Rate(value=0.6),
        "cart_after_click": Rate(value=1.0),
        "purchase_after_cart": Rate(value=1.0),
    }
    plain = shop.behaviour.model_copy(update={"cart_after_click": Rate(value=1.0)})
    world = replace(shop, behaviour=shop.behaviour.model_copy(update=rates))
    people = [Persona(persona_id=f"p{n}") for n in range(300)]
    plan = Schedule.plan(people, ARRIVALS, sessions=1800, seed=1)
    finished = list(Crowd(world, people, ScriptedEngine(), seed=1).run(plan.itineraries()))
    counts = responses([each.visit for each in finished], "purchased").astype(float)
    shopper = np.array([each.shopper for each in finished])
    sums = sums_by_shopper(counts, shopper)
    covariance, error = shopper_covariance(*sums)
    assert 0 < error < covariance / 4
    shuffled, _ = shopper_covariance(
        *sums_by_shopper(counts, np.random.default_rng(0).permutation(shopper))
    )
    assert abs(shuffled) < covariance / 5
    often = np.arange(300) < 30
    sessions = np.where(often, 40.0, 2.0)
    rates = np.where(often, 1.0, 2.0)
    rng = np.random.default_rng(1)
    poisson = [rng.poisson(rate, int(n)) for rate, n in zip(rates, sessions, strict=True)]
    uneven, _ = shopper_covariance(
        sessions,
        np.array([each.sum() for each in poisson], float),
        np.array([(each**2).sum() for each in poisson], float),
    )
    # Who comes often is in nearly all pairs, and those shoppers do not differ.
    assert abs(uneven) < 0.1
    # From its sessions alone, the world's own numbers come back.
    target = ResponseTarget(
        "purchased",
        counts.mean(),
        0.02,
        len(counts),
        (counts > 0).mean(),
        0.01,
        covariance=covariance,
        covariance_error=error,
    )
    tame = replace(
        shop, behaviour=plain.model_copy(update={"purchase_after_cart": Rate(value=1.0)})
    )
    pilot = pilot_of(tame, target)
    assert pilot.shift.value == pytest.approx(0.0, abs=0.4)
    assert pilot.spread.value == pytest.approx(2.0, abs=0.5)
    assert pilot.of_shopper.value == pytest.approx(0.6, abs=0.2)


def sums_by_shopper(counts, shopper):
    sums = [
        np.bincount(shopper, weights=values, minlength=300)
        for values in (np.ones(len(counts)), counts, counts**2)
    ]
    return [each[sums[0] > 0] for each in sums]


def test_without_a_target_nothing_is_shifted_and_the_cost_is_known(shop):
    pilot = pilot_of(shop, None, sessions=10)
    assert (pilot.shift.value, pilot.shift.source, pilot.target) == (0.0, "prior", None)
    assert pilot.answers > 1
    assert pilot.prompt_tokens > 0
    line = cost_line(1000, pilot.model_copy(update={"answers": 12.5, "seconds": 0.6}), shop)
    assert "12,500 requests" in line
    assert "10 minutes" in line
    assert "no session was tried out" in cost_line(1000, None, shop)


def test_an_unreachable_target_ends_at_the_widest_shift(shop):
    target = ResponseTarget("clicked", 500.0, 0.0, 10)
    pilot = pilot_of(shop, target, sessions=5)
    assert pilot.shift.value == pytest.approx(6.0)


def test_the_target_counts_responses_of_all_sessions(shop_log):
    with Log.open(shop_log, read_only=False) as log:
        target = read_response_target(log)
        each = log.query(
            "SELECT count(*) FILTER (purchased) AS n, any_value(session_id) AS s "
            "FROM impressions JOIN searches USING (search_id) GROUP BY search_id"
        )["n"].to_numpy()
        assert target.response == "purchased"
        assert target.sessions == len(each) == 300
        assert target.per_session == pytest.approx(each.mean())
        assert target.responding == pytest.approx((each > 0).mean())
        assert target.variance == pytest.approx(each.var())
        assert 0 < target.standard_error < 0.2
        early = read_response_target(log, until=datetime(2024, 2, 1))
        late = read_response_target(log, since=datetime(2024, 2, 1))
        assert early.sessions + late.sessions == 300
        # Nothing was shown, so nothing was responded to: a session like every other one.
        log.execute(
            "DELETE FROM impressions WHERE search_id IN "
            "(SELECT search_id FROM searches ORDER BY search_id LIMIT 30)"
        )
        fewer = read_response_target(log)
        assert fewer.sessions == 300
        assert fewer.per_session < target.per_session


def test_a_log_of_clicked_sessions_only_gives_no_target(tmp_path, make_log):
    path = make_log(tmp_path / "clicks.duckdb")
    with Log.open(path, read_only=False) as log:
        log.execute(
            "DELETE FROM impressions WHERE search_id NOT IN "
            "(SELECT search_id FROM impressions WHERE purchased)"
        )
        assert read_response_target(log) is None
