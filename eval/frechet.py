"""Frechet distance between two clouds of vectors, each taken as a Gaussian.

For embeddings of images this is the Frechet inception distance (Heusel et al. 2017); here the
vectors are features of sessions or embeddings of texts. The distance between the Gaussians
``N(m1, C1)`` and ``N(m2, C2)`` is (Dowson and Landau 1982)

    |m1 - m2|^2 + tr(C1) + tr(C2) - 2 tr((C1 C2)^(1/2)).

The last trace is the sum of the singular values of ``C1^(1/2) C2^(1/2)``. The symmetric roots come
from eigenvalues, so covariances without full rank need neither shrinkage nor a general matrix
root, which turns complex there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self, TypeAlias

import numpy as np
import numpy.typing as npt

from footfall.errors import DataError

__all__ = ["Moments", "frechet_distance", "moments_distance"]

Floats: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Moments:
    """Mean, shape ``(d,)``, and covariance, shape ``(d, d)``, of a cloud of vectors."""

    mean: Floats
    covariance: Floats

    @classmethod
    def of(cls, vectors: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> Self:
        """Moments of ``vectors``, shape ``(n, d)``.

        ``weights``, shape ``(n,)``, count how often each vector is there, as a bootstrap does.

        Raises
        ------
        DataError
            If the shape is another, a value is not finite, or there are fewer than two vectors.
        """
        table = np.asarray(vectors, dtype=np.float64)
        if table.ndim != 2:
            raise DataError(
                f"Vectors must be a table of two dimensions, not {table.ndim}.",
                hint="Give one row per vector.",
            )
        if not np.isfinite(table).all():
            raise DataError(
                "The vectors hold values that are not finite.", hint="Leave those rows out."
            )
        counts = np.ones(len(table)) if weights is None else np.asarray(weights, dtype=np.float64)
        total = float(counts.sum())
        if total < 2:
            raise DataError(
                f"A Frechet distance needs at least 2 vectors a side, not {total:g}.",
                hint="Compare more sessions or texts.",
            )
        mean = counts @ table / total
        centred = table - mean
        covariance = (centred * counts[:, None]).T @ centred / (total - 1)
        return cls(mean, covariance)


def _root(covariance: Floats) -> Floats:
    """The symmetric root; eigenvalues that are only rounding count as zero."""
    values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
    # The root of a rounding error of 1e-16 would be 1e-8, so those are cut before.
    smallest = np.finfo(np.float64).eps * len(values) * max(float(values.max(initial=0.0)), 0.0)
    root: Floats = (vectors * np.sqrt(np.where(values > smallest, values, 0.0))) @ vectors.T
    return root


def moments_distance(first: Moments, second: Moments) -> float:
    """Frechet distance between two Gaussians; in squared units of the vectors, never negative."""
    if first.mean.shape != second.mean.shape:
        raise DataError(
            f"Vectors of {len(first.mean)} and of {len(second.mean)} numbers cannot be compared.",
            hint="Make both sides with the same features or the same encoder.",
        )
    apart = first.mean - second.mean
    shared = np.linalg.svd(_root(first.covariance) @ _root(second.covariance), compute_uv=False)
    spread = float(np.trace(first.covariance) + np.trace(second.covariance))
    # Equal clouds leave rounding of either sign.
    return max(float(apart @ apart) + spread - 2 * float(shared.sum()), 0.0)


def frechet_distance(first: npt.ArrayLike, second: npt.ArrayLike) -> float:
    """Frechet distance between two tables of vectors, shapes ``(n, d)`` and ``(m, d)``.

    Lower is closer; 0 for equal means and covariances. It is biased upwards by about the inverse of
    the number of vectors (Chong and Forsyth 2020), so only distances of clouds of like sizes can be
    compared.

    Raises
    ------
    DataError
        If a side has fewer than two vectors, a value is not finite, or the widths differ.

    Examples
    --------
    >>> frechet_distance([[0.0], [2.0]], [[3.0], [5.0]])
    9.0
    """
    return moments_distance(Moments.of(first), Moments.of(second))
