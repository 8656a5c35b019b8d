"""Two targets side by side: direction, certainty and what common random numbers save."""

from __future__ import annotations

import pytest
from scipy.stats import norm

from footfall.eval.stress.ab_test import ab_rows, ab_table
from footfall.eval.stress.rows import MeasureRow

HALF = norm.ppf(0.975)


def row(value, difference, error, *, alone=0.1, direction="higher", measure="ctr"):
    return MeasureRow(
        measure=measure,
        value=value,
        low=value - HALF * alone,
        high=value + HALF * alone,
        baseline=value - difference,
        difference=difference,
        difference_low=difference - HALF * error,
        difference_high=difference + HALF * error,
        direction=direction,
    )


def of_b(value, alone=0.1, measure="ctr"):
    return MeasureRow(
        measure=measure, value=value, low=value - HALF * alone, high=value + HALF * alone
    )


def test_a_difference_of_two_standard_errors_is_certain_by_the_normal_distribution():
    (found,) = ab_rows([row(0.5, 0.2, 0.1)], [of_b(0.3)], visits=1000)
    assert found.better == "A"
    assert found.certainty == pytest.approx(norm.cdf(2.0))
    # 80 % power at 5 %: (1.96 + 0.84) standard errors; there are 2.
    assert found.visits_needed == pytest.approx(1000 * ((1.96 + 0.8416) / 2.0) ** 2, rel=0.01)


def test_pairing_saves_what_the_independent_variances_exceed_the_paired_one_by():
    (found,) = ab_rows([row(0.5, 0.2, 0.05)], [of_b(0.3)], visits=10)
    assert found.saved == pytest.approx(1 - 0.05**2 / (0.1**2 + 0.1**2))


def test_of_a_measure_where_less_is_better_the_lower_one_wins():
    (found,) = ab_rows([row(0.5, 0.2, 0.01, direction="lower")], [of_b(0.3)], visits=10)
    assert found.better == "B"


def test_an_interval_around_zero_has_no_winner_but_a_certainty():
    (found,) = ab_rows([row(0.5, -0.05, 0.1)], [of_b(0.55)], visits=10)
    assert found.better == ""
    assert found.certainty == pytest.approx(norm.cdf(0.5))


def test_a_measure_without_an_interval_has_no_certainty():
    bare = MeasureRow(measure="gini", value=0.4, baseline=0.3, difference=0.1)
    (found,) = ab_rows([bare], [], visits=10)
    unknown = (found.certainty, found.saved, found.visits_needed, found.better)
    assert unknown == (None, None, None, "")


def test_the_table_names_the_winner_and_leaves_out_what_is_unknown():
    rows = ab_rows(
        [row(0.5, 0.2, 0.01), MeasureRow(measure="novelty", value=None)],
        [of_b(0.3)],
        visits=10,
    )
    table = ab_table(rows, a="als", b="popularity")
    assert "| ctr | 0.5 | 0.3 | +0.2" in table
    assert "| als | 100.0% |" in table
    assert "novelty" not in table
