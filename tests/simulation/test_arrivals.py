from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from footfall.errors import EmptyLogError, SettingError
from footfall.simulator.arrivals import Arrivals
from footfall.simulator.log import Log
from footfall.simulator.schema import ARROW_SCHEMAS

UNTIL = datetime(2024, 3, 6, 15, 30)  # a Wednesday
EVEN = np.full(168, 1 / 168)


def draw(arrivals, count, seed=0):
    rng = np.random.default_rng(seed)
    return [arrivals.draw(rng) for _ in range(count)]


def sessions_log(path, times):
    import pyarrow as pa

    rows = [
        {"session_id": f"s{n}", "user_id": "u", "started_at": at, "origin": origin}
        for n, (at, origin) in enumerate(times)
    ]
    with Log.create(path) as log:
        log.append("sessions", pa.Table.from_pylist(rows, schema=ARROW_SCHEMAS["sessions"]))
    return path


@settings(max_examples=40, deadline=None)
@given(
    until=st.datetimes(datetime(2000, 1, 1), datetime(2050, 1, 1)),
    weeks=st.floats(0.02, 60),
    seed=st.integers(0, 99),
)
def test_every_session_lies_in_the_last_weeks_before_until(until, weeks, seed):
    for moment in draw(Arrivals(until, weeks, EVEN), 20, seed):
        assert until - timedelta(weeks=weeks) <= moment < until


def test_all_of_the_weeks_are_used():
    moments = draw(Arrivals(UNTIL, 4.0, EVEN), 1500)
    days = {(UNTIL - moment).days for moment in moments}
    assert days == set(range(28))
    weeks = [(UNTIL - moment).days // 7 for moment in moments]
    assert np.bincount(weeks).min() / len(weeks) > 0.2


def test_hours_of_the_week_follow_the_log(tmp_path):
    monday, saturday = datetime(2024, 2, 5, 9, 30), datetime(2024, 2, 10, 20, 15)
    times = [(monday, "real")] * 3000 + [(saturday, "real")] * 9000
    # Neither simulated sessions nor later ones count.
    times += [(datetime(2024, 2, 6, 3), "sim-1")] * 9000
    times += [(datetime(2024, 3, 20, 4), "real")] * 9000
    with Log.open(sessions_log(tmp_path / "a.duckdb", times)) as log:
        arrivals = Arrivals.from_log(log, until=UNTIL, weeks=3)
    moments = draw(arrivals, 800)
    on_saturday = np.mean([(m.weekday(), m.hour) == (5, 20) for m in moments])
    on_monday = np.mean([(m.weekday(), m.hour) == (0, 9) for m in moments])
    assert on_saturday == pytest.approx(0.74, abs=0.06)
    assert on_monday == pytest.approx(0.25, abs=0.06)


def test_without_until_the_last_real_session_ends_the_time(tmp_path):
    times = [(datetime(2024, 2, 5), "real"), (UNTIL, "real"), (datetime(2025, 1, 1), "sim-1")]
    with Log.open(sessions_log(tmp_path / "a.duckdb", times)) as log:
        assert Arrivals.from_log(log, until=None, weeks=1).until == UNTIL


def test_a_log_without_times_needs_until(tmp_path):
    path = sessions_log(tmp_path / "a.duckdb", [(None, "real")])
    with Log.open(path) as log:
        with pytest.raises(EmptyLogError, match="no time to simulate in"):
            Arrivals.from_log(log, until=None, weeks=1)
        arrivals = Arrivals.from_log(log, until=UNTIL, weeks=1)
    assert np.allclose(arrivals.hours, EVEN)
    assert all(moment < UNTIL for moment in draw(arrivals, 50))


def test_until_with_a_time_zone_is_the_same_moment(tmp_path):
    times = [(UNTIL - timedelta(minutes=30), "real"), (UNTIL + timedelta(minutes=30), "real")] * 40
    east = timezone(timedelta(hours=8))
    with Log.open(sessions_log(tmp_path / "a.duckdb", times)) as log:
        plain = Arrivals.from_log(log, until=UNTIL, weeks=1)
        aware = Arrivals.from_log(log, until=UNTIL.replace(tzinfo=UTC).astimezone(east), weeks=1)
    assert aware.until == UNTIL
    assert aware.hours.tolist() == plain.hours.tolist()
    assert draw(aware, 5) == draw(plain, 5)


def test_a_window_too_short_for_a_visit_is_refused(tmp_path):
    path = sessions_log(tmp_path / "a.duckdb", [(UNTIL, "real")])
    with Log.open(path) as log, pytest.raises(SettingError, match="weeks"):
        Arrivals.from_log(log, until=UNTIL, weeks=0.005)


def test_a_short_window_at_an_unusual_hour_is_found():
    hours = np.zeros(168)
    hours[0] = 1.0
    moments = draw(Arrivals(UNTIL, 0.02, hours), 20)
    assert all(UNTIL - timedelta(weeks=0.02) <= moment < UNTIL for moment in moments)


def apart(times):
    return min(later - first for first, later in pairwise(times))


@settings(max_examples=40, deadline=None)
@given(
    weeks=st.floats(0.02, 20),
    count=st.integers(0, 60),
    seed=st.integers(0, 99),
    busy=st.integers(1, 168),
)
def test_times_of_one_shopper_are_sorted_and_apart(weeks, count, seed, busy):
    hours = np.where(np.arange(168) < busy, 1.0 / busy, 0.0)
    times = Arrivals(UNTIL, weeks, hours).draw_times(np.random.default_rng(seed), count)
    assert len(times) == count
    assert times == sorted(times)
    assert all(UNTIL - timedelta(weeks=weeks) <= moment < UNTIL for moment in times)
    if count > 1:
        room = (timedelta(weeks=weeks) - timedelta(hours=1)) / (4 * count)
        assert apart(times) >= min(timedelta(hours=1), room)


def test_times_of_one_shopper_follow_the_same_hours():
    hours = np.zeros(168)
    hours[[9, 58, 140]] = [0.2, 0.3, 0.5]
    rng = np.random.default_rng(3)
    arrivals = Arrivals(UNTIL, 26.0, hours)
    times = [moment for _ in range(500) for moment in arrivals.draw_times(rng, 3)]
    found = [24 * moment.weekday() + moment.hour for moment in times]
    assert set(found) == {9, 58, 140}
    assert np.mean(np.equal(found, 140)) == pytest.approx(0.5, abs=0.04)
    assert np.mean(np.equal(found, 9)) == pytest.approx(0.2, abs=0.04)


def test_a_shopper_who_comes_more_often_than_their_hours_allow_takes_others():
    hours = np.zeros(168)
    hours[9] = 1.0
    times = Arrivals(UNTIL, 2.0, hours).draw_times(np.random.default_rng(0), 30)
    assert len(times) == 30
    assert apart(times) >= timedelta(hours=1)


def test_the_same_seed_gives_the_same_times():
    first, second = (
        Arrivals(UNTIL, 8.0, EVEN).draw_times(np.random.default_rng(5), 20) for _ in range(2)
    )
    assert first == second
    assert Arrivals(UNTIL, 8.0, EVEN).draw_times(np.random.default_rng(5), 0) == []
