"""When generated sessions start: in the hours of the week in which the real ones do."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from footfall.errors import EmptyLogError
from footfall.simulator.arrivals import Arrivals
from footfall.simulator.generators.backoff import pick
from footfall.simulator.log import Log

__all__ = ["StartTimes"]

Integers: TypeAlias = npt.NDArray[np.int64]

_HOUR = np.timedelta64(3600, "s")


class StartTimes:
    """Moments in the last weeks before ``until``, weighted by the hours of the week.

    Parameters
    ----------
    arrivals:
        The log's hours and the window; ``None`` where the log knows no time.
    """

    def __init__(self, arrivals: Arrivals | None) -> None:
        self._arrivals = arrivals
        if arrivals is None:
            return
        # An hour's margin, as for simulated visits, keeps sessions whole before `until`.
        last = arrivals.until - timedelta(hours=1)
        first = arrivals.until - timedelta(weeks=arrivals.weeks)
        begin = np.datetime64(first, "h")
        self._starts = np.arange(begin, np.datetime64(last, "h") + 1, dtype="datetime64[h]")
        hour_of_week = (self._starts.astype(np.int64) - _monday()) % 168
        self._hour = self._starts.astype(np.int64) % 24
        inside = self._starts >= begin + (np.datetime64(first, "s") > begin)
        inside[-1] = len(self._starts) == 1
        self._weights = arrivals.hours[hour_of_week] * np.where(inside.any(), inside, 1)

    @classmethod
    def from_log(cls, log: Log, *, until: datetime | None, weeks: float) -> StartTimes:
        """The real sessions' hours before ``until``; of a log without times there are none."""
        try:
            return cls(Arrivals.from_log(log, until=until, weeks=weeks))
        except EmptyLogError:
            return cls(None)

    def draw(self, hours: Integers, generator: np.random.Generator) -> npt.NDArray[np.datetime64]:
        """A start for each session, to the second, shape of ``hours``; not a time without any.

        Parameters
        ----------
        hours:
            Hour of the day that each session is to start in, -1 where it may be any.
        """
        if self._arrivals is None:
            return np.full(len(hours), np.datetime64("NaT", "us"))
        starts = np.empty(len(hours), dtype="datetime64[us]")
        for hour in np.unique(hours).tolist():
            wanted = np.flatnonzero(hours == hour)
            weights = self._weights * (self._hour == hour) if hour >= 0 else self._weights
            if not weights.sum():
                weights = self._weights
            chosen = self._starts[pick(weights, len(wanted), generator)]
            seconds = generator.integers(0, 3600, len(wanted)).astype("timedelta64[s]")
            starts[wanted] = chosen.astype("datetime64[s]") + seconds
        first = np.datetime64(self._arrivals.until - timedelta(weeks=self._arrivals.weeks), "us")
        last = np.datetime64(self._arrivals.until - timedelta(hours=1), "us")
        return np.clip(starts, first, last)


def _monday() -> int:
    """A Monday's midnight in hours since 1970."""
    return int(np.datetime64("1970-01-05T00", "h").astype(np.int64))
