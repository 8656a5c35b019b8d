"""The Frechet distance against hand arithmetic."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from footfall.errors import DataError
from footfall.eval.frechet import Moments, frechet_distance, moments_distance


def test_of_diagonal_gaussians_is_hand_arithmetic() -> None:
    # |m1 - m2|^2 = 1 + 4; per axis (s1 - s2)^2: (2 - 1)^2 and (3 - 5)^2.
    first = Moments(np.array([0.0, 0.0]), np.diag([4.0, 9.0]))
    second = Moments(np.array([1.0, -2.0]), np.diag([1.0, 25.0]))
    assert moments_distance(first, second) == pytest.approx(5 + 1 + 4)


def test_takes_the_covariance_of_samples_with_n_minus_one() -> None:
    # Variances 2 and 8 (n - 1), means 1 and 2: (1 - 2)^2 + 2 + 8 - 2 sqrt(16).
    assert frechet_distance([[0.0], [2.0]], [[0.0], [4.0]]) == pytest.approx(1 + 10 - 8)


def test_of_correlated_gaussians_is_not_that_of_their_diagonals() -> None:
    # C1 has the eigenvalues 1.9 and 0.1; against the unit matrix: sum of (sqrt(e) - 1)^2.
    first = Moments(np.zeros(2), np.array([[1.0, 0.9], [0.9, 1.0]]))
    second = Moments(np.zeros(2), np.eye(2))
    expected = (np.sqrt(1.9) - 1) ** 2 + (np.sqrt(0.1) - 1) ** 2
    assert moments_distance(first, second) == pytest.approx(expected)


def test_of_commuting_and_other_covariances_agrees_with_the_general_root() -> None:
    from scipy.linalg import sqrtm

    rng = np.random.default_rng(3)
    first, second = rng.normal(size=(40, 4)), rng.normal(size=(50, 4)) @ rng.normal(size=(4, 4))
    one, two = np.cov(first.T), np.cov(second.T)
    apart = first.mean(axis=0) - second.mean(axis=0)
    shared = np.trace(sqrtm(one @ two)).real
    expected = apart @ apart + np.trace(one) + np.trace(two) - 2 * shared
    assert frechet_distance(first, second) == pytest.approx(expected)


def test_of_a_cloud_with_itself_is_zero_even_without_full_rank() -> None:
    rng = np.random.default_rng(0)
    flat = np.repeat(rng.normal(size=(3, 1)), 20, axis=1)
    assert frechet_distance(flat, flat) == pytest.approx(0, abs=1e-9)
    constant = np.full((4, 3), 7.0)
    assert frechet_distance(constant, constant) == 0


def test_weights_count_as_copies() -> None:
    table = np.array([[0.0, 1.0], [2.0, 5.0], [4.0, 2.0]])
    weighted = Moments.of(table, [2, 1, 3])
    copied = Moments.of(table[[0, 0, 1, 2, 2, 2]])
    assert weighted.mean == pytest.approx(copied.mean)
    assert weighted.covariance == pytest.approx(copied.covariance)


@settings(max_examples=40, deadline=None)
@given(n=st.integers(2, 12), m=st.integers(2, 12), d=st.integers(1, 8), seed=st.integers(0, 10_000))
def test_is_symmetric_within_its_bounds_and_ignores_order(
    n: int, m: int, d: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    first, second = rng.normal(size=(n, d)), rng.normal(1.0, 2.0, size=(m, d))
    there = frechet_distance(first, second)
    # At least the distance of the means; spreads that share no direction add all of theirs.
    apart = first.mean(axis=0) - second.mean(axis=0)
    spreads = sum(float(np.var(each, axis=0, ddof=1).sum()) for each in (first, second))
    assert -1e-7 <= there - apart @ apart <= spreads + 1e-7
    assert frechet_distance(second, first) == pytest.approx(there, rel=1e-9, abs=1e-9)
    assert frechet_distance(first[::-1], second) == pytest.approx(there, rel=1e-9, abs=1e-9)
    # A common shift moves both means alike.
    assert frechet_distance(first + 5, second + 5) == pytest.approx(there, rel=1e-7, abs=1e-7)


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        ([[1.0]], [[1.0], [2.0]], "at least 2 vectors"),
        ([[1.0], [2.0]], np.zeros((0, 1)), "at least 2 vectors"),
        ([[1.0], [2.0]], [[1.0, 2.0], [3.0, 4.0]], "cannot be compared"),
        ([1.0, 2.0], [[1.0], [2.0]], "two dimensions"),
        ([[1.0], [np.nan]], [[1.0], [2.0]], "not finite"),
    ],
)
def test_refuses_what_cannot_be_measured(first: object, second: object, words: str) -> None:
    with pytest.raises(DataError, match=words):
        frechet_distance(first, second)  # type: ignore[arg-type]
