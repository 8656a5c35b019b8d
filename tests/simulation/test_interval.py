import numpy as np
import pytest
from scipy.stats import lognorm

from footfall.simulator.rhythm import Interval, top_category


def test_the_hazard_is_that_of_the_log_normal():
    interval = Interval(days=20.0, deviation=0.7)
    days = np.array([0.5, 5.0, 20.0, 90.0, 1000.0])
    known = lognorm(0.7, scale=20.0)
    assert interval.hazard(days) == pytest.approx(known.pdf(days) / known.sf(days), rel=1e-6)
    assert known.cdf(interval.due_after) == pytest.approx(0.1)
    # Where the survival function itself underflows, the hazard stays a number.
    assert 0 < interval.hazard(np.array([1e12]))[0] < 1e-9


@pytest.mark.parametrize(
    ("category", "top"), [("a > b > c", "a"), ("a", "a"), ("", ""), (None, ""), ("a>b", "a>b")]
)
def test_the_top_category_is_the_first_level(category, top):
    assert top_category(category) == top
