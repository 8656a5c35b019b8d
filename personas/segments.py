"""What is kept of a segment of users, and how a new person is drawn from it.

Every kept number is a statistic of at least ``k`` users; no single user's record is stored.

* Shares (price sensitivity, brand loyalty, exploration): Beta, fitted by moments.
* Activity: Gamma, by moments. Patience: one page plus Gamma, by moments; where all users have the
  same patience (nobody's pages are known) the Gamma has shape 2, the documented prior.
* Interests: Dirichlet around the segment's mean, its concentration by moments:
  ``sum(m (1 - m)) / sum(variance) - 1``, kept within 1 and 500.
* History: the segment's items, each bought by ``k`` users of the segment at least, with a
  probability in proportion to how often it was bought there and to how much more (or less) than
  the segment the drawn person cares for its category.

Given the segment, demographics (of these combinations, or of a tree of pairs:
:mod:`footfall.personas.dependency_tree`), habits and interests are drawn independently.
"""

from __future__ import annotations

from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from footfall.personas.habits import INTEREST_LIMIT

__all__ = ["Cell", "Item", "SegmentProfile", "fit_beta", "fit_concentration", "fit_gamma"]

Numbers = npt.NDArray[np.float64]
_SHARES: Final = ("price_sensitivity", "brand_loyalty", "exploration")
#: A drawn interest below this share says nothing about a person.
_SMALLEST_INTEREST: Final = 0.001


def fit_beta(values: Numbers) -> tuple[float, float]:
    """Beta parameters with the mean and variance of ``values``.

    The standard deviation is taken as 0.02 at least, so that no draw repeats a constant, and the
    variance below that of a coin with the same mean.
    """
    mean = float(np.clip(values.mean(), 0.01, 0.99))
    spread = mean * (1.0 - mean)
    variance = float(np.clip(values.var(), 0.02**2, 0.9 * spread)) if spread > 0.0005 else 1e-5
    total = spread / variance - 1.0
    return mean * total, (1.0 - mean) * total


def fit_gamma(values: Numbers) -> tuple[float, float]:
    """Gamma ``(shape, scale)`` with the mean and variance of ``values``, all positive.

    The standard deviation is taken as a tenth of the mean at least.
    """
    mean = max(float(values.mean()), 0.01)
    variance = max(float(values.var()), (0.1 * mean) ** 2)
    return mean**2 / variance, variance / mean


def fit_concentration(weights: Numbers) -> float:
    """Dirichlet concentration of rows of shares, by moments, within 1 and 500."""
    mean = weights.mean(axis=0)
    variance = float(weights.var(axis=0).sum())
    if variance <= 0.0:
        return 500.0
    return float(np.clip((mean * (1.0 - mean)).sum() / variance - 1.0, 1.0, 500.0))


class _Stored(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Cell(_Stored):
    """A published combination of attributes, and how many users share it."""

    values: tuple[str, ...] = Field(
        description="One per attribute, empty is suppressed; none where a tree draws them."
    )
    users: int = Field(ge=1)


class Item(_Stored):
    """An item text that at least ``k`` users of the segment bought."""

    text: str
    category: str = Field(description="Path at the depth of interests; empty when unknown.")
    rows: float = Field(gt=0, description="How often it was bought or clicked in the segment.")


class SegmentProfile(_Stored):
    """Statistics of one segment."""

    name: str
    users: int = Field(ge=1)
    cells: list[Cell]
    habits: dict[str, tuple[float, float]] = Field(
        description="Beta (a, b) of the shares, Gamma (shape, scale) of activity and patience - 1."
    )
    interests: dict[str, float] = Field(description="Mean weight per category; sums to one.")
    concentration: float = Field(gt=0)
    items: list[Item]

    @staticmethod
    def fit_habits(values: dict[str, Numbers]) -> dict[str, tuple[float, float]]:
        """Distribution parameters from the users' habits, one array a habit."""
        fitted = {name: fit_beta(values[name]) for name in _SHARES}
        fitted["activity"] = fit_gamma(values["activity"])
        extra = np.maximum(values["patience"] - 1.0, 0.0)
        constant = float(extra.max() - extra.min()) < 1e-9
        mean = max(float(extra.mean()), 0.01)
        fitted["patience"] = (2.0, mean / 2.0) if constant else fit_gamma(extra)
        return fitted

    def draw_habits(self, random: np.random.Generator) -> dict[str, float]:
        """Numbers for the fields of a persona."""
        drawn = {name: round(float(random.beta(*self.habits[name])), 4) for name in _SHARES}
        drawn["activity"] = max(round(float(random.gamma(*self.habits["activity"])), 4), 0.01)
        drawn["patience"] = round(1.0 + float(random.gamma(*self.habits["patience"])), 4)
        return drawn

    def draw_interests(self, random: np.random.Generator) -> dict[str, float]:
        """Weights over the 20 heaviest drawn categories, heaviest first; they sum to one."""
        if not self.interests:
            return {}
        categories = list(self.interests)
        mean = np.fromiter(self.interests.values(), np.float64, len(categories))
        drawn = random.gamma(np.maximum(mean * self.concentration, 1e-3))
        if drawn.sum() <= 0.0:
            drawn = mean
        drawn = drawn / drawn.sum()
        order = np.argsort(-drawn, kind="stable")[:INTEREST_LIMIT]
        order = order[drawn[order] >= _SMALLEST_INTEREST]
        kept = drawn[order] / drawn[order].sum()
        return {categories[place]: float(weight) for place, weight in zip(order, kept, strict=True)}

    @cached_property
    def _item_arrays(self) -> tuple[Numbers, npt.NDArray[np.int64]]:
        """Rows of every item, and the place of its category among the interests."""
        place = {path: number for number, path in enumerate(self.interests)}
        rows = np.array([item.rows for item in self.items], dtype=np.float64)
        outside = len(place)
        places = [place.get(item.category, outside) for item in self.items]
        return rows, np.array(places, dtype=np.int64)

    def draw_history(
        self, interests: dict[str, float], length: int, random: np.random.Generator
    ) -> tuple[str, ...]:
        """Up to ``length`` distinct item texts that suit ``interests``."""
        if not self.items or length < 1:
            return ()
        rows, places = self._item_arrays
        # The last place stands for items outside the segment's interests: never leaned toward.
        leaning = np.array(
            [interests.get(path, 0.0) / max(mean, 1e-12) for path, mean in self.interests.items()]
            + [0.0]
        )
        leaned = rows * leaning[places]
        weights = leaned if leaned.any() else rows
        # Sampling without replacement by the Gumbel-top-k trick (Kool et al., 2019).
        possible = np.flatnonzero(weights > 0.0)
        keys = np.log(weights[possible]) + random.gumbel(size=len(possible))
        chosen = possible[np.argsort(-keys, kind="stable")]
        texts = dict.fromkeys(self.items[place].text for place in chosen)
        return tuple(texts)[:length]
