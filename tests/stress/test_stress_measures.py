"""Every measure by hand arithmetic, on crowds of a few pages."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hand_made import crowd, page, scene, visit
from hypothesis import example, given, settings
from hypothesis import strategies as st

from footfall.errors import SettingError
from footfall.eval.stress.exposure_shares import exposure_shares
from footfall.eval.stress.measure_kinds import CellMeasure
from footfall.eval.stress.measure_list import MEASURES
from footfall.eval.stress.measures import measure
from footfall.eval.stress.robustness import own_losses
from footfall.simulator.crowd_events import CrowdEvents

ABCD = scene(["a", "b", "c", "d"])
#: Discount of the second and third place.
SECOND, THIRD = 1 / math.log2(3), 1 / 2


def values(events, world=ABCD, compared_with=None, **options):
    rows = measure(events, world, compared_with=compared_with, resamples=40, **options)
    return {row.measure: row for row in rows}


def value(name, events, world=ABCD):
    return values(events, world)[name].value


def test_ctr_is_clicks_by_items_shown():
    events = crowd(visit("x", page("ab", clicked="a"), page("cd")), visit("y", page("a")))
    assert value("ctr", events) == pytest.approx(1 / 5)


def test_conversion_and_abandonment_count_visits():
    events = crowd(
        visit("x", page("ab", clicked="ab", bought="ab")),
        visit("x", page("ab", clicked="a"), page("cd")),
        visit("y", page("ab")),
        visit("z"),
    )
    assert value("conversion", events) == pytest.approx(1 / 4)
    assert value("abandonment", events) == pytest.approx(2 / 4)


def test_revenue_per_visit_adds_the_prices_of_what_was_bought():
    events = crowd(
        visit("x", page("abc", bought="ac", prices=[2.0, 5.0, None])),
        visit("y", page("a", prices=[2.0])),
    )
    assert value("revenue per visit", events) == pytest.approx(2.0 / 2)


def test_ndcg_is_the_discounted_gain_beside_the_ideal_one():
    shown = page("ab", gains=[0.2, 0.8], ideal_gain=1.5)
    events = crowd(visit("x", shown))
    assert value("ndcg", events) == pytest.approx((0.2 + 0.8 * SECOND) / 1.5)


def test_ndcg_without_an_ideal_page_is_within_the_best_order_of_what_was_shown():
    events = crowd(visit("x", page("abc", gains=[0.1, 0.4, 0.2])))
    best = 0.4 + 0.2 * SECOND + 0.1 * THIRD
    row = values(events)["ndcg"]
    assert row.value == pytest.approx((0.1 + 0.4 * SECOND + 0.2 * THIRD) / best)
    assert "100% of the pages are judged by their own best order" in row.note


def test_ndcg_of_a_failed_page_is_zero_and_later_pages_do_not_count():
    events = crowd(
        visit("x", page(failure="timeout", ideal_gain=2.0)),
        visit("y", page("a", gains=[1.0], ideal_gain=1.0), page("b", gains=[0.1], page=2)),
    )
    assert value("ndcg", events) == pytest.approx(1 / 2)
    assert value("ndcg", crowd(visit("x", page()))) == 0.0


def test_ndcg_leaves_out_pages_on_which_nothing_can_be_gained():
    events = crowd(
        visit("x", page("a", gains=[0.0])), visit("y", page("a", gains=[0.5], ideal_gain=0.0))
    )
    assert value("ndcg", events) is None


def test_ndcg_is_never_above_one():
    assert value("ndcg", crowd(visit("x", page("a", gains=[1.0], ideal_gain=0.5)))) == 1.0


def test_hit_rate_asks_first_pages_whether_they_show_the_item_in_mind():
    events = crowd(
        visit("x", page("ab", needed="b"), page("cd", needed="b", page=2)),
        visit("y", page("ab", needed="c")),
        visit("z", page(needed="a", failure="error")),
        visit("z", page("ab")),
    )
    assert value("hit rate", events) == pytest.approx(1 / 3)


def test_position_bias_is_what_relevance_does_not_explain():
    # Gains 1 and 3 shown alike: relevance gives the top three 3/6 of the clicks; they got all two.
    first = page("abcd", clicked="ab", gains=[1.0, 1.0, 1.0, 3.0])
    # Three items have nothing below the top: the page tells nothing.
    short = page("abc", clicked="abc", gains=[1.0, 1.0, 1.0])
    unknown = page("abcd", clicked="a", gains=[1.0, 1.0, 1.0, None])
    events = crowd(visit("x", first, short, unknown))
    assert value("position bias", events) == pytest.approx((2 - 2 * 3 / 6) / 2)


def test_clicks_by_relevance_alone_have_no_position_bias():
    events = crowd(visit("x", page("abcd", clicked="abcd", gains=[1.0] * 4)))
    assert value("position bias", events) == pytest.approx(0.0)


def test_coverage_and_gini_by_hand():
    events = crowd(visit("x", page("aab")), visit("y", page("a")))
    assert value("coverage", events) == pytest.approx(2 / 4)
    # Exposures 0, 0, 1, 3: sum of (2i - 5) x_i is 1 + 9, by 4 items and 4 exposures.
    assert value("gini", events) == pytest.approx(10 / 16)


def test_gini_is_zero_where_all_are_shown_alike_and_largest_where_one_is():
    assert value("gini", crowd(visit("x", page("abcd")))) == pytest.approx(0.0)
    assert value("gini", crowd(visit("x", page("aaaa")))) == pytest.approx(3 / 4)


POPULAR = scene(
    [
        {"item_id": "a", "popularity": 3, "brand": "one", "price": 1.0},
        {"item_id": "b", "popularity": 1, "brand": "one", "price": 2.0},
        {"item_id": "c", "popularity": 0, "brand": "two", "price": 3.0},
        {"item_id": "d", "popularity": 0, "brand": "", "price": None},
    ],
    cold=["b"],
    attacked=["c"],
)


def test_novelty_is_the_information_of_the_popularity_before():
    # b is new: its purchase is not known. Shares with one added: 4/7, 1/7, 1/7, 1/7.
    events = crowd(visit("x", page("ab")))
    expected = (-math.log2(4 / 7) - math.log2(1 / 7)) / 2
    assert value("novelty", events, POPULAR) == pytest.approx(expected)


def test_popularity_bias_is_percentiles_shown_less_percentiles_clicked():
    # Percentiles: a 3.5 of 4; b, c and d share 0.5, 1.5 and 2.5.
    events = crowd(visit("x", page("ab", clicked="b")))
    assert value("popularity bias", events, POPULAR) == pytest.approx((0.875 + 0.375) / 2 - 0.375)


def test_concentrations_are_sums_of_squared_shares_of_known_groups():
    events = crowd(visit("x", page("abcd")))
    row = values(events, POPULAR)
    assert row["seller concentration"].value == pytest.approx((2 / 3) ** 2 + (1 / 3) ** 2)
    assert row["price band concentration"].value == pytest.approx(3 * (1 / 3) ** 2)


def test_shares_of_sellers_and_price_bands_are_of_what_is_known():
    bought = visit("z", page("cccc"), role="shilling")
    events = crowd(visit("x", page("aabd", clicked="b", needed="c"), page("c", page=2)), bought)
    sellers = exposure_shares(events, POPULAR, by="seller").to_pylist()
    assert [row["group"] for row in sellers] == ["one", "two"]
    # The item without a brand does not count.
    assert sellers[0] == {
        "group": "one",
        "catalogue": pytest.approx(2 / 3),
        "shown": pytest.approx(3 / 4),
        "clicked": 1.0,
        "wanted": 0.0,
    }
    bands = exposure_shares(events, POPULAR, by="price band").to_pylist()
    assert [(row["group"], row["shown"]) for row in bands] == [("1", 0.5), ("3", 0.25), ("5", 0.25)]
    assert exposure_shares(CrowdEvents.none(), POPULAR, by="seller")["shown"].null_count == 2


def test_items_of_one_price_are_in_one_band_the_lower_one():
    prices = [1.0] * 3 + [2.0] * 3 + [3.0] * 4
    shop = scene([{"item_id": f"i{k}", "price": price} for k, price in enumerate(prices)])
    bands = exposure_shares(crowd(visit("x", page(["i0"]))), shop, by="price band").to_pylist()
    # Fifths of ten items end at 1, 2, 2.4 and 3: a price on an edge is below it.
    found = {row["group"]: row["catalogue"] for row in bands}
    assert found == pytest.approx({"1": 0.3, "2": 0.3, "4": 0.4})


def test_a_jackknifed_interval_is_that_of_the_standard_error():
    # Of n shoppers, half saw one seller and half the other: the index is p^2 + (1 - p)^2.
    shop = scene([{"item_id": "a", "brand": "one"}, {"item_id": "b", "brand": "two"}])
    visits = [visit(f"s{k}", page("aaab" if k % 4 else "bbbb")) for k in range(1000)]
    row = values(crowd(*visits), shop)["seller concentration"]
    share = 0.75 * 0.75
    # Delta method: the slope is 4 p - 2; a shopper's own share is 0.75 or 0.
    error = abs(4 * share - 2) * 0.75 * math.sqrt(0.75 * 0.25 / 1000)
    assert (row.high - row.low) / 2 == pytest.approx(2.0096 * error, rel=0.35)


def test_a_measure_that_may_be_below_zero_has_no_ratio():
    events = crowd(visit("x", page("abcd", clicked="b", gains=[1.0] * 4)), visit("y", page("ab")))
    row = values(events, POPULAR, compared_with=events)
    assert row["popularity bias"].ratio is None
    assert row["popularity bias"].difference == 0.0
    assert row["ctr"].ratio == 1.0


def test_cold_exposure_beside_the_catalogue_and_beside_demand():
    events = crowd(
        visit("x", page("abcd", needed="b"), page("ab", needed="a")),
        visit("y", page("ca", needed="a"), page("da", needed="a", page=2)),
    )
    row = values(events, POPULAR)
    assert row["cold exposure"].value == pytest.approx(2 / 10)
    assert row["cold exposure by catalogue"].value == pytest.approx((2 / 10) / (1 / 4))
    assert row["cold exposure by demand"].value == pytest.approx((2 / 10) / (1 / 3))
    assert row["attacked exposure"].value == pytest.approx(2 / 10)


def test_waiting_times_and_failures_by_hand():
    seconds = [0.1] * 18 + [1.0, 3.0]
    failures = [None] * 16 + ["timeout", "error", "error", "malformed"]
    pages = [page(seconds=s, failure=f) for s, f in zip(seconds, failures, strict=True)]
    row = values(crowd(visit("x", *pages)))
    # Of 20 pages, 95 % are 19: the nineteenth took a second.
    assert [row[f"latency p{n}"].value for n in (50, 95, 99)] == [0.1, 1.0, 3.0]
    assert row["failed pages"].value == pytest.approx(4 / 20)
    assert row["timeouts"].value == pytest.approx(1 / 20)
    assert row["errors"].value == pytest.approx(2 / 20)
    assert row["malformed answers"].value == pytest.approx(1 / 20)
    assert row["throughput"].value == pytest.approx(16 / (18 * 0.1 + 4.0))


def test_many_different_waiting_times_keep_their_quantiles_within_a_class():
    seconds = np.random.default_rng(0).permutation(5000) / 1000
    row = values(crowd(visit("x", *(page(seconds=float(s)) for s in seconds))))
    for share in (50, 95, 99):
        assert row[f"latency p{share}"].value == pytest.approx(share / 20, abs=0.004)


def test_attackers_are_no_shoppers():
    bought = page("ab", clicked="ab", bought="ab", gains=[1.0, 1.0], needed="a", prices=[9.0, 9.0])
    shoppers = [visit("x", page("cd", clicked="c", gains=[0.5, 0.5], needed="d"))]
    robbers = [visit("x", bought, role="click fraud"), visit("z", bought, role="shilling")]
    assert values(crowd(*shoppers, *robbers)) == values(crowd(*shoppers))


def test_nobody_came_and_every_measure_says_why_it_is_unknown():
    for name, row in values(CrowdEvents.none()).items():
        if name == "coverage":
            assert row.value == 0.0
        else:
            assert row.value is None, name
            assert row.note == MEASURES[name].unknown
        assert row.low is None


def test_one_constant_crowd_has_no_spread():
    events = crowd(*(visit(f"s{k}", page("ab", clicked="a")) for k in range(40)))
    row = values(events, compared_with=events)["ctr"]
    assert (row.low, row.value, row.high) == (0.5, 0.5, 0.5)
    assert (row.difference, row.difference_low, row.difference_high) == (0.0, 0.0, 0.0)
    assert (row.ratio, row.ratio_low, row.ratio_high) == (1.0, 1.0, 1.0)


def test_a_single_shopper_has_values_and_no_interval():
    row = values(crowd(visit("x", page("ab", clicked="a"))))["ctr"]
    assert row.value == 0.5
    assert row.low is None
    assert "only 1 shoppers" in row.note


def test_too_few_resamples_are_refused():
    with pytest.raises(SettingError, match="resamples = 3"):
        measure(crowd(visit("x", page("a"))), ABCD, compared_with=None, resamples=3)


def random_crowd(rng, clicks=0.3, shoppers=40):
    rates = np.random.default_rng(5).beta(1.0, 3.0, size=shoppers)
    visits = []
    for number in range(shoppers):
        pages = []
        for _ in range(3):
            clicked = "".join(i for i in "abcd" if rng.random() < clicks * 2 * rates[number])
            pages.append(
                page(
                    "".join(rng.permutation(list("abcd"))),
                    clicked=clicked,
                    bought=clicked[:1],
                    gains=rng.random(4).tolist(),
                    prices=[1.0, 2.0, 3.0, 4.0],
                    ideal_gain=3.0,
                    needed=str(rng.choice(list("abcd"))),
                    seconds=float(rng.exponential()),
                    failure=None if rng.random() < 0.9 else "error",
                )
            )
        visits.append(visit(f"s{number}", *pages))
    return crowd(*visits)


def test_every_value_lies_in_its_interval_and_the_interval_within_the_bounds():
    row = values(random_crowd(np.random.default_rng(1)), POPULAR)
    for name, each in row.items():
        least, most = MEASURES[name].bounds
        assert each.value is not None
        assert least <= each.low <= each.value + 1e-12, name
        assert each.value - 1e-12 <= each.high <= most, name


def test_intervals_cover_the_standard_error_of_independent_shoppers():
    events = random_crowd(np.random.default_rng(3), shoppers=400)
    rows = measure(events, ABCD, compared_with=None, resamples=400, seed=1)
    row = next(row for row in rows if row.measure == "ctr")
    search = [key.split("/")[0] for key in events.impressions["search_id"].to_pylist()]
    clicked = np.asarray(events.impressions["clicked"].to_pylist(), dtype=float)
    by_shopper = np.bincount(np.unique(search, return_inverse=True)[1], clicked) / 12
    error = by_shopper.std(ddof=1) / math.sqrt(len(by_shopper))
    assert (row.high - row.low) / (2 * 1.96) == pytest.approx(error, rel=0.15)


def test_the_same_shoppers_in_both_make_differences_more_certain():
    def renamed(events):
        names = [f"other {name}" for name in events.visits["shopper_id"].to_pylist()]
        place = events.visits.schema.get_field_index("shopper_id")
        visits = events.visits.set_column(place, events.visits.schema.field(place), [names])
        return CrowdEvents(visits, events.pages, events.impressions)

    one = random_crowd(np.random.default_rng(1), shoppers=150)
    other = random_crowd(np.random.default_rng(2), shoppers=150)
    paired = values(one, compared_with=other)["ctr"]
    apart = values(one, compared_with=renamed(other))["ctr"]
    assert paired.difference == pytest.approx(apart.difference)
    width = paired.difference_high - paired.difference_low
    assert width < 0.8 * (apart.difference_high - apart.difference_low)


def test_seeds_repeat_and_other_seeds_differ():
    events = random_crowd(np.random.default_rng(1))
    assert values(events, seed=3) == values(events, seed=3)
    assert values(events, seed=3)["ctr"].low != values(events, seed=4)["ctr"].low


def test_coverage_is_not_pulled_down_by_resampling():
    items = [f"i{k}" for k in range(300)]
    events = crowd(*(visit(f"s{k}", page([items[k], items[k + 100]])) for k in range(100)))
    row = values(events, scene(items))["coverage"]
    # Drawn with replacement, 100 shoppers see 63 % as much: such an interval would miss the value.
    assert row.value == pytest.approx(200 / 300)
    assert row.low <= row.value <= row.high


def test_own_loss_is_the_difference_of_differences():
    def clicks(rate):
        return crowd(
            *(visit(f"s{k}", page("abcd", clicked="abcd"[: int(4 * rate)])) for k in range(40))
        )

    found = own_losses(
        (clicks(0.25), clicks(0.5), ABCD), (clicks(0.75), clicks(0.75), ABCD), resamples=40
    )
    # The target lost a half, the baseline a quarter.
    assert found["ctr"].value == pytest.approx(-0.25)
    assert (found["ctr"].low, found["ctr"].high) == (-0.25, -0.25)
    assert "ndcg" not in found


def test_measures_have_unlike_names_and_say_what_they_are():
    assert all(name == each.name and each.says for name, each in MEASURES.items())
    assert {each.cells for each in MEASURES.values() if isinstance(each, CellMeasure)} == {
        "items",
        "price bands",
        "seconds",
        "sellers",
    }


PAGES = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.lists(st.sampled_from("abcd"), max_size=5),
        st.sets(st.sampled_from("abcd")),
        st.sampled_from([None, "timeout", "error", "malformed"]),
        st.floats(0.0, 10.0),
    ),
    max_size=8,
)


@settings(max_examples=15, deadline=None)
@given(PAGES, st.integers(0, 100))
@example([(0, [], set(), None, 5e-324)], 0)  # The shortest wait there is: no rate is that high.
def test_no_crowd_takes_a_measure_out_of_its_bounds(pages, seed):
    rng = np.random.default_rng(seed)
    events = crowd(
        *(
            visit(
                f"s{shopper}",
                page(
                    items,
                    clicked="".join(clicked),
                    gains=rng.random(len(items)).tolist(),
                    failure=failure,
                    seconds=seconds,
                    needed="a",
                ),
            )
            for shopper, items, clicked, failure, seconds in pages
        )
    )
    for name, row in values(events, POPULAR).items():
        least, most = MEASURES[name].bounds
        assert row.value is None or least - 1e-9 <= row.value <= most + 1e-9, name


@settings(max_examples=10, deadline=None)
@given(st.permutations("abcd"))
def test_a_page_in_the_order_of_gain_is_the_best_and_every_other_is_no_better(order):
    gains = dict(zip("abcd", (0.9, 0.5, 0.3, 0.1), strict=True))

    def ndcg(items):
        events = crowd(visit("x", page(items, gains=[gains[item] for item in items])))
        return value("ndcg", events)

    found = ndcg(order)
    assert found <= 1.0
    assert (found == pytest.approx(1.0)) == (list(order) == list("abcd"))
