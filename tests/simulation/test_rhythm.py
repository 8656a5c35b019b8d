"""Rhythm is recovered from logs that were made with known numbers."""

from datetime import datetime, timedelta
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest

from footfall.simulator.log import Log
from footfall.simulator.rhythm import LARGEST_DRIFT, Rhythm
from footfall.simulator.schema import ARROW_SCHEMAS

START = datetime(2022, 1, 1)
NEUTRAL = ("replenishment", "drift", "season_deviation", "fatigue")


def rows(table, records):
    return pa.Table.from_pylist(records, schema=ARROW_SCHEMAS[table])


def item_rows(categories):
    return rows(
        "items",
        [
            {"item_id": item, "text": item, "category": category, "origin": "real"}
            for item, category in categories.items()
        ],
    )


def purchases_log(path, events, categories=None):
    """A log of purchases given as (user, item, session or None, days since the start)."""
    if categories is None:
        categories = {item: f"all > {item}" for _, item, _, _ in events}
    records = [
        {
            "user_id": user,
            "item_id": item,
            "session_id": session,
            "purchased_at": None if days is None else START + timedelta(days=float(days)),
            "origin": "real",
        }
        for user, item, session, days in events
    ]
    with Log.create(path) as log:
        log.append("items", item_rows(categories))
        log.append("purchases", rows("purchases", records))
    return path


def fit(path, until=None):
    with Log.open(path) as log:
        return Rhythm.fit(log, until=until)


def agrees(rate, truth, errors=3.5):
    assert rate.source == "fitted"
    return abs(rate.value - truth) < errors * rate.standard_error


# --- replenishment ------------------------------------------------------------------------------


def three_visits(users):
    """Later visits take A again, C; C again, D: two of four. A quantity of two is one taking."""
    return [
        (f"u{user}", item, f"u{user}/{visit}", 10 * visit + user / 100)
        for user in range(users)
        for visit, basket in enumerate(("ABA", "ACC", "CD"))
        for item in basket
    ]


def test_the_first_visit_and_repeats_within_a_visit_do_not_count(tmp_path):
    rhythm = fit(purchases_log(tmp_path / "log", three_visits(60)))
    assert rhythm.replenishment.value == 0.5
    assert rhythm.replenishment.note == "240 items taken (purchases) on later visits of 60 users"
    assert rhythm.interval.value == pytest.approx(10.0)
    assert rhythm.response == "purchases"


def test_purchases_without_a_session_make_one_visit_of_each_moment(tmp_path):
    events = [(user, item, None, days) for user, item, _, days in three_visits(60)]
    assert fit(purchases_log(tmp_path / "log", events)).replenishment.value == 0.5


def test_the_order_of_the_rows_does_not_matter(tmp_path):
    events = three_visits(60)
    shuffled = [events[place] for place in np.random.default_rng(0).permutation(len(events))]
    first = fit(purchases_log(tmp_path / "a", events))
    assert fit(purchases_log(tmp_path / "b", shuffled)) == first


def repeating(rng, share, *, users=150, visits=25, spread=0.0):
    """Every later visit takes an old item with a chance around ``share``, else a new one."""
    events = []
    for user in range(users):
        own = np.clip(share + spread * rng.uniform(-1, 1), 0, 1)
        taken = [f"{user}-first"]
        for visit in range(visits):
            if visit:
                new = rng.random() >= own
                taken.append(f"{user}-{visit}" if new else str(rng.choice(taken)))
            events.append((f"u{user}", taken[-1], f"u{user}/{visit}", 7 * visit + rng.random()))
    return events


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_the_share_of_repeats_is_recovered(tmp_path, share):
    events = repeating(np.random.default_rng(1), share)
    categories = {item: "all" for _, item, _, _ in events}
    rate = fit(purchases_log(tmp_path / "log", events, categories)).replenishment
    assert agrees(rate, share)
    assert rate.standard_error < 0.02


def test_the_error_of_the_share_knows_that_users_differ(tmp_path):
    events = repeating(np.random.default_rng(2), 0.5, spread=0.5)
    categories = {item: "all" for _, item, _, _ in events}
    rate = fit(purchases_log(tmp_path / "log", events, categories)).replenishment
    # Users' shares are uniform on 0 to 1: their mean alone has this error, rows apart from it.
    assert rate.standard_error == pytest.approx((1 / 12 / 150) ** 0.5, rel=0.25)
    assert agrees(rate, 0.5)


