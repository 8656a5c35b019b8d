"""Which shopper comes when, and as what: every visit of a stress test, planned in columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from footfall.errors import SettingError
from footfall.personas.persona import Persona
from footfall.simulator.arrivals import Arrivals

__all__ = ["CLICK_FRAUD", "ROLES", "SHILLING", "SHOPPER", "VisitPlan"]

SHOPPER: Final = 0
CLICK_FRAUD: Final = 1
SHILLING: Final = 2
#: Names of the roles, as in the table of visits.
ROLES: Final = ("shopper", "click fraud", "shilling")

_HOURS_PER_DAY: Final = 24
_SECONDS_PER_HOUR: Final = 3600


@dataclass(frozen=True, slots=True)
class VisitPlan:
    """Visits to come; all columns of shape (visits,).

    Attributes
    ----------
    number
        Of the visit, unique and 0 or more: it decides the visit's random numbers.
    shopper
        Index of the persona who comes; of an attacker, the persona who is pretended.
    started_at
        When the visit begins, datetime64 in microseconds, UTC.
    day
        Simulated day, from 0.
    role
        0 a shopper, 1 click fraud, 2 shilling: places in :data:`ROLES`.
    """

    number: npt.NDArray[np.int64]
    shopper: npt.NDArray[np.int64]
    started_at: npt.NDArray[np.datetime64]
    day: npt.NDArray[np.int32]
    role: npt.NDArray[np.int8]

    def __post_init__(self) -> None:
        """Refuse columns of different lengths, and numbers that two visits share.

        Raises
        ------
        SettingError
            If the columns do not fit together.
        """
        sizes = {name: len(getattr(self, name)) for name in _COLUMNS}
        if len(set(sizes.values())) > 1:
            raise SettingError(
                f"The columns of a visit plan have {sizes} values.", hint="Give one a visit."
            )
        if len(np.unique(self.number)) != len(self.number):
            raise SettingError(
                "Two visits of a plan have the same number.", hint="Number visits uniquely."
            )
        if np.any((self.role < 0) | (self.role >= len(ROLES))):
            raise SettingError(
                "A visit plan has an unknown role.",
                hint=f"Use 0 to {len(ROLES) - 1}: {', '.join(ROLES)}.",
            )

    def __len__(self) -> int:
        return len(self.number)

    def of_day(self, day: int) -> Self:
        """The visits of one simulated day, in the plan's order."""
        return self.take(np.flatnonzero(self.day == day))

    def take(self, places: npt.NDArray[Any]) -> Self:
        """The visits at these places, in their order."""
        return type(self)(*(getattr(self, name)[places] for name in _COLUMNS))

    @classmethod
    def joined(cls, plans: Sequence[VisitPlan]) -> Self:
        """The visits of several plans; their numbers must differ."""
        return cls(*(np.concatenate([getattr(plan, n) for plan in plans]) for n in _COLUMNS))

    @classmethod
    def draw(
        cls,
        personas: Sequence[Persona],
        arrivals: Arrivals,
        *,
        sessions: int,
        days: int,
        seed: int,
    ) -> Self:
        """Draw visits on the ``days`` after ``arrivals.until``, in time order.

        Hours of the week are as busy as in the log, and shoppers come as often as their activity
        says. All visits are those of shoppers; day 0 begins at ``arrivals.until``.

        Raises
        ------
        SettingError
            If there is no persona or no day, or fewer than 0 sessions.
        """
        if not personas or days < 1 or sessions < 0:
            raise SettingError(
                f"A plan of {sessions} sessions of {len(personas)} personas on {days} days.",
                hint="Give at least one persona and one day, and no negative number.",
            )
        rng = np.random.default_rng([seed, 11])
        hours = days * _HOURS_PER_DAY
        moments = [arrivals.until + timedelta(hours=hour) for hour in range(hours)]
        of_week = [_HOURS_PER_DAY * moment.weekday() + moment.hour for moment in moments]
        weights = arrivals.hours[of_week]
        hour = np.sort(rng.choice(hours, size=sessions, p=weights / weights.sum()))
        second = hour * _SECONDS_PER_HOUR + rng.random(sessions) * _SECONDS_PER_HOUR
        second.sort()
        activity = np.asarray([persona.activity for persona in personas], dtype=np.float64)
        # Dividing first keeps the sum finite whatever the unit of the activities.
        activity /= activity.max()
        shopper = rng.choice(len(personas), size=sessions, p=activity / activity.sum())
        begin = np.datetime64(arrivals.until, "us")
        return cls(
            number=np.arange(sessions, dtype=np.int64),
            shopper=shopper.astype(np.int64),
            started_at=begin + (second * 1e6).astype("timedelta64[us]"),
            day=(second // (_HOURS_PER_DAY * _SECONDS_PER_HOUR)).astype(np.int32),
            role=np.full(sessions, SHOPPER, dtype=np.int8),
        )


_COLUMNS: Final = tuple(field.name for field in fields(VisitPlan))
