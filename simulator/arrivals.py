"""When shoppers come: by the hours of the week in which the real log has sessions."""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt

from footfall.errors import EmptyLogError, SettingError
from footfall.simulator.catalog import utc_moment
from footfall.simulator.log import Log

__all__ = ["Arrivals"]

_HOURS_PER_WEEK = 168
#: Visits last minutes: an hour's margin keeps them whole before `until`.
_MARGIN = timedelta(hours=1)
#: Visits of one shopper start so far apart, where the window has room for it.
_APART = timedelta(hours=1)
#: After so many hours outside the window, its hours are taken for alike: they are all rare.
_TRIES = 1000


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Draws start times in the last weeks before ``until``.

    ``hours`` has shape (168,): the share of real sessions that start in each hour of the week,
    hour 0 beginning on Monday at midnight.
    """

    until: datetime
    weeks: float
    hours: npt.NDArray[np.float64]

    @classmethod
    def from_log(cls, log: Log, *, until: datetime | None, weeks: float) -> Arrivals:
        """Fit on the real sessions before ``until`` (default: the last one).

        Raises
        ------
        EmptyLogError
            If neither ``until`` nor a real session tells the time.
        SettingError
            If the weeks are too short to hold a visit.
        """
        if timedelta(weeks=weeks) <= 2 * _MARGIN:
            raise SettingError(
                f"weeks is {weeks:g}: sessions need more than two hours before `until`.",
                hint="Set weeks to 0.02 or more.",
            )
        until = utc_moment(until)
        rows = log.query(
            """
            SELECT 24 * (isodow(started_at) - 1) + hour(started_at) AS hour, count(*) AS sessions,
                   max(started_at) AS latest
            FROM sessions
            WHERE origin = 'real' AND started_at IS NOT NULL
              AND ($until IS NULL OR started_at < $until)
            GROUP BY 1
            """,
            {"until": until},
        ).to_pylist()
        if until is None:
            if not rows:
                raise EmptyLogError(
                    f"{log.path}: no real session has a time, so there is no time to simulate in.",
                    hint='Set `until`; in a log without times, `behaviour = "prior"` too.',
                )
            until = max(row["latest"] for row in rows)
        hours = np.ones(_HOURS_PER_WEEK)
        for row in rows:
            hours[int(row["hour"])] += float(row["sessions"])
        return cls(until, weeks, hours / hours.sum())

    def draw(self, rng: np.random.Generator) -> datetime:
        """One start time before ``until``, to the second."""
        first = self.until - timedelta(weeks=self.weeks)
        last = self.until - _MARGIN
        weeks = max(1, int(np.ceil(self.weeks)))
        for _ in range(_TRIES):
            week = first + timedelta(days=7 * int(rng.integers(weeks)))
            monday = datetime.combine(week.date(), datetime.min.time()) - timedelta(
                days=week.weekday()
            )
            hour = int(rng.choice(_HOURS_PER_WEEK, p=self.hours))
            second = int(rng.integers(3600))
            moment = monday + timedelta(hours=hour, seconds=second)
            if moment < first:
                # The week that `first` cuts and the one that `until` cuts make a whole one.
                moment += timedelta(weeks=weeks)
            if first <= moment < last:
                return moment
        return first + timedelta(seconds=int(rng.integers(int((last - first).total_seconds()))))

    def draw_times(self, rng: np.random.Generator, count: int) -> list[datetime]:
        """Start times of ``count`` visits of one shopper, in time order.

        Each is drawn as by :meth:`draw` and taken if it lies an hour or more from all others: a
        visit is over before the next one starts. A window that is crowded (fewer than four hours a
        visit) keeps its visits a quarter of their mean distance apart instead.
        """
        first = self.until - timedelta(weeks=self.weeks)
        last = self.until - _MARGIN
        apart = min(_APART, (last - first) / (4 * max(1, count)))
        times: list[datetime] = []
        for _ in range(count):
            for _ in range(_TRIES):
                moment = self.draw(rng)
                if _is_free(times, moment, apart):
                    break
            else:
                moment = _draw_free(times, first, last, apart, rng)
            insort(times, moment)
        return times


def _is_free(times: list[datetime], moment: datetime, apart: timedelta) -> bool:
    place = bisect_left(times, moment)
    return all(abs(moment - near) >= apart for near in times[max(0, place - 1) : place + 1])


def _draw_free(
    times: list[datetime],
    first: datetime,
    last: datetime,
    apart: timedelta,
    rng: np.random.Generator,
) -> datetime:
    """A time that all hours alike may give: the shopper's usual ones are taken."""
    starts = [first, *(moment + apart for moment in times)]
    ends = [*(moment - apart for moment in times), last]
    gaps = [(start, end - start) for start, end in zip(starts, ends, strict=True) if end > start]
    lengths = np.asarray([length.total_seconds() for _, length in gaps])
    place = int(rng.choice(len(gaps), p=lengths / lengths.sum()))
    return gaps[place][0] + gaps[place][1] * float(rng.random())