def test_a_log_without_repeats_is_fitted_as_near_zero(tmp_path):
    events = repeating(np.random.default_rng(3), 0.0)
    categories = {item: "all" for _, item, _, _ in events}
    rhythm = fit(purchases_log(tmp_path / "log", events, categories))
    assert rhythm.replenishment.source == "fitted"
    assert rhythm.replenishment.value == 0.0
    assert 0 < rhythm.replenishment.standard_error < 0.001
    assert rhythm.interval.source == "prior"


def renewals(rng, *, users, length, categories):
    """Staples bought again after log-normal days; a third of the items is never bought again."""
    events = []
    for user in range(users):
        for name, (median, deviation) in categories.items():
            for number in range(3):
                day = rng.uniform(-length, length)
                while day < length:
                    if day >= 0:
                        events.append((f"u{user}", f"{name}{number}", None, day))
                    day += np.exp(rng.normal(np.log(median), deviation))
                events.append(
                    (f"u{user}", f"{name}-once{user}-{number}", None, rng.uniform(0, length))
                )
    return events


def test_intervals_are_recovered_from_a_log_too_short_to_show_the_long_ones(tmp_path):
    truth = {"milk": (10.0, 0.4), "soap": (45.0, 0.6)}
    events = renewals(np.random.default_rng(4), users=250, length=150.0, categories=truth)
    categories = {item: item[:4] for _, item, _, _ in events}
    rhythm = fit(purchases_log(tmp_path / "log", events, categories))
    for name, (median, deviation) in truth.items():
        assert rhythm.intervals[name].days == pytest.approx(median, rel=0.06)
        assert rhythm.intervals[name].deviation == pytest.approx(deviation, rel=0.1)
    # The raw median of the soap is far too short: the log ends before the long ones do.
    soap = sorted((user, item, day) for user, item, _, day in events if item.startswith("soap"))
    seen = [later[2] - first[2] for first, later in pairwise(soap) if first[:2] == later[:2]]
    assert np.median(seen) < 40.0


def test_a_thin_category_is_shrunk_toward_all(tmp_path):
    rng = np.random.default_rng(5)
    events = renewals(rng, users=60, length=150.0, categories={"milk": (10.0, 0.4)})
    events += [("u0", "rare", None, day) for day in (0.0, 100.0)]
    categories = {item: item[:4] for _, item, _, _ in events} | {"never": "none"}
    rhythm = fit(purchases_log(tmp_path / "log", events, categories))
    assert rhythm.intervals["rare"].seen == 1
    assert rhythm.intervals["rare"].days == pytest.approx(
        rhythm.interval.value ** (20 / 21) * 100 ** (1 / 21)
    )
    assert rhythm.interval_of("none > x").days == rhythm.interval.value


def test_several_visits_on_a_day_do_not_blow_up_the_deviation(tmp_path):
    rng = np.random.default_rng(6)
    events = renewals(rng, users=150, length=150.0, categories={"milk": (20.0, 0.4)})
    events += [(user, item, None, day + 0.001) for user, item, _, day in events[::12]]
    categories = {item: "all" for _, item, _, _ in events}
    rhythm = fit(purchases_log(tmp_path / "log", events, categories))
    assert rhythm.interval_deviation.value < 0.6


# --- drift --------------------------------------------------------------------------------------


def drifting(rng, drift, *, users=100, visits=30, days=7.0):
    """Categories of each visit from (1 - drift) * long-run shares + drift * last visit's."""
    names, base = 8, 5.0
    events = []
    for user in range(users):
        past = rng.multinomial(6, np.full(names, 1 / names)).astype(float)
        counts, last = np.zeros(names), past / past.sum()
        for visit in range(visits):
            stable = (counts + base / names) / (counts.sum() + base)
            shares = (1 - drift) * stable + drift * last
            size = int(rng.integers(1, 4))
            drawn = rng.choice(names, size=size, p=shares / shares.sum())
            now = np.bincount(drawn, minlength=names).astype(float)
            for number, category in enumerate(drawn):
                item = f"{category}/{user}/{visit}/{number}"
                events.append((f"u{user}", item, f"u{user}/{visit}", days * visit))
            counts, last = counts + now, now / size
    return events


def drift_of(path, events):
    categories = {item: f"all > {item.split('/')[0]} > deeper" for _, item, _, _ in events}
    return fit(purchases_log(path, events, categories)).drift


