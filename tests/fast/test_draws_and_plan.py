"""Random numbers that are looked up, and plans of visits."""

from __future__ import annotations

import numpy as np
import pytest
from fast_shops import UNTIL, visits
from hypothesis import given
from hypothesis import strategies as st

from footfall.errors import SettingError
from footfall.personas import Persona
from footfall.simulator.arrivals import Arrivals
from footfall.simulator.fast import VisitPlan
from footfall.simulator.fast.draws import exponentials, normals, text_keys, uniforms

KEYS = st.lists(st.integers(0, 2**62), min_size=1, max_size=20)
SEEDS = st.integers(0, 2**40)
PEOPLE = [Persona(persona_id=f"p{n}", activity=1.0 + 9.0 * (n == 3)) for n in range(5)]


@given(SEEDS, st.integers(0, 100), KEYS)
def test_the_same_keys_give_the_same_number_in_whatever_order(seed, stream, keys):
    found = uniforms(seed, stream, keys, 7)
    assert np.all((found >= 0.0) & (found < 1.0))
    assert np.array_equal(uniforms(seed, stream, keys[::-1], 7), found[::-1])
    assert np.array_equal([uniforms(seed, stream, key, 7) for key in keys], found)


@given(SEEDS, st.integers(0, 100), st.integers(0, 2**62))
def test_another_key_stream_or_seed_gives_another_number(seed, stream, key):
    numbers = [
        float(uniforms(seed, stream, key)),
        float(uniforms(seed, stream, key + 1)),
        float(uniforms(seed, stream + 1, key)),
        float(uniforms(seed + 1, stream, key)),
        float(uniforms(seed, stream, key, 0)),
    ]
    assert len(set(numbers)) == len(numbers)


def test_numbers_are_uniform_and_those_of_neighbours_have_nothing_to_do_with_each_other():
    keys = np.arange(100_000)
    found = uniforms(3, 1, keys)
    counts = np.histogram(found, bins=20, range=(0.0, 1.0))[0]
    # Chi-square with 19 degrees of freedom: 43.8 is exceeded once in a thousand times.
    assert (((counts - 5000) ** 2) / 5000).sum() < 43.8
    assert abs(np.corrcoef(found[:-1], found[1:])[0, 1]) < 0.015
    assert abs(np.corrcoef(found, uniforms(3, 2, keys))[0, 1]) < 0.015


def test_normals_and_exponentials_have_their_moments():
    keys = np.arange(100_000)
    assert normals(0, 1, keys).mean() == pytest.approx(0.0, abs=0.015)
    assert normals(0, 1, keys).std() == pytest.approx(1.0, abs=0.015)
    assert exponentials(0, 1, keys).mean() == pytest.approx(1.0, abs=0.015)
    assert exponentials(0, 1, keys).min() >= 0.0


def test_keys_of_texts_are_the_same_on_every_machine():
    # BLAKE2b with 8 bytes of digest, read as little-endian.
    assert text_keys(["a", "牛奶"])[1] == 0x9CCDCFD2F03D2EFF
    assert len(set(text_keys(["a", "b", "牛奶"]).tolist())) == 3
    assert len(text_keys([])) == 0


def arrivals(hours=None):
    hours = np.ones(168) if hours is None else hours
    return Arrivals(UNTIL, 8.0, hours / hours.sum())


@given(st.integers(0, 300), st.integers(1, 9), st.integers(0, 1000))
def test_a_drawn_plan_has_its_sessions_on_its_days_in_time_order(sessions, days, seed):
    plan = VisitPlan.draw(PEOPLE, arrivals(), sessions=sessions, days=days, seed=seed)
    assert len(plan) == sessions == len(set(plan.number.tolist()))
    begin = np.datetime64(UNTIL, "us")
    passed = (plan.started_at - begin) / np.timedelta64(1, "D")
    assert np.all((passed >= 0) & (passed < days))
    assert np.array_equal(plan.day, passed.astype(int))
    assert np.all(np.diff(passed) >= 0)
    assert np.all((plan.shopper >= 0) & (plan.shopper < len(PEOPLE)))
    parts = [plan.of_day(day) for day in range(days)]
    assert sum(len(part) for part in parts) == sessions
    again = VisitPlan.joined(parts)
    assert np.array_equal(again.number, plan.number)


def test_plans_keep_the_hours_of_the_week_and_the_activity_of_the_shoppers():
    hours = np.zeros(168)
    hours[24 + 9] = 1.0  # Tuesday, nine o'clock
    plan = VisitPlan.draw(PEOPLE, arrivals(hours), sessions=2000, days=7, seed=1)
    assert UNTIL.weekday() == 0
    assert {moment.hour for moment in plan.started_at.tolist()} == {9}
    assert set(plan.day.tolist()) == {1}
    # 10 of 14 visits are those of the busy shopper; the standard deviation of the share is 0.01.
    assert (plan.shopper == 3).mean() == pytest.approx(10 / 14, abs=0.04)


def test_plans_that_do_not_fit_together_are_refused():
    plan = visits(3)
    with pytest.raises(SettingError, match="same number"):
        VisitPlan.joined([plan, plan])
    with pytest.raises(SettingError, match="columns"):
        VisitPlan(plan.number[:2], plan.shopper, plan.started_at, plan.day, plan.role)
    with pytest.raises(SettingError, match="unknown role"):
        visits(3, role=7)
    with pytest.raises(SettingError, match="0 personas"):
        VisitPlan.draw([], arrivals(), sessions=1, days=1, seed=0)
    with pytest.raises(SettingError, match="on 0 days"):
        VisitPlan.draw(PEOPLE, arrivals(), sessions=1, days=0, seed=0)
