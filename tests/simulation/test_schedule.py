"""Which shopper comes when."""

from datetime import datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from footfall.personas.persona import Persona
from footfall.simulator.arrivals import Arrivals
from footfall.simulator.schedule import Schedule

UNTIL = datetime(2024, 3, 1)
ARRIVALS = Arrivals(UNTIL, 8.0, np.full(168, 1 / 168))


def population(count):
    return [Persona(persona_id=f"p{n}", activity=1.0 + n) for n in range(count)]


def planned(schedule, **arguments):
    return {
        visit.number: (itinerary.shopper, visit.started_at)
        for itinerary in schedule.itineraries(**arguments)
        for visit in itinerary.visits
    }


@given(st.integers(1, 12), st.integers(1, 80), st.integers(0, 5))
def test_every_session_has_one_shopper_and_their_visits_are_in_time_order(people, sessions, seed):
    schedule = Schedule.plan(population(people), ARRIVALS, sessions=sessions, seed=seed)
    plan = planned(schedule)
    assert sorted(plan) == list(range(sessions))
    for itinerary in schedule.itineraries():
        numbers = [visit.number for visit in itinerary.visits]
        times = [visit.started_at for visit in itinerary.visits]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        assert times == sorted(set(times))
        assert all(UNTIL - timedelta(weeks=8) <= time < UNTIL for time in times)


@given(st.sets(st.integers(0, 49)), st.integers(0, 3))
def test_what_is_done_is_left_out_and_changes_nothing_of_the_rest(done, seed):
    schedule = Schedule.plan(population(6), ARRIVALS, sessions=50, seed=seed)
    whole = planned(schedule)
    rest = planned(schedule, done=done)
    assert rest == {number: plan for number, plan in whole.items() if number not in done}


def test_shards_of_shoppers_make_up_the_whole():
    schedule = Schedule.plan(population(6), ARRIVALS, sessions=50, seed=0)
    shards = [planned(schedule, shoppers={0, 3}), planned(schedule, shoppers={1, 2, 4, 5})]
    assert shards[0].keys().isdisjoint(shards[1])
    assert shards[0] | shards[1] == planned(schedule)


def test_who_is_more_active_comes_more_often():
    schedule = Schedule.plan(
        [Persona(persona_id="a", activity=1.0), Persona(persona_id="b", activity=3.0)],
        ARRIVALS,
        sessions=4000,
        seed=1,
    )
    assert schedule.counts.sum() == 4000
    # Binomial with share 3/4: standard error 27.
    assert schedule.counts[1] == pytest.approx(3000, abs=110)


def test_another_seed_is_another_plan():
    plans = [
        planned(Schedule.plan(population(5), ARRIVALS, sessions=20, seed=n)) for n in (1, 1, 2)
    ]
    assert plans[0] == plans[1] != plans[2]