@pytest.mark.parametrize("drift", [0.0, 0.15, 0.4])
def test_the_weight_of_the_last_visit_is_recovered(tmp_path, drift):
    rate = drift_of(tmp_path / "log", drifting(np.random.default_rng(7), drift))
    assert agrees(rate, drift)
    assert rate.standard_error < 0.03


def test_repeating_the_last_visit_gives_the_largest_drift(tmp_path):
    events = []
    for user in range(40):
        # The category changes for good every few visits, which no long-run share foresees.
        for visit in range(12):
            item = f"{visit // 4}/{user}/{visit}"
            events.append((f"u{user}", item, None, 7.0 * visit))
    assert 0.5 < drift_of(tmp_path / "log", events).value <= LARGEST_DRIFT


def test_a_visit_long_ago_predicts_nothing(tmp_path):
    events = drifting(np.random.default_rng(8), 0.4, days=60.0, users=60)
    rate = drift_of(tmp_path / "log", events)
    assert (rate.value, rate.source) == (0.0, "prior")


def test_one_category_cannot_drift(tmp_path):
    events = repeating(np.random.default_rng(9), 0.2)
    rhythm = fit(purchases_log(tmp_path / "log", events, {item: "all" for _, item, *_ in events}))
    assert (rhythm.drift.value, rhythm.drift.source) == (0.0, "prior")
    assert "one category" in rhythm.drift.note


# --- seasons ------------------------------------------------------------------------------------


def seasonal(rng, factors, days, *, visits=9000):
    """One item a visit; ``factors`` gives each category's demand in the twelve months."""
    names = list(factors)
    events = []
    for number in range(visits):
        day = rng.uniform(0, days)
        month = (START + timedelta(days=day)).month - 1
        weights = np.array([factors[name][month] for name in names])
        name = names[rng.choice(len(names), p=weights / weights.sum())]
        events.append((f"u{number % 400}", f"{name}{number % 50}", f"s{number}", day))
    return events


def test_seasons_are_recovered_beside_the_whole_year(tmp_path):
    wave = 1 + 0.8 * np.sin(np.arange(12) / 12 * 2 * np.pi)
    factors = {"ice": wave, "tea": 2 - wave, "rest": np.full(12, 8.0)}
    events = seasonal(np.random.default_rng(10), factors, 730, visits=12000)
    path = purchases_log(tmp_path / "log", events, {item: item[:3] for _, item, *_ in events})
    rhythm = fit(path)
    total = sum(factors.values())
    for name, wanted in (("ice", wave), ("tea", 2 - wave)):
        assert rhythm.season[name] == pytest.approx(wanted / total * 10, abs=0.22)
    assert rhythm.season["res"] == pytest.approx(np.ones(12), abs=0.06)
    assert agrees(rhythm.season_deviation, np.std([wave, 2 - wave, np.ones(12)]), errors=3)
    july = datetime(2030, 7, 1)
    assert rhythm.season_factor("ice > cone", july) == rhythm.season["ice"][6]
    assert rhythm.season_factor("other", july) == rhythm.season_factor(None, july) == 1.0


def test_without_seasons_chance_is_not_taken_for_one(tmp_path):
    flat = {"ice": np.ones(12), "tea": np.ones(12), "rest": np.ones(12)}
    events = seasonal(np.random.default_rng(11), flat, 365, visits=3000)
    rhythm = fit(purchases_log(tmp_path / "log", events, {i: i[:3] for _, i, *_ in events}))
    # About 83 visits a category and month: the raw ratios have a deviation of 0.09.
    assert np.abs(np.array(list(rhythm.season.values())) - 1).max() < 0.06


def test_months_that_the_log_does_not_reach_keep_one(tmp_path):
    factors = {"ice": np.linspace(0.5, 1.5, 12), "tea": np.ones(12)}
    events = seasonal(np.random.default_rng(12), factors, 100)
    rhythm = fit(purchases_log(tmp_path / "log", events, {i: i[:3] for _, i, *_ in events}))
    assert rhythm.season["ice"][4:] == (1.0,) * 8
    assert rhythm.season["ice"][0] < 0.95 < 1.05 < rhythm.season["ice"][3]


# --- fatigue ------------------------------------------------------------------------------------


