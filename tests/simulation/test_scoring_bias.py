"""Effects of labels, and agreement of two askings, on slates made from known ones."""

import numpy as np
import pytest

from footfall.simulator.scoring_bias import agreement, label_bias, label_effects, shift

EFFECTS = np.array([1.5, 0.2, -0.4, -0.3, -1.0, 0.6])


def slates(rng, count, *, noise=0.5):
    """Slates of 2 to 6 items, each of a level of its own that falls with its length."""
    found = []
    for size in rng.integers(2, 7, size=count):
        level = rng.normal() - size
        found.append(level + EFFECTS[:size] + noise * rng.normal(size=size))
    return found


def test_effects_of_labels_are_found_beside_levels_and_lengths():
    effects, errors, _ = label_effects(slates(np.random.default_rng(0), 2000))
    expected = EFFECTS - EFFECTS.mean()
    assert np.abs(effects - expected).max() < 4 * errors.max()
    assert errors.max() < 0.05
    assert errors[0] < errors[5]
    assert effects.mean() == pytest.approx(0.0, abs=1e-12)


def test_without_bias_the_deviation_is_that_of_chance():
    rng = np.random.default_rng(1)
    found = label_bias([rng.normal(size=10) for _ in range(300)])
    assert found.root_mean_square < 1.7 * found.by_chance
    assert found.by_chance == pytest.approx(1 / np.sqrt(300), rel=0.1)
    assert found.spread == pytest.approx(np.sqrt(0.9), rel=0.05)


def test_figures_by_hand():
    # Two slates alike but for their level: the labels explain everything.
    found = label_bias([np.array([3.0, 1.0]), np.array([7.0, 5.0])])
    assert found.by_label == pytest.approx((1.0, -1.0))
    assert (found.largest, found.root_mean_square) == pytest.approx((1.0, 1.0))
    assert found.by_chance == pytest.approx(0.0, abs=1e-9)
    assert found.spread == pytest.approx(1.0)


@pytest.mark.parametrize(
    "slates",
    [
        [],
        [np.array([1.0, 2.0])],
        [np.array([1.0]), np.array([2.0])],
        [np.array([1.0, np.nan]), np.array([2.0, np.nan])],
        [np.zeros(0)],
    ],
)
def test_what_tells_nothing_gives_nothing(slates):
    assert label_bias(slates) is None


def test_unusable_items_are_left_out_of_effects():
    rows = slates(np.random.default_rng(2), 2000)
    for row in rows[::3]:
        row[0] = np.nan
    effects, errors, _ = label_effects(rows)
    assert np.abs(effects - (EFFECTS - EFFECTS.mean())).max() < 4 * errors.max()


def test_agreement_is_the_correlation_within_slates():
    first = [np.array([0.0, 1.0, 2.0]), np.array([10.0, 30.0])]
    assert agreement(first, [2 * row - 50 for row in first]).value == pytest.approx(1.0)
    assert agreement(first, [-row for row in first]).value == pytest.approx(-1.0)
    rng = np.random.default_rng(3)
    noise = [rng.normal(size=10) for _ in range(200)]
    others = [rng.normal(size=10) for _ in range(200)]
    found = agreement(noise, others)
    assert abs(found.value) < 4 * found.standard_error
    assert found.standard_error == pytest.approx(1 / np.sqrt(2000), rel=0.01)
    assert agreement([np.array([1.0])], [np.array([2.0])]) is None
    assert agreement([np.ones(5)], [np.arange(5.0)]) is None


def test_the_shift_between_two_askings_counts_every_slate_once():
    first = [np.array([0.0, 0.0]), np.array([0.0]), np.array([np.nan])]
    second = [np.array([1.0, 3.0]), np.array([4.0]), np.array([9.0])]
    found = shift(first, second)
    assert found.value == pytest.approx(3.0)
    assert found.standard_error == pytest.approx(np.sqrt(2) / np.sqrt(2))
    assert shift(first[:1], second[:1]) is None
