"""The rhythm of shopping from visit to visit, as numbers taken from the log.

Four things that one visit cannot show: that bought items are needed again
(:attr:`Rhythm.replenishment`), that interests drift with the last visit (:attr:`Rhythm.drift`),
that categories have their seasons (:attr:`Rhythm.season`), and that an item shown often without
response tires (:attr:`Rhythm.fatigue`). ``Rhythm()`` is neutral: shoppers then keep their interests
whatever happens, and need nothing twice on purpose.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Final, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field
from scipy.special import log_ndtr, ndtri

from footfall.simulator.behaviour import Rate

if TYPE_CHECKING:
    from footfall.simulator.log import Log

__all__ = [
    "LARGEST_DRIFT",
    "RECENT_DAYS",
    "Interval",
    "Rhythm",
    "log_normal_hazard",
    "top_category",
]

Floats = npt.NDArray[np.float64]

#: Stable interests always keep a part: a shopper never becomes their last visit.
LARGEST_DRIFT: Final = 0.9
#: The last visit says nothing more after eight weeks; on the Complete Journey log its weight is
#: largest when it was a week ago, and gone by then.
RECENT_DAYS: Final = 56.0
#: An item is due once it has waited longer than this share of the intervals of its category.
_DUE_QUANTILE: Final = 0.1
_SEPARATOR: Final = " > "
_UNSEEN: Final = "the log shows no shopper who came back at a known time"


class Interval(BaseModel):
    """How long after taking an item shoppers take it again: a log-normal distribution."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    days: float = Field(gt=0, description="Median days between two takings.")
    deviation: float = Field(gt=0, description="Standard deviation of the logarithm of the days.")
    seen: int = Field(0, ge=0, description="Intervals that the log shows; few count for little.")

    @property
    def due_after(self) -> float:
        """Days after which an item counts as due: nine of ten intervals are longer."""
        return float(self.days * np.exp(self.deviation * ndtri(_DUE_QUANTILE)))

    def hazard(self, days: Floats) -> Floats:
        """Chance per day of being needed now, when not before; see :func:`log_normal_hazard`."""
        return log_normal_hazard(days, np.asarray(self.days), np.asarray(self.deviation))


class Rhythm(BaseModel):
    """How visits of one shopper hang together in one shop. Categories are top-level ones."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    response: Literal["purchases", "clicks"] = Field(
        "purchases", description="What counts as taking an item: the fit's unit, and memory's."
    )
    replenishment: Rate = Field(
        Rate(value=0.0, note=_UNSEEN),
        description="Share of the items taken on later visits that the shopper had taken before.",
    )
    interval: Rate = Field(
        Rate(value=28.0, note=f"assumed: four weeks; {_UNSEEN}"),
        description="Median days until an item is taken again, over all categories.",
    )
    interval_deviation: Rate = Field(
        Rate(value=1.0, note=f"assumed; {_UNSEEN}"),
        description="Standard deviation of the logarithm of those days.",
    )
    intervals: dict[str, Interval] = Field(
        default_factory=dict,
        description="The same by category, shrunk toward all; missing ones are as all.",
    )
    drift: Rate = Field(
        Rate(value=0.0, note=_UNSEEN),
        description="Weight of the last visit against the stable interests, 0 to 0.9.",
    )
    season_deviation: Rate = Field(
        Rate(value=0.0, note=_UNSEEN),
        description="Standard deviation of the seasonal factors, beyond what chance explains.",
    )
    season: dict[str, Annotated[tuple[float, ...], Field(min_length=12, max_length=12)]] = Field(
        default_factory=dict,
        description="Demand of a category in each month beside its whole year; 1 is as always.",
    )
    fatigue: Rate = Field(
        Rate(
            value=0.0,
            note="the log has no complete slates that show an item to a user again: no fatigue",
        ),
        description="Log-odds of a click per log(1 + earlier visits that showed the item in vain).",
    )

    @staticmethod
    def fit(log: Log, *, until: datetime | None = None) -> Rhythm:
        """Fit what the real log before ``until`` shows; the rest stays neutral and says why.

        Parameters
        ----------
        log:
            The log. One without any times gives the neutral rhythm.
        until:
            Only what happened before this moment; a moment without zone is UTC.
        """
        # The fits make a rhythm, so they cannot be imported above it.
        from footfall.simulator.rhythm_fit import fit_rhythm

        return fit_rhythm(log, until=until)

    def interval_of(self, category: str | None) -> Interval:
        """The interval of an item's category path; that of all items where there is none."""
        own = self.intervals.get(top_category(category))
        return own or Interval(days=self.interval.value, deviation=self.interval_deviation.value)

    def season_factor(self, category: str | None, moment: datetime) -> float:
        """Demand of a category path in the month of ``moment``; 1 where the log shows nothing."""
        months = self.season.get(top_category(category))
        return months[moment.month - 1] if months else 1.0


def log_normal_hazard(days: Floats, median: Floats, deviation: Floats) -> Floats:
    """Hazard in 1/day of a log-normal interval after ``days``; all inputs positive, of one shape.

    It rises from nothing, peaks around the typical interval and falls slowly: what was not needed
    for many intervals is hardly needed any more.
    """
    score = (np.log(days) - np.log(median)) / deviation
    density = -0.5 * score**2 - 0.5 * np.log(2.0 * np.pi) - np.log(deviation * days)
    return np.asarray(np.exp(density - log_ndtr(-score)), dtype=np.float64)


def top_category(category: str | None) -> str:
    """The first level of a category path; empty for an item without category."""
    return category.split(_SEPARATOR, maxsplit=1)[0] if category else ""
