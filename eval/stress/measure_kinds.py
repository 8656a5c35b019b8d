"""What a measure is: a name, a direction, a range, and how it follows from what shoppers did.

Measures are computed for many resampled crowds at once. Most are functions of sums over shoppers
(:class:`SumMeasure`), so a resampled crowd is a weighting of the shoppers and all resamples are one
matrix product. Those that depend on how often each *thing* occurs (items, sellers, waiting times)
are functions of counts by thing (:class:`CellMeasure`), which are products of a sparse matrix.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = [
    "Better",
    "CellCounts",
    "CellMeasure",
    "Floats",
    "Measure",
    "Spread",
    "SumMeasure",
    "divided",
]

Floats: TypeAlias = npt.NDArray[np.float64]
Better: TypeAlias = Literal["higher", "lower", "neither"]
#: How the interval is made. Resampling with replacement repeats some shoppers and drops others, so
#: a crowd seems to see fewer different items than it did: such measures leave out groups instead.
Spread: TypeAlias = Literal["bootstrap", "jackknife"]

_NO_RANGE: Final = (-np.inf, np.inf)


@dataclass(frozen=True, slots=True)
class CellCounts:
    """How often each thing occurs in each resample.

    Attributes
    ----------
    counts:
        Shape (things, resamples); every column has the things in the same order.
    labels:
        A number for each thing that occurs, shape (things,): seconds, in ascending order.
    whole:
        How many things there are in the shop, also those that never occur.
    """

    counts: Floats
    labels: Floats
    whole: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """What every measure has.

    Attributes
    ----------
    name:
        What thresholds and reports call it.
    says:
        What it is, with its unit.
    better:
        Which direction is better for the shop and its shoppers.
    bounds:
        Lowest and highest possible value.
    unknown:
        Why it may have no value.
    """

    name: str
    says: str
    better: Better
    bounds: tuple[float, float] = _NO_RANGE
    unknown: str = "nothing to measure it on"


@dataclass(frozen=True, slots=True, kw_only=True)
class SumMeasure(Measure):
    """A function of sums over shoppers; each has shape (resamples,), and so has the value."""

    value: Callable[[Mapping[str, Floats]], Floats]


@dataclass(frozen=True, slots=True, kw_only=True)
class CellMeasure(Measure):
    """A function of counts by thing; ``cells`` names the things."""

    cells: Literal["items", "sellers", "price bands", "seconds"]
    spread: Spread
    value: Callable[[CellCounts], Floats]


def divided(part: Floats, whole: Floats) -> Floats:
    """``part / whole`` by element, of one shape; not a number where ``whole`` is (almost) 0."""
    part, whole = np.asarray(part, np.float64), np.asarray(whole, np.float64)
    quotient = np.full(np.broadcast_shapes(part.shape, whole.shape), np.nan)
    with np.errstate(over="ignore"):
        np.divide(part, whole, out=quotient, where=whole != 0)
    quotient[np.isinf(quotient)] = np.nan
    return quotient
