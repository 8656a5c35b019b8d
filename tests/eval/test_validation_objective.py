from __future__ import annotations

from math import log

import pyarrow as pa
import pytest

from footfall.eval.arm_training import ValidationObjective


def table(rows):
    """Rows of (probability, label, cold)."""
    return pa.table(
        {
            "probability": [row[0] for row in rows],
            "label": [row[1] for row in rows],
            "item_cold": [row[2] for row in rows],
            "weight": [1.0] * len(rows),
        }
    )


WARM = [(0.5, True, False), (0.5, False, False)]
BEFORE = table([*WARM, (0.5, True, True), (0.5, False, True)])
COLD = ValidationObjective(cold=True, fewest=1)


def test_all_rows_count_where_it_is_not_about_the_cold_ones():
    after = table([(0.4, True, False), WARM[1], (0.8, True, True), (0.5, False, True)])
    expected = (2 * log(2) - log(0.8) - log(0.4)) / 4
    assert ValidationObjective().score(after) == pytest.approx(expected)
    # The warm rows are among them already.
    assert ValidationObjective().harm(after, BEFORE) == 0.0


def test_only_cold_rows_count_and_warm_ones_tell_of_harm():
    after = table([(0.4, True, False), WARM[1], (0.8, True, True), (0.5, False, True)])
    assert COLD.score(after) == pytest.approx((log(2) - log(0.8)) / 2)
    assert COLD.score(BEFORE) == pytest.approx(log(2))
    # By log loss a tenth of a nat; by AUC all of a half, because the response comes last.
    assert COLD.harm(after, BEFORE) == pytest.approx(0.5)
    assert COLD.harm(BEFORE, after) == pytest.approx(-(log(0.5) - log(0.4)) / 2)
    assert COLD.harm(BEFORE, BEFORE) == 0.0
    # In the same order, and less sure.
    sure = table([(0.9, True, False), (0.1, False, False), *[(0.5, True, True)] * 2])
    unsure = table([(0.6, True, False), (0.4, False, False), *[(0.5, True, True)] * 2])
    assert COLD.harm(unsure, sure) == pytest.approx(log(0.9) - log(0.6))


def test_rows_count_by_their_weight_and_people_may_be_the_cold_ones():
    after = table([*WARM, (0.8, True, True), (0.6, False, True)])
    weighed = after.set_column(3, "weight", pa.array([1.0, 1.0, 3.0, 1.0]))
    expected = (-3 * log(0.8) - log(0.4)) / 4
    assert COLD.score(weighed) == pytest.approx(expected)
    # Of the people only the first is cold.
    people = pa.array([True, False, False, False])
    told, before = (rows.append_column("user_cold", people) for rows in (after, BEFORE))
    of_users = ValidationObjective(cold=True, fewest=1, of="users")
    assert of_users.score(told) == pytest.approx(log(2))
    # Warm are (0.5, no), (0.8, yes), (0.6, no): better ordered than before, and less certain.
    expected = (-log(0.8) - log(0.4) + 2 * log(0.5)) / 3
    assert of_users.harm(told, before) == pytest.approx(max(expected, 0.5 - 1.0))
    assert not ValidationObjective(cold=True, fewest=2, of="users").uses_cold(told)


def test_too_few_cold_responses_are_no_ground_to_choose_on():
    after = table([*WARM, (0.9, True, True), (0.1, False, True)])
    few = ValidationObjective(cold=True, fewest=2)
    assert not few.uses_cold(after)
    # Two responses of cold rows, and one of a warm row: too few to tell harm by.
    more = table([*WARM, (0.9, True, True), (0.9, True, True)])
    assert not few.uses_cold(more)
    assert few.uses_cold(table([*WARM, *WARM, (0.9, True, True), (0.9, True, True)]))
    assert few.score(after) == pytest.approx((2 * log(2) - 2 * log(0.9)) / 4)
    assert few.harm(table([(0.1, True, False), *WARM[1:]] * 2), BEFORE) == 0.0
