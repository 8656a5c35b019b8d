"""Parts, intervals, verdicts and sentences, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array

from footfall.errors import SettingError
from footfall.eval.counted_measures import CountedMeasure, jensen_shannon
from footfall.eval.fidelity_results import Fidelity, FidelityColumn, FidelityRow
from footfall.eval.fidelity_rows import (
    Resampled,
    centred_interval,
    counted_rows,
    floor_column,
    make_row,
)
from footfall.eval.fidelity_words import difference_sentence, verdict_paragraph
from footfall.eval.likeness_counts import Counts
from footfall.eval.real_parts import real_parts


def column(distance: float | None, value: float | None = None, **more: float) -> FidelityColumn:
    return FidelityColumn(value=value, distance=distance, **more)


def row(
    distance: float, high: float = 0.2, mean: float = 0.1, *, name: str = "m", **more: object
) -> FidelityRow:
    settings = {
        "real": 1.0,
        "synthetic": column(distance, 1.0 + distance),
        "floor": column(mean, 1.0, low=0.0, high=high),
        "simple": column(0.5),
        "section": "rates",
    } | more
    section = settings.pop("section")
    return make_row(name, section, **settings)


def fidelity_of(*rows: FidelityRow) -> Fidelity:
    numbers = dict.fromkeys(
        (
            "real_sessions",
            "real_users",
            "synthetic_sessions",
            "synthetic_users",
            "part_sessions",
            "splits",
            "model_splits",
            "resamples",
            "seed",
        ),
        7,
    )
    return Fidelity(
        run_id="r",
        until=None,
        start=None,
        end=None,
        response="clicked",
        rows=list(rows),
        verdict="v",
        **numbers,
    )


@given(
    sizes=st.lists(st.integers(1, 9), min_size=2, max_size=40),
    target=st.integers(1, 200),
    seed=st.integers(0, 99),
)
def test_parts_hold_whole_users_and_about_as_many_sessions(sizes, target, seed):
    table = np.array(sizes)
    parts = real_parts(table, target, 5, np.random.default_rng(seed))
    users = parts.sum(axis=1)
    assert ((users >= 1) & (users <= len(sizes) // 2)).all()
    held = parts @ table
    # One user more or less would be at most a user's sessions nearer, unless half is reached.
    small = users < len(sizes) // 2
    assert (np.abs(held - target)[small] <= table.max()).all()


def test_parts_by_hand():
    parts = real_parts(np.full(10, 2), 6, 4, np.random.default_rng(0))
    assert parts.sum(axis=1).tolist() == [3, 3, 3, 3]
    assert len({tuple(part) for part in parts}) > 1
    assert not real_parts(np.array([5]), 3, 2, np.random.default_rng(0)).any()


def test_the_floor_shrinks_with_the_size_of_the_part():
    generator = np.random.default_rng(0)
    values = generator.normal(size=400)
    sizes = np.ones(400, dtype=np.int64)
    spread = []
    for target in (10, 200):
        parts = real_parts(sizes, target, 200, generator)
        gaps = [abs(values[part].mean() - values[~part].mean()) for part in parts]
        spread.append(np.mean(gaps))
    # sqrt(1/10 + 1/390) against sqrt(1/200 + 1/200)
    assert spread[0] / spread[1] == pytest.approx(0.3203 / 0.1, rel=0.25)


def test_an_interval_is_about_its_distance_and_never_below_zero():
    found = centred_interval(1.0, np.array([1.5, 2.0, 2.5]))
    assert (found.low, found.high) == pytest.approx((0.525, 1.475))
    assert centred_interval(0.1, np.array([0.0, 1.0, 2.0])).low == 0.0
    assert centred_interval(math.nan, np.ones(3)).low is None


def test_resampled_counts_are_sums_over_the_drawn_users():
    matrix = csr_array(np.array([[1.0, 10.0], [2.0, 20.0], [4.0, 40.0]]))
    resampled = Resampled([matrix, matrix[:, [1]]], resamples=50, seed=0)
    first, second = resampled.drawn(0), resampled.drawn(1)
    assert first.shape == (50, 2)
    assert first[:, 1] == pytest.approx(10 * first[:, 0])
    assert second[:, 0] == pytest.approx(first[:, 1])
    # Three draws of 1, 2 or 4.
    assert set(first[:, 0]) <= {3, 4, 5, 6, 7, 8, 9, 10, 12}
    assert len(set(first[:, 0])) > 3
    parts = np.array([[True, False, True]])
    assert resampled.of_parts(parts)[0].tolist() == [[5.0, 50.0]]
    assert Resampled([matrix[[0]]], resamples=50, seed=0).drawn(0) is None


def test_counted_rows_by_hand():
    real = csr_array(np.array([[1.0, 2.0], [3.0, 2.0], [2.0, 2.0], [2.0, 2.0]]))
    run = Counts(real, csr_array(np.array([[8.0, 2.0], [4.0, 2.0]])), ("a", "b"))
    simple = Counts(real, csr_array(np.array([[3.0, 2.0], [3.0, 2.0]])), ("a", "b"))
    parts = np.array([[True, False, False, False], [False, False, True, False]])
    (found,) = counted_rows(
        [CountedMeasure("x", run)], [CountedMeasure("x", simple)], parts, resamples=40, seed=0
    )
    assert (found.real, found.synthetic.value, found.simple.value) == (1.0, 3.0, 1.5)
    assert (found.synthetic.distance, found.simple.distance) == (2.0, 0.5)
    # The parts differ from the rest by |1/2 - 7/6| and |1 - 1|.
    assert found.floor.distance == pytest.approx((2 / 3) / 2)
    assert found.synthetic.ratio == pytest.approx(6)
    assert (found.verdict, found.direction) == ("further", "higher")
    assert found.words == "6.0 times as far as real against real"
    assert found.synthetic.low < 2.0 < found.synthetic.high


def test_a_measure_that_the_real_log_does_not_record_has_no_numbers():
    real = csr_array(np.zeros((3, 2)))
    counts = Counts(real, csr_array(np.ones((2, 2))), ("a", "b"))
    parts = np.array([[True, False, False]])
    for measure in (
        CountedMeasure("x", counts),
        CountedMeasure("x", Counts(counts.made, counts.made, ("a", "b")), recorded=False),
    ):
        (found,) = counted_rows(
            [measure], [measure], parts[:, : measure.counts.real.shape[0]], resamples=20, seed=0
        )
        assert found.words == "not recorded in the real log"
        assert (found.real, found.synthetic, found.simple) == (
            None,
            FidelityColumn(),
            FidelityColumn(),
        )


def test_jensen_shannon_by_hand():
    assert jensen_shannon(np.array([1.0, 0.0]), np.array([0.0, 3.0])) == 1.0
    assert jensen_shannon(np.array([1.0, 1.0]), np.array([4.0, 4.0])) == 0.0
    # Against the mean (3/4, 1/4): (log2(4/3) + (log2(2/3) + log2(2)) / 2) / 2, then the root.
    expected = math.sqrt((math.log2(4 / 3) + (math.log2(2 / 3) + 1) / 2) / 2)
    assert jensen_shannon(np.array([1.0, 0.0]), np.array([1.0, 1.0])) == pytest.approx(expected)
    assert math.isnan(jensen_shannon(np.zeros(2), np.ones(2)))


def test_verdicts_of_rows_by_their_floor():
    assert row(0.2).verdict == "within"
    assert (row(0.21).verdict, row(0.21).excess) == ("further", pytest.approx(2.1))
    alike = row(0.3, high=0.0, mean=0.0)
    assert (alike.words, alike.excess) == ("real parts do not differ, the run does", math.inf)
    assert row(0.0, high=0.0, mean=0.0).verdict == "within"
    assert row(0.3, floor=FidelityColumn()).words == "too few real users for two parts"
    assert row(0.3, synthetic=FidelityColumn()).words == "not measurable in the run"
    assert floor_column(1.0, np.array([math.nan])) == FidelityColumn(value=1.0)


def test_limits_count_ratio_and_required_measures():
    near, far = row(0.21, name="near"), row(0.9, name="far")
    lost = row(0.3, name="lost", lacking="not recorded in the real log")
    wide = row(0.5, high=0.6, name="wide")
    found = fidelity_of(near, far, lost, wide)
    # 2.1 times is over 2; within the floor's interval, five times is not.
    assert [r.measure for r in found.exceeding(2.0)] == ["near", "far"]
    assert [r.measure for r in found.exceeding(2.2)] == ["far"]
    assert [r.measure for r in found.exceeding(2.2, ["near", "lost"])] == ["lost"]
    assert found.passed(9.0)
    with pytest.raises(SettingError, match="no measure 'new'"):
        found.exceeding(2.0, ["new"])
    with pytest.raises(SettingError, match="0 or more"):
        found.passed(-1.0)
    infinite = fidelity_of(row(0.3, high=0.0, mean=0.0))
    assert not infinite.passed(1e12)


def test_sentences_say_direction_and_size():
    buys = row(
        0.8,
        name="purchases per session",
        deed="buy",
        real=1.8,
        synthetic=column(0.8, 2.6),
    )
    assert difference_sentence(buys) == (
        "shoppers buy 1.4 times as often as real ones: 2.6 against 1.8 a session "
        "(8.0 times as far as real against real)"
    )
    fewer = row(0.5, name="clicks per impression", deed="click", synthetic=column(0.5, 0.5))
    assert "click 0.50 times as often" in difference_sentence(fewer)
    assert "0.50 against 1.00 an impression" in difference_sentence(fewer)
    price = row(0.5, name="mean price of clicks")
    assert difference_sentence(price).startswith(
        "mean price of clicks, 1.5 in the run against 1.0 in the real log"
    )
    mix = row(0.5, name="category mix of clicks", kind="Jensen-Shannon", shift="more 茶 (9%)")
    assert difference_sentence(mix).endswith("; more 茶 (9%)")


def test_the_verdict_counts_names_and_compares():
    rows = [
        row(0.1, name="a"),
        row(0.9, name="b", simple=column(0.4)),
        row(0.4, name="session Frechet distance", kind="Frechet", simple=column(0.9)),
        row(0.3, name="c", high=0.0, mean=0.0, simple=column(0.0)),
        row(0.3, name="d", lacking="not recorded in the real log"),
    ]
    words = verdict_paragraph(rows)
    assert words.startswith("1 of 4 measures lie within")
    assert "What differs most: b, 1.9 in the run against 1.0 in the real log (9.0 times" in words
    assert "Session Frechet distance, a distance of 0.400 (4.0 times" in words
    assert "All real parts are alike and the run is not in: c." in words
    assert "nearer to the real log than the simple simulator on 2 of 4 measures" in words
    assert "the simple simulator does better on b, c." in words
    assert words.endswith("1 measure was not recorded or not measurable.")
    assert "No measure differs more" in verdict_paragraph([rows[0]])
    assert verdict_paragraph([rows[-1]]).startswith("Nothing could be compared")