def slates_log(path, rng, fatigue, *, candidates="logged", sample_rate=1.0, users=100, visits=25):
    """Slates of six of 30 items; attractive items are shown more often than others."""
    attraction = np.linspace(-3.0, 0.0, 30)
    often = np.exp(0.6 * attraction)
    tables = {"sessions": [], "searches": [], "impressions": []}
    for user in range(users):
        in_vain = np.zeros(30)
        for visit in range(visits):
            key, moment = f"{user}/{visit}", START + timedelta(days=visit, minutes=user)
            tables["sessions"].append(
                {"session_id": key, "user_id": f"u{user}", "started_at": moment, "origin": "real"}
            )
            shown = rng.choice(30, size=6, replace=False, p=often / often.sum())
            chance = 1 / (1 + np.exp(-attraction[shown] - fatigue * np.log1p(in_vain[shown])))
            clicked = rng.random(6) < chance
            in_vain[shown] = np.where(clicked, 0, in_vain[shown] + 1)
            # Two pages show the same items: one visit is one exposure.
            for step in (1, 2):
                search = {"search_id": f"{key}/{step}", "session_id": key, "step": step, "page": 1}
                search |= {"candidates": candidates, "searched_at": moment, "origin": "real"}
                tables["searches"].append(search)
                tables["impressions"] += [
                    {
                        "search_id": f"{key}/{step}",
                        "item_id": f"i{item:02d}",
                        "clicked": bool(click and step == 2),
                        "sample_rate": sample_rate,
                        "origin": "real",
                    }
                    for item, click in zip(shown, clicked, strict=True)
                ]
    with Log.create(path) as log:
        log.append("items", item_rows({f"i{item:02d}": "all" for item in range(30)}))
        for table, records in tables.items():
            log.append(table, rows(table, records))
    return path


@pytest.mark.parametrize("fatigue", [0.0, -0.6])
def test_fatigue_is_recovered_apart_from_the_items_attraction(tmp_path, fatigue):
    rate = fit(slates_log(tmp_path / "log", np.random.default_rng(13), fatigue)).fatigue
    assert agrees(rate, fatigue)
    assert 0.01 < rate.standard_error < 0.1


@pytest.mark.parametrize("kind", [{"candidates": "sampled"}, {"sample_rate": 0.5}])
def test_incomplete_slates_show_no_fatigue(tmp_path, kind):
    path = slates_log(tmp_path / "log", np.random.default_rng(14), -0.6, users=30, **kind)
    rhythm = fit(path)
    assert (rhythm.fatigue.value, rhythm.fatigue.source) == (0.0, "prior")
    assert rhythm.fatigue.note


def test_clicks_are_what_a_log_without_purchases_takes(tmp_path):
    rhythm = fit(slates_log(tmp_path / "log", np.random.default_rng(15), 0.0, users=40))
    assert rhythm.response == "clicks"
    assert "(clicks)" in rhythm.replenishment.note


# --- the whole ----------------------------------------------------------------------------------


def test_nothing_from_until_on_and_nothing_simulated_is_used(tmp_path):
    events = repeating(np.random.default_rng(16), 0.2, users=60)
    path = purchases_log(tmp_path / "a", events, {item: "all" for _, item, *_ in events})
    until = START + timedelta(days=90)
    before = fit(path, until)
    later = {"item_id": "0-first", "purchased_at": until}
    with Log.open(path, read_only=False) as log:
        log.append(
            "purchases",
            rows(
                "purchases",
                [
                    {"user_id": "u0", "origin": "real"} | later,
                    {"user_id": "u0", "origin": "sim-1"} | later | {"purchased_at": START},
                ],
            ),
        )
    assert fit(path, until) == before
    assert fit(path) != before


@pytest.mark.parametrize("events", [[], [("u", "a", None, None)] * 300])
def test_a_log_without_times_gives_the_neutral_rhythm_with_notes(tmp_path, events):
    rhythm = fit(purchases_log(tmp_path / "log", events, {"a": "all", "b": "all"}))
    assert rhythm == Rhythm()
    for name in NEUTRAL:
        rate = getattr(rhythm, name)
        assert (rate.value, rate.source, bool(rate.note)) == (0.0, "prior", True)


def test_a_rhythm_survives_the_runs_configuration(tmp_path):
    rhythm = fit(purchases_log(tmp_path / "log", three_visits(60)))
    assert rhythm.intervals
    assert Rhythm.model_validate_json(rhythm.model_dump_json()) == rhythm
